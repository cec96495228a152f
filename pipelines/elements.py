"""The elements that travel between steps, and their coders: raw elements refuse to be encoded, rows are pickled."""

import pickle
from dataclasses import dataclass
from typing import Any

from apache_beam import coders

from rawless.events.event import Delivery, Event
from rawless.privacy.coder import RefusingCoder
from rawless.warehouse.rows import EmbeddingRow, RejectionRow


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """A checked event, and the id of the message that it came in. Contains raw content."""

    event: Event
    message_id: str


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """The row of an encoded event, and what its rejection records if the warehouse refuses the row."""

    row: EmbeddingRow
    message_id: str
    size: int
    """Size of the payload in bytes."""


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


for raw in (Delivery, Event, ParsedEvent):
    coders.registry.register_coder(raw, RefusingCoder)
for row in (EncodedEvent, EmbeddingRow, RejectionRow):
    coders.registry.register_coder(row, RowCoder)
