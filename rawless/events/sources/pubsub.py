"""`pubsub:projects/P/subscriptions/S`: the messages of a Pub/Sub subscription."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from rawless.events.pubsub import PubSub, check_name
from rawless.events.source import Scheme, SourceOptions


@dataclass(frozen=True)
class Subscription:
    """A Pub/Sub subscription, an unbounded source."""

    is_bounded: ClassVar[Literal[False]] = False
    scheme: ClassVar[str] = "pubsub"

    name: str
    pubsub: PubSub = field(default_factory=PubSub)
    until_idle: float | None = None
    """Seconds without a message after which a local job ends; None means never."""

    @property
    def project(self) -> str:
        """The id of the project that the subscription is in."""
        return self.name.split("/")[1]

    def check(self) -> None:
        """Raise UserError if the name is not that of a subscription."""
        check_name(self.name, "subscriptions", "--source")

    def how_to_replay(self, first_rejected_at: datetime | None) -> str:
        """See `UnboundedSource.how_to_replay`."""
        first = f" (the first was rejected at {first_rejected_at:%Y-%m-%dT%H:%M:%SZ})" if first_rejected_at else ""
        return (
            "Rejected messages are acknowledged and their content is stored nowhere else: only a seek brings them "
            "back, if the subscription retains acknowledged messages. Run `gcloud pubsub subscriptions seek "
            f"{self.name} --time=TIME`, with a TIME before they were published{first}, and then `rawless ingest` as "
            "before: events that are logged twice count once. On an emulator, publish them again."
        )


def _open(location: str, _: SourceOptions) -> Subscription:
    return Subscription(location)


SCHEME = Scheme(Subscription.scheme, "pubsub:projects/P/subscriptions/S", _open, is_bounded=False)
