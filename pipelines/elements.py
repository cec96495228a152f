"""What travels between the steps, and how it may be encoded: raw elements never, rows freely."""

import pickle
from typing import Any

from apache_beam import coders

from rawless.events.event import Delivery, Event
from rawless.privacy.coder import RefusingCoder
from rawless.warehouse.rows import EmbeddingRow, RejectionRow


class RowCoder(coders.Coder):
    """Encodes rows, which hold no raw content."""

    def encode(self, value: Any) -> bytes:
        """A row as bytes."""
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> Any:
        """A row again."""
        return pickle.loads(encoded)  # noqa: S301 - a row that this job encoded itself

    def is_deterministic(self) -> bool:
        """No: no row is a key."""
        return False


for element in (Delivery, Event):
    coders.registry.register_coder(element, RefusingCoder)
for row in (EmbeddingRow, RejectionRow):
    coders.registry.register_coder(row, RowCoder)
