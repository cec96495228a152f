"""The elements that travel between steps."""

from dataclasses import dataclass

from rawless.events.event import Event, UnreadEvent
from rawless.warehouse.rows import EmbeddingRow, PredictionRow


@dataclass(frozen=True, slots=True)
class CheckedEvent:
    """A checked event, whose objects may still have to be read, and its message. Contains raw content."""

    event: Event | UnreadEvent
    message_id: str
    size: int
    """Size of the whole message in bytes."""


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

    @property
    def encoder(self) -> str:
        """Name and version of the encoder."""
        return f"{self.row.encoder}@{self.row.encoder_version}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder."""
        return self.row.encoder_fingerprint


@dataclass(frozen=True, slots=True)
class PredictedEvent:
    """The row of a prediction, and what its rejection records if the warehouse refuses the row."""

    row: PredictionRow
    encoder: str
    """Name and version of the encoder whose vector the head was given."""
    fingerprint: str
    message_id: str
    size: int
    """Size of the payload in bytes."""
