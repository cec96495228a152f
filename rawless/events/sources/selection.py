"""Some events of a source: those with certain ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rawless.events.event import Delivery
from rawless.events.sources import Source
from rawless.privacy import Raw, Reason, guarded


@dataclass(frozen=True)
class Selected:
    """A bounded source, of which only one stream's events with these ids are delivered."""

    source: Source
    stream: str
    event_ids: frozenset[str]

    def check(self) -> None:
        """See `Source.check`."""
        self.source.check()

    def shards(self) -> Iterator[Any]:
        """See `Source.shards`."""
        return self.source.shards()

    def read(self, shard: Any) -> Iterator[Delivery]:
        """See `Source.read`."""
        for delivery in self.source.read(shard):
            if guarded(self._chosen, delivery) is True:
                yield delivery

    def _chosen(self, delivery: Delivery) -> bool:
        if isinstance(delivery.fields, Reason):
            return False
        fields: Raw[Any] = delivery.fields
        event_id, stream = (fields.reveal().get(name) for name in ("event_id", "stream"))
        return stream == self.stream and isinstance(event_id, str) and event_id in self.event_ids
