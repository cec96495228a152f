"""Convert events to and from messages of Pub/Sub: data is the payload unless `uri` names it, all else is attributes.

The data of an event with parts is the JSON object of them. In messages of Kafka, headers are the attributes.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rawless.events.event import Delivery
from rawless.events.json_object import Ambiguous
from rawless.events.objects import ObjectLocation
from rawless.events.payload import FORMS, decode_payload, given_parts, payload_form
from rawless.privacy import Raw, Reason, Rejected, guarded

FIELDS = ("event_id", "occurred_at", "stream", "subject_id", "uri")
"""The attributes of a message that are fields of every event; all others are attributes that a stream declares."""
MAX_MESSAGE_BYTES = 9_900_000
"""Pub/Sub accepts requests of up to 10 MB, including the envelope."""
_MAX_ATTRIBUTES = 100
_MAX_NAME = 256
_MAX_VALUE = 1024
_OVERHEAD = 16


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is ready to be published."""

    data: bytes
    attributes: dict[str, str]

    @property
    def size(self) -> int:
        """The estimated size of the encoded message in bytes."""
        attributes = sum(
            len(name.encode()) + len(value.encode()) + _OVERHEAD for name, value in self.attributes.items()
        )
        return len(self.data) + attributes + _OVERHEAD


def decode_message(message_id: str, data: bytes, attributes: Mapping[str, str]) -> Delivery:
    """Return a received message as a delivery."""
    size = len(data) + sum(len(name) + len(value) for name, value in attributes.items())
    return Delivery(message_id, guarded(_fields, data, attributes), size)


def decode_record(
    message_id: str,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    key: tuple[str, bytes | None] | None = None,
) -> Delivery:
    """Return a message of Kafka as a delivery. `key` is the field that its key is, and the key.

    A message without a value marks a deletion, and is no event.
    """
    size = len(value or b"") + sum(len(name) + len(content or b"") for name, content in headers)
    given = [*headers, *([key] if key and key[1] is not None else [])]
    return Delivery(message_id, guarded(_record_fields, value, given), size)


def encode_message(delivery: Delivery, *, has_parts: bool = False) -> Raw[Message] | Reason:
    """Return the message that carries an event, valid or not; or the reason for which no message can carry it.

    Attributes that are not text, or exceed the number or size that Pub/Sub accepts, are left out. `has_parts` says that
    the events of the stream have parts, whose message any other stream would take for one payload.
    """
    if isinstance(delivery.fields, Reason):
        return delivery.fields
    return guarded(_message, delivery.fields, has_parts)


def _fields(data: bytes, attributes: Mapping[str, str]) -> Raw[Mapping[str, object]]:
    fields: dict[str, object] = {name: attributes[name] for name in FIELDS if name in attributes}
    fields["attributes"] = {name: value for name, value in attributes.items() if name not in FIELDS}
    if data or "uri" not in fields:
        fields["payload"] = data
    return Raw(fields)


def _record_fields(value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Raw[Mapping[str, object]]:
    times = Counter(name for name, _ in headers)
    if value is None or any(times[name] > 1 for name in FIELDS):  # of two values, no one knows which is meant
        raise Rejected(Reason.MALFORMED_EVENT)
    texts = {name: _text(content) for name, content in headers}
    if any(texts[name] is None for name in FIELDS if name in texts):
        raise Rejected(Reason.MALFORMED_EVENT)
    # An attribute that is no text or has several values is given as none, which the stream drops and counts.
    attributes = {name: text if times[name] == 1 else None for name, text in texts.items() if name not in FIELDS}
    fields: dict[str, object] = {name: texts[name] for name in FIELDS if name in texts}
    fields["attributes"] = attributes
    if value or "uri" not in fields:
        fields["payload"] = value
    return Raw(fields)


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _message(raw: Raw[Mapping[str, object]], has_parts: bool) -> Raw[Message]:
    fields = raw.reveal()
    if isinstance(located := fields.get("payload"), ObjectLocation):
        fields = {**fields, "payload": None, "uri": located.uri}  # a claim check
    message = Message(_data(fields, has_parts=has_parts), dict([*_event_fields(fields), *_attributes(fields)]))
    if message.size > MAX_MESSAGE_BYTES:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    if not message.data and not message.attributes:
        raise Rejected(Reason.MALFORMED_EVENT)
    return Raw(message)


def _event_fields(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in FIELDS:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not _fits(name, value):
            raise Rejected(Reason.MALFORMED_EVENT)
        yield name, value


def _attributes(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    attributes = fields.get("attributes")
    if attributes is None:
        return
    if not isinstance(attributes, Mapping):
        raise Rejected(Reason.MALFORMED_EVENT)
    remaining = _MAX_ATTRIBUTES - len(FIELDS)
    for name, value in attributes.items():
        if name not in FIELDS and isinstance(value, str) and _fits(name, value) and remaining > 0:
            remaining -= 1
            yield name, value


def _fits(name: str, value: str) -> bool:
    try:
        sizes = len(name.encode()), len(value.encode())
    except UnicodeEncodeError:  # JSON can contain half of a surrogate pair
        return False
    return 0 < sizes[0] <= _MAX_NAME and sizes[1] <= _MAX_VALUE and not name.startswith("goog")


def _data(fields: Mapping[str, object], *, has_parts: bool) -> bytes:
    if all(fields.get(name) is None for name in FORMS):
        return b""
    form = payload_form(fields)
    if form == "parts" and has_parts:
        return _json(given_parts(fields))
    return b"" if form == "uri" else decode_payload(form, fields[form])


def _json(parts: Mapping[str, object]) -> bytes:
    if any(isinstance(part, Ambiguous) for part in parts.values()):  # which JSON would not show any more
        raise Rejected(Reason.MALFORMED_EVENT)
    try:
        return json.dumps(parts, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # JSON can contain half of a surrogate pair
        raise Rejected(Reason.FORBIDDEN_CHARACTERS) from None
