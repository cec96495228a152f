"""An event in its states: as delivered, as checked, as rejected."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rawless.events.objects import ObjectLocation
from rawless.privacy import Raw, Reason


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as a source delivers it, not yet parsed.

    `fields` contains the producer's fields unchanged (design: The raw event), or the reason why the source found none.
    The payload is in one of them: `payload` (bytes, their `ObjectLocation`, or the reason why the source could not read
    them), `text`, `payload_base64`, `uri` or `parts`. `message_id` is assigned by the source: the number of a line, the
    place of a line in several files, or the id of a Pub/Sub message.
    """

    message_id: str
    fields: Raw[Mapping[str, object]] | Reason
    size: int
    """Size of the whole message in bytes."""


@dataclass(frozen=True, slots=True)
class ValidIds:
    """The ids of an event that are valid, and so may be stored even if the event is rejected."""

    event_id: str | None = None
    subject_key: str | None = None
    subject_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A checked event. Everything but the payload may be stored."""

    stream: str
    event_id: str
    subject_key: str | None
    subject_key_id: str | None
    occurred_at: datetime
    attributes: tuple[tuple[str, str], ...]
    payload: Raw[bytes]
    """The parts of an event that has some are packed in it, see `rawless.content_parts`."""
    size: int
    """Size of the payload in bytes."""

    @property
    def ids(self) -> ValidIds:
        """The ids of the event, all of them valid."""
        return ValidIds(self.event_id, self.subject_key, self.subject_key_id)


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """An object that contains a payload, or a part of one, and what its content must be."""

    location: ObjectLocation
    modality: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class UnreadEvent:
    """A checked event whose payload, or parts of it, are objects that are still to be read."""

    event: Event
    """The event, with an empty payload."""
    contents: Raw[Mapping[str, bytes | ClaimCheck]]
    """The content of each part; one without a name is the whole payload."""
    max_bytes: int
    """The most bytes that are read for it."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event was rejected, and which of its ids were valid."""

    ids: ValidIds
    reason: Reason
