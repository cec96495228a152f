"""Events as rows of a table: which columns an event is made of, and the deliveries of a batch of rows."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.types as of_type

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.payload import FORMS
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected, guarded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LONGEST_TYPE = 40


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of a type are text."""
    if of_type.is_dictionary(kind):
        kind = kind.value_type
    return any(is_one(kind) for is_one in (of_type.is_string, of_type.is_large_string, of_type.is_string_view))


def _is_id(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(of_type.is_integer(kind))


def _is_time(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(of_type.is_timestamp(kind) and kind.tz is not None)


def _is_bytes(kind: pa.DataType) -> bool:
    kinds = (of_type.is_binary, of_type.is_large_binary, of_type.is_fixed_size_binary, of_type.is_binary_view)
    return any(is_one(kind) for is_one in kinds)


def _is_pairs(kind: pa.DataType) -> bool:
    """Return whether values of a type are named values: a struct, a map, or a list of names (or keys) and values."""
    if of_type.is_list(kind) or of_type.is_large_list(kind):
        element = kind.value_type
        return bool(of_type.is_struct(element)) and {each.name for each in element} in (
            {"key", "value"},
            {"name", "value"},
        )
    return bool(of_type.is_struct(kind) or of_type.is_map(kind))


_ID = (_is_id, "text or an integer")
_TYPES: Mapping[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "event_id": _ID,
    "subject_id": _ID,
    "occurred_at": (_is_time, "text (RFC 3339) or a timestamp with a time zone, such as UTC"),
    "stream": (is_text, "text"),
    "attributes": (_is_pairs, "a map, a struct, or a list of keys and values"),
    "text": (is_text, "text"),
    "payload": (_is_bytes, "binary"),
    "payload_base64": (is_text, "text"),
    "uri": (is_text, "text"),
    "parts": (_is_pairs, "a struct or a map"),
}
"""What the type of each column must be."""
_OF_OBJECTS = ("event_id", "occurred_at", "subject_id", "stream")
"""The fields of an event that are metadata of an object."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the rows of a stream."""

    stream: str
    subject: str
    attributes: tuple[str, ...]

    @classmethod
    def by(cls, stream: Stream) -> "Wanted":
        """Return what a stream wants."""
        return cls(stream.stream, stream.subject, tuple(sorted(stream.attributes)))

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return ("event_id", "occurred_at", *(("subject_id",) if self.subject == "required" else ()))

    def explain_bad_columns(self, schema: pa.Schema) -> str | None:
        """Return why events cannot be made of the rows of a table, as the end of a sentence, or None if they can."""
        names = schema.names
        if missing := [name for name in self.required if name not in names]:
            return f"it has no column {missing[0]}: add it"
        if not set(FORMS) & set(names):
            return f"it has no column of content: add one of {', '.join(FORMS)}"
        own = [name for name in self.attributes if name in names and name not in _TYPES]
        if own and "attributes" in names:
            return f"it has both a column attributes and a column {own[0]}: leave one of them out"
        for name in (*_TYPES, *own):
            if names.count(name) > 1:
                return f"it has the column {name} twice: rename one"
            fits, wanted = _TYPES.get(name, _ID)
            kind = schema.field(name).type if name in names else pa.null()
            if not fits(kind) and not of_type.is_null(kind):  # which a column without any value is
                return f"its column {name} is {str(kind)[:_LONGEST_TYPE]}, but must be {wanted}: convert it"
        return None

    def columns(self, schema: pa.Schema) -> "Columns":
        """Return the columns of a table of which `explain_bad_columns` finds nothing."""
        fields = tuple(name for name in schema.names if name in _TYPES and (name != "subject_id" or self.uses_subject))
        own = tuple(name for name in schema.names if name in self.attributes and name not in _TYPES)
        unused = {"subject_id"} if not self.uses_subject else set()
        return Columns(self.stream, fields, own, tuple(sorted({*schema.names} - {*fields, *own} - unused)))

    @property
    def uses_subject(self) -> bool:
        """Whether subjects are read at all."""
        return self.subject != "none"


@dataclass(frozen=True)
class Columns:
    """The columns of a table of which an event is made."""

    stream: str
    fields: tuple[str, ...]
    """Those that are fields of an event."""
    attributes: tuple[str, ...]
    """Those that are attributes of the stream."""
    dropped: tuple[str, ...] = field(repr=False)
    """All others, which are never read: each event counts them as dropped. A name of theirs may be content."""

    @property
    def read(self) -> list[str]:
        """The columns to read."""
        return [*self.fields, *self.attributes]

    def fit(self, batch: Raw[pa.RecordBatch]) -> bool:
        """Return whether a batch has these columns and no others."""
        return guarded(lambda: {*batch.reveal().schema.names} == {*self.read}) is True

    def deliveries(self, batch: Raw[pa.RecordBatch], message_ids: Iterable[str]) -> Iterator[Delivery]:
        """Yield the deliveries of the rows of a batch, each with the next of the message ids."""
        rows = guarded(lambda: batch.reveal().num_rows)
        for row, message_id in zip(range(0 if isinstance(rows, Reason) else rows), message_ids, strict=False):
            # Inside the boundary from the first byte: a value in this frame would be part of a traceback.
            delivery = guarded(self._delivery, batch, row, message_id)
            yield Delivery(message_id, delivery, 0) if isinstance(delivery, Reason) else delivery

    def _delivery(self, batch: Raw[pa.RecordBatch], row: int, message_id: str) -> Delivery:
        cells = {name: batch.reveal().column(name)[row] for name in self.read}
        size = sum(_size(cell) for cell in cells.values())
        return Delivery(message_id, guarded(self._fields, cells), size)

    def _fields(self, cells: Mapping[str, pa.Scalar]) -> Raw[Mapping[str, object]]:
        fields: dict[str, object] = dict.fromkeys(self.dropped)
        fields |= {name: _value(cells[name]) for name in self.fields}
        if fields.get("stream") is None:
            fields["stream"] = self.stream
        if isinstance(fields.get("text"), bytes):  # not valid UTF-8: the ids of the event are known nevertheless
            fields["text"], fields["payload"] = None, Reason.INVALID_UTF8
        if "attributes" in fields:
            fields["attributes"] = _pairs(fields["attributes"])
        else:
            own = {name: _value(cells[name]) for name in self.attributes}
            fields["attributes"] = {name: value for name, value in own.items() if value is not None}
        if "parts" in fields:
            fields["parts"] = _pairs(fields["parts"])
        return Raw(fields)


@dataclass(frozen=True)
class ObjectColumns(Columns):
    """The columns of an object table: an event's content is an object, and its fields are metadata of the object."""

    fields: tuple[str, ...] = ("uri", "metadata")
    attributes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = field(default=(), repr=False)

    @staticmethod
    def fits(schema: pa.Schema) -> bool:
        """Return whether a table with this schema is an object table."""
        return {"uri", "generation", "metadata"} <= {*schema.names} and "event_id" not in schema.names

    def has_ids(self, batch: Raw[pa.RecordBatch]) -> bool:
        """Return whether any object of a batch has an event id."""
        deliveries = self.deliveries(batch, map(str, itertools.count()))
        return any(guarded(_has_id, delivery.fields) is True for delivery in deliveries)

    def _fields(self, cells: Mapping[str, pa.Scalar]) -> Raw[Mapping[str, object]]:
        metadata = _pairs(_value(cells["metadata"]) or [])
        if not isinstance(metadata, Mapping):
            raise Rejected(Reason.MALFORMED_EVENT)
        fields = {name: metadata.get(name) for name in _OF_OBJECTS}
        fields["stream"] = fields["stream"] or self.stream
        own = {name: value for name, value in metadata.items() if name not in _OF_OBJECTS}
        return Raw({**fields, "uri": _value(cells["uri"]), "attributes": own})


def _has_id(fields: Raw[Mapping[str, object]] | Reason) -> bool:
    return isinstance(fields, Raw) and fields.reveal().get("event_id") is not None


def _size(cell: pa.Scalar) -> int:
    """Return the bytes of a text or of bytes; ids and times of other types count as nothing."""
    value = cell.value if isinstance(cell, pa.DictionaryScalar) else cell
    if not value.is_valid or not (is_text(value.type) or _is_bytes(value.type)):
        return 0
    return len(value.as_buffer())


def _value(cell: pa.Scalar) -> object:
    """Return a value as JSON would have it, bytes as they are. A text that is not valid UTF-8 is returned as bytes."""
    value = cell.value if isinstance(cell, pa.DictionaryScalar) else cell
    if not value.is_valid:
        return None
    if _is_bytes(value.type):
        return bytes(value.as_buffer())
    if is_text(value.type):
        content = bytes(value.as_buffer())
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content
    if of_type.is_timestamp(value.type):
        return _rfc3339(value.value, _PER_SECOND[value.type.unit])
    if of_type.is_integer(value.type):
        return str(value.as_py())
    return _nested(value)


def _nested(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None


def _rfc3339(ticks: int, per_second: int) -> str | None:
    """Return a time since 1970 in UTC as text, or None for one that no calendar of Python's has."""
    try:
        return (_EPOCH + timedelta(microseconds=ticks * 10**6 // per_second)).isoformat()
    except OverflowError:
        return None


def _pairs(value: object) -> object:
    """Return values by name, integers as text. Raises Rejected if a name is given twice."""
    if not isinstance(value, Mapping | list):
        return value
    pairs: list[tuple[Any, Any]] = (
        [*value.items()]
        if isinstance(value, Mapping)
        else [
            (each.get("key", each.get("name")), each["value"]) if isinstance(each, Mapping) else each for each in value
        ]
    )
    if len(dict(pairs)) < len(pairs):
        raise Rejected(Reason.MALFORMED_EVENT)
    return {name: str(each) if type(each) is int else each for name, each in pairs if each is not None}


def read_batches(batches: Iterator[pa.RecordBatch], failed: str) -> Iterator[Raw[pa.RecordBatch]]:
    """Yield batches inside of wrappers, in constant memory.

    Raises UserError and Unavailable as `batches` does, and UserError with the sentence `failed` for anything else.
    """
    while True:
        # Inside the boundary from the first byte: a batch in this frame would be part of a traceback.
        batch = guarded(_next, batches)
        if batch is None:
            return
        if not isinstance(batch, Raw):
            raise UserError(failed if isinstance(batch, Reason) else batch)
        yield batch


def _next(batches: Iterator[pa.RecordBatch]) -> Raw[pa.RecordBatch] | str | None:
    try:
        return Raw(next(batches))
    except StopIteration:
        return None
    except UserError as error:
        return str(error)
