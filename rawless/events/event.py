"""The event on its way: as delivered, as parsed, as refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rawless.privacy import Raw, Reason


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source hands over: one message, not yet looked into.

    `fields` holds the producer's fields as they came (design: The raw event), with the payload under `payload`
    (bytes, or the reason for which the source could not read them), `text`, `payload_base64`, `uri` or `parts`; or the
    reason for which the source could not make fields of it. `message_id` is the source's own: a line number, a
    Pub/Sub message id.
    """

    message_id: str
    fields: Raw[Mapping[str, object]] | Reason
    size: int
    """Bytes, of the whole message."""


@dataclass(frozen=True, slots=True)
class Known:
    """The ids of an event that were found valid, and so may be stored even when it is rejected."""

    event_id: str | None = None
    subject_key: str | None = None
    subject_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A checked event. All but the payload may be stored."""

    stream: str
    event_id: str
    subject_key: str | None
    subject_key_id: str | None
    occurred_at: datetime
    attributes: tuple[tuple[str, str], ...]
    payload: Raw[bytes]
    size: int
    """Bytes of the payload."""
    message_id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was found to be a rejection, with the ids that were valid."""

    known: Known
    reason: Reason
    size: int
    message_id: str
