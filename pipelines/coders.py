"""The coders of the elements that travel between steps: raw elements refuse to be encoded, others are pickled."""

import pickle
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any

from apache_beam import coders

from rawless.events.event import Delivery, Event
from rawless.privacy.coder import RefusingCoder
from rawless.steps.elements import CheckedEvent, EncodedEvent, ParsedEvent, PredictedEvent
from rawless.warehouse.rows import EmbeddingRow, PredictionRow, RejectionRow

MAX_NAME = 2_000
"""Characters of the longest text in a place: an object's name has at most 1,024 bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A shard of a source, on its way to the worker that reads it. The only element that a shuffle may keep."""

    shard: Any


class RowCoder(coders.Coder):
    """Pickles rows, which contain no raw content."""

    def encode(self, value: Any) -> bytes:
        """Return the row as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Any:
        """Return the row that `encode` was given."""
        return pickle.loads(encoded)  # noqa: S301 - a row that this job encoded itself

    def is_deterministic(self) -> bool:
        """Return False: rows are never keys."""
        return False


class PlaceCoder(RowCoder):
    """Pickles shards, and refuses one that could contain content: a place consists of numbers, times and names."""

    def encode(self, value: Any) -> bytes:
        """Return the place as bytes. Raises TypeError if it contains anything else than a place does."""
        if not _is_place(value):
            raise TypeError("a shard must consist of numbers, times and names, because it travels between workers")
        return super().encode(value)


def _is_place(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_NAME
    if isinstance(value, tuple):
        return all(map(_is_place, value))
    if is_dataclass(value):
        return all(_is_place(getattr(value, field.name)) for field in fields(value))
    return value is None or isinstance(value, int | float | datetime)


coders.registry.register_coder(Place, PlaceCoder)
for raw in (Delivery, Event, CheckedEvent, ParsedEvent):
    coders.registry.register_coder(raw, RefusingCoder)
for row in (EncodedEvent, PredictedEvent, EmbeddingRow, PredictionRow, RejectionRow):
    coders.registry.register_coder(row, RowCoder)
