"""Items as a service reads them, alone or with others."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypedDict

from rawless.errors import UserError

_HEADERS = ("event_id", "occurred_at", "subject_id", "attributes", "features", "assignment_key")
_KINDS: Mapping[str, type] = {
    "text": str, "image": bytes, "parts": Mapping, "event_id": str, "occurred_at": datetime, "subject_id": str,
    "attributes": Mapping, "features": Mapping, "assignment_key": str,
}  # fmt: skip
_OVERHEAD = len(b'{"items":[]}')


class ItemFields(TypedDict, total=False):
    """The fields of an `Item` as keyword arguments."""

    text: str | None
    image: bytes | None
    parts: Mapping[str, str | bytes] | None
    event_id: str | None
    occurred_at: datetime | None
    subject_id: str | None
    attributes: Mapping[str, str] | None
    features: Mapping[str, float | str | None] | None
    assignment_key: str | None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text, an image or several parts, with its metadata, of which all is optional. Its repr shows no content."""

    text: str | None = field(default=None, repr=False)
    image: bytes | None = field(default=None, repr=False)
    """The bytes of the file."""
    parts: Mapping[str, str | bytes] | None = field(default=None, repr=False)
    """Texts and images by the names of the stream's parts."""
    event_id: str | None = None
    """Give one where requests are logged: an item that is sent again is then the same event."""
    occurred_at: datetime | None = None
    """When it occurred, with a time zone; now by default."""
    subject_id: str | None = field(default=None, repr=False)
    attributes: Mapping[str, str] | None = field(default=None, repr=False)
    features: Mapping[str, float | str | None] | None = field(default=None, repr=False)
    assignment_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if [self.text, self.image, self.parts].count(None) != 2:
            raise UserError("An item has exactly one of text, image and parts: give one of them.")
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise UserError(
                    f"{name} of an item is a {type(value).__name__}, but must be a {kind.__name__}: convert it."
                )
        if not all(isinstance(part, str | bytes) for part in (self.parts or {}).values()):
            raise UserError("A part of an item is neither str nor bytes: give texts as str, and images as bytes.")
        if self.occurred_at and self.occurred_at.tzinfo is None:
            raise UserError("occurred_at of an item has no time zone: use datetime.now(UTC), for example.")

    def fields(self) -> dict[str, object]:
        """Return the item as one of several."""
        return {**self._content(), **{name: value for name, value in self._metadata().items() if value is not None}}

    def alone(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the item as the body and headers of a request of its own."""
        headers = {
            f"rawless-{name.replace('_', '-')}".encode(): _header(name, value)
            for name, value in self._metadata().items()
            if value is not None
        }
        if self.image is not None:
            return self.image, headers | {b"content-type": b"application/octet-stream"}
        content = self._content()
        body = json.dumps(content if self.text is not None else content["parts"]).encode()
        return body, headers | {b"content-type": b"application/json"}

    def _content(self) -> dict[str, object]:
        if self.text is not None:
            return {"text": self.text}
        if self.image is not None:
            return _file(self.image)
        parts = self.parts or {}
        return {
            "parts": {name: _file(part) if isinstance(part, bytes) else {"text": part} for name, part in parts.items()}
        }

    def _metadata(self) -> dict[str, object]:
        values = {name: getattr(self, name) for name in _HEADERS}
        values["occurred_at"] = self.occurred_at.isoformat() if self.occurred_at else None
        for name in ("attributes", "features"):
            values[name] = None if values[name] is None else dict(values[name])
        return values


class Encoded(NamedTuple):
    """An item as JSON, which is sent together with others."""

    position: int
    body: bytes
    has_id: bool


def encode(items: Iterable[Item]) -> Iterator[Encoded]:
    """Yield items as JSON. Raises UserError for one that is none, and for an event id that another item has."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, Item):
            raise UserError(f"Item {index} is a {type(item).__name__}: wrap it, as in Item(text=…) or Item(image=…).")
        if item.event_id is not None and item.event_id in seen:
            raise UserError(f"Item {index} has the event_id of an earlier one: give each its own.")
        seen |= {item.event_id} if item.event_id is not None else set()
        yield Encoded(index, _json(index, item), item.event_id is not None)


def chunks(items: Iterable[Encoded], max_items: int, max_bytes: int | None) -> Iterator[list[Encoded]]:
    """Yield items by requests that have at most so many items and bytes, or a single item that is larger."""
    chunk: list[Encoded] = []
    size = _OVERHEAD
    for item in items:
        added = len(item.body) + 1
        if chunk and (len(chunk) == max_items or (max_bytes is not None and size + added > max_bytes)):
            yield chunk
            chunk, size = [], _OVERHEAD
        chunk.append(item)
        size += added
    if chunk:
        yield chunk


def body_of(items: Iterable[Encoded]) -> bytes:
    """Return the body of a request with these items."""
    return b'{"items":[' + b",".join(item.body for item in items) + b"]}"


def _json(index: int, item: Item) -> bytes:
    try:
        return json.dumps(item.fields(), separators=(",", ":")).encode()
    except (TypeError, ValueError):  # its text would quote the value
        raise UserError(f"Item {index} has a value that JSON does not know: use strings, numbers and None.") from None


def _file(content: bytes) -> dict[str, object]:
    return {"payload_base64": base64.b64encode(content).decode()}


def _header(name: str, value: object) -> bytes:
    """Return metadata as the value of a header. Raises UserError for what no header can have."""
    try:
        text = value if isinstance(value, str) else json.dumps(value)
        encoded = text.encode()
    except (TypeError, ValueError):
        raise UserError(f"{name} has a value that cannot be sent: use strings, numbers and None.") from None
    if any(byte < 32 or byte == 127 for byte in encoded) or encoded != encoded.strip():
        raise UserError(f"{name} has a control character, or a space at its end: remove it.")
    return encoded
