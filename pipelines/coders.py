"""The coders of the elements that travel between steps: raw elements refuse to be encoded, rows are pickled."""

import pickle
from typing import Any

from apache_beam import coders

from rawless.events.event import Delivery, Event
from rawless.privacy.coder import RefusingCoder
from rawless.steps.elements import CheckedEvent, EncodedEvent, ParsedEvent
from rawless.warehouse.rows import EmbeddingRow, RejectionRow


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


for raw in (Delivery, Event, CheckedEvent, ParsedEvent):
    coders.registry.register_coder(raw, RefusingCoder)
for row in (EncodedEvent, EmbeddingRow, RejectionRow):
    coders.registry.register_coder(row, RowCoder)
