"""`kafka:BROKERS/TOPIC?group=G`: the messages of a Kafka topic, as a member of a consumer group."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import parse_qsl

from rawless.errors import UserError
from rawless.events.source import Scheme, SourceOptions

USAGE = "kafka:BROKERS/TOPIC?group=G"
KEYS = ("event_id", "subject_id")
"""The fields that the key of a message may be."""
_BROKER = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", re.A)
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.A)


@dataclass(frozen=True)
class Topic:
    """A Kafka topic and a consumer group, an unbounded source."""

    is_bounded: ClassVar[Literal[False]] = False
    scheme: ClassVar[str] = "kafka"

    brokers: tuple[str, ...]
    """Addresses of brokers, each HOST:PORT, from which the client learns those of the others."""
    name: str
    group: str
    key: str | None = None
    """The field that the key of a message is; None if the key is not read."""
    settings: Path | None = None
    """A file of properties of the client, such as how it authenticates."""
    until_idle: float | None = None
    """Seconds without a message after which a worker ends; None means never."""

    @property
    def hosts(self) -> list[str]:
        """The hosts of the brokers."""
        return [broker.rpartition(":")[0].strip("[]") for broker in self.brokers]

    def check(self) -> None:
        """Raise UserError if a name is not valid."""
        if not self.brokers or not all(map(_is_broker, self.brokers)):
            raise UserError(
                f"--source names the brokers {','.join(self.brokers)!r}, but must name each as HOST:PORT, with a PORT "
                "of 1 to 65535, separated by commas."
            )
        for what, name in (("topic", self.name), ("group", self.group)):
            if not _NAME.fullmatch(name):
                raise UserError(
                    f"--source names the {what} {name!r}, but must name it by 1 to 249 letters, digits and ._-, as in "
                    f"{USAGE}."
                )
        if self.key not in (None, *KEYS):
            raise UserError(f"--source says that the key is {self.key!r}, but it must be one of {', '.join(KEYS)}.")

    def how_to_replay(self, first_rejected_at: datetime | None) -> str:
        """See `UnboundedSource.how_to_replay`."""
        first = f" (the first was rejected at {first_rejected_at:%Y-%m-%dT%H:%M:%SZ})" if first_rejected_at else ""
        server = f"--bootstrap-server {self.brokers[0]} --group {self.group} --topic {self.name}"
        return (
            "The group has read past rejected messages: reset its offsets. Stop its workers, run "
            f"`kafka-consumer-groups {server} --reset-offsets --to-datetime TIME --execute`, with a TIME before they "
            f"were published{first}, and start the workers again: events that are logged twice count once."
        )


def _is_broker(address: str) -> bool:
    match = _BROKER.fullmatch(address)
    return match is not None and 0 < int(match[2]) <= 65535


def _open(location: str, _options: SourceOptions) -> Topic:
    place, _, query = location.partition("?")
    brokers, _, name = place.partition("/")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        pairs = [("", "")]
    given = dict(pairs)
    if "group" not in given or given.keys() - {"group", "key"} or len(given) < len(pairs):
        raise UserError(f"--source is {'kafka:' + location!r}, but must be {USAGE}, which &key=FIELD may follow.")
    return Topic(tuple(brokers.split(",")), name, given["group"], given.get("key"))


SCHEME = Scheme(Topic.scheme, USAGE, _open, is_bounded=False)
