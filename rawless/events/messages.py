"""Events as Pub/Sub messages: the payload is the data, or `uri` names it; every other field is an attribute."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rawless.events.event import Delivery
from rawless.events.payload import FORMS, form_of, inline
from rawless.privacy import Raw, Reason, Rejected, guarded

FIELDS = ("event_id", "occurred_at", "stream", "subject_id", "uri")
"""Attributes of a message that are fields of the event; all others are the stream's own."""
MAX_MESSAGE_BYTES = 9_900_000
"""Pub/Sub takes 10 MB in a request, the envelope included."""
_MAX_ATTRIBUTES = 100
_MAX_NAME = 256
_MAX_VALUE = 1024
_OVERHEAD = 16


@dataclass(frozen=True, slots=True)
class Message:
    """What is published."""

    data: bytes
    attributes: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        attributes = sum(
            len(name.encode()) + len(value.encode()) + _OVERHEAD for name, value in self.attributes.items()
        )
        return len(self.data) + attributes + _OVERHEAD


def delivery_of(message_id: str, data: bytes, attributes: Mapping[str, str]) -> Delivery:
    """A message as it was delivered."""
    size = len(data) + sum(len(name) + len(value) for name, value in attributes.items())
    return Delivery(message_id, guarded(_fields, data, attributes), size)


def message_of(delivery: Delivery) -> Raw[Message] | Reason:
    """The message that carries an event, broken ones as they are; or the reason for which no message can.

    Attributes that are no text, or more or larger than Pub/Sub takes, are left out.
    """
    if isinstance(delivery.fields, Reason):
        return delivery.fields
    return guarded(_message, delivery.fields)


def _fields(data: bytes, attributes: Mapping[str, str]) -> Raw[Mapping[str, object]]:
    fields: dict[str, object] = {name: attributes[name] for name in FIELDS if name in attributes}
    fields["attributes"] = {name: value for name, value in attributes.items() if name not in FIELDS}
    if data or "uri" not in fields:
        fields["payload"] = data
    return Raw(fields)


def _message(raw: Raw[Mapping[str, object]]) -> Raw[Message]:
    fields = raw.reveal()
    message = Message(_data(fields), dict([*_own(fields), *_attributes(fields)]))
    if message.size > MAX_MESSAGE_BYTES:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    if not message.data and not message.attributes:
        raise Rejected(Reason.MALFORMED_EVENT)
    return Raw(message)


def _own(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in FIELDS:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not _fits(name, value):
            raise Rejected(Reason.MALFORMED_EVENT)
        yield name, value


def _attributes(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    given = fields.get("attributes")
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise Rejected(Reason.MALFORMED_EVENT)
    room = _MAX_ATTRIBUTES - len(FIELDS)
    for name, value in given.items():
        if name not in FIELDS and isinstance(value, str) and _fits(name, value) and room > 0:
            room -= 1
            yield name, value


def _fits(name: str, value: str) -> bool:
    try:
        sizes = len(name.encode()), len(value.encode())
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        return False
    return 0 < sizes[0] <= _MAX_NAME and sizes[1] <= _MAX_VALUE and not name.startswith("goog")


def _data(fields: Mapping[str, object]) -> bytes:
    if all(fields.get(name) is None for name in FORMS):
        return b""
    form = form_of(fields)
    return b"" if form == "uri" else inline(form, fields[form])
