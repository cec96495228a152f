"""A bounded source of which only the events with certain ids are delivered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rawless.events.event import Delivery
from rawless.events.source import BoundedSource, Reader
from rawless.privacy import Raw, Reason, guarded


@dataclass(frozen=True)
class FilteredSource:
    """A source that delivers only the events of `stream` whose id is in `event_ids`."""

    is_bounded: ClassVar[Literal[True]] = True

    source: BoundedSource
    stream: str
    event_ids: frozenset[str]

    def check(self) -> None:
        """See `BoundedSource.check`."""
        self.source.check()

    def reader(self) -> "_FilteredReader":
        """See `BoundedSource.reader`."""
        return _FilteredReader(self.source.reader(), self.stream, self.event_ids)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return self.source.only_here()


@dataclass(frozen=True)
class _FilteredReader:
    reader: Reader
    stream: str
    event_ids: frozenset[str]

    def shards(self) -> Iterator[Any]:
        """See `Reader.shards`."""
        return self.reader.shards()

    def read(self, shard: Any) -> Iterator[Delivery]:
        """See `Reader.read`."""
        for delivery in self.reader.read(shard):
            if guarded(self._is_selected, delivery) is True:
                yield delivery

    def _is_selected(self, delivery: Delivery) -> bool:
        if isinstance(delivery.fields, Reason):
            return False
        fields: Raw[Any] = delivery.fields
        event_id, stream = (fields.reveal().get(name) for name in ("event_id", "stream"))
        return stream == self.stream and isinstance(event_id, str) and event_id in self.event_ids
