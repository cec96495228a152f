"""Row types of the tables that jobs write: ids, enums, times and floats only, validated before they are written.

The local BigQuery accepts rows that the real one refuses, so rows are validated here for both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from operator import attrgetter
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rawless.warehouse.tables import table

Attributes = tuple[tuple[str, str], ...]
Origin = Literal["ingest", "serving"]
"""Who delivered an event. A served delivery counts only until an ingested one is known."""
# Compared without conversion: a time at the end of the calendar cannot be converted to UTC.
_OVERHEAD, _LONGEST_CHARACTER = 16, 4
"""Bytes of a value beside its own, and of a character in UTF-8."""
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_BUCKETS = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7, 10**8)


class _Event(Protocol):
    """What a row stores of an event: everything except its content."""

    @property
    def stream(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def subject_key(self) -> str | None: ...
    @property
    def subject_key_id(self) -> str | None: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def attributes(self) -> Attributes: ...


class _Encoder(Protocol):
    """What a row stores of an encoder."""

    @property
    def modality(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class EmbeddingRow:
    """One row of `embedding_event_v1`. `embedding` has shape (dimension,)."""

    TABLE: ClassVar[str] = "embedding_event_v1"

    stream: str
    event_id: str
    subject_key: str | None
    subject_key_id: str | None
    occurred_at: datetime
    logged_at: datetime
    origin: Origin
    caller_key: str | None
    """The id of the service's caller; None for ingest, and for a service without access configuration."""
    modality: str
    encoder: str
    encoder_version: str
    encoder_fingerprint: str
    embedding: npt.NDArray[np.float32]
    truncated: bool
    attributes: Attributes

    @classmethod
    def of(
        cls, event: "_Event", encoder: "_Encoder", fingerprint: str, embedding: npt.NDArray[np.float32],
        truncated: bool, *, origin: Origin, caller_key: str | None = None,
    ) -> "EmbeddingRow":  # fmt: skip
        """Return the row of an event that was encoded just now."""
        return cls(
            stream=event.stream,
            event_id=event.event_id,
            subject_key=event.subject_key,
            subject_key_id=event.subject_key_id,
            occurred_at=event.occurred_at,
            logged_at=datetime.now(UTC),
            origin=origin,
            caller_key=caller_key,
            modality=encoder.modality,
            encoder=encoder.name,
            encoder_version=encoder.version,
            encoder_fingerprint=fingerprint,
            embedding=embedding,
            truncated=truncated,
            attributes=event.attributes,
        )


@dataclass(frozen=True, slots=True)
class RejectionRow:
    """One row of `rejection_v1`."""

    TABLE: ClassVar[str] = "rejection_v1"

    stream: str
    event_id: str | None
    subject_key: str | None
    subject_key_id: str | None
    message_id: str
    stage: str
    reason: str
    size_bucket: str
    encoder_fingerprint: str | None
    rejected_at: datetime


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """One row of `encoder_v1`; `spec` is its JSON."""

    TABLE: ClassVar[str] = "encoder_v1"

    name: str
    version: str
    fingerprint: str
    spec: str
    sealed: bool
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One row of `prediction_v1`."""

    TABLE: ClassVar[str] = "prediction_v1"

    stream: str
    event_id: str
    subject_key: str | None
    subject_key_id: str | None
    caller_key: str | None
    """The id of the service's caller; None for a service without access configuration."""
    head: str
    version: int
    probabilities: tuple[tuple[str, float], ...]
    """Pairs of class and probability."""
    abstention: str | None
    predicted_at: datetime


@dataclass(frozen=True, slots=True)
class CanaryRow:
    """One row of `canary_v1`."""

    TABLE: ClassVar[str] = "canary_v1"

    audit_id: str
    stream: str
    sink: str
    status: str
    reason: str | None
    bytes: int
    markers: int
    traces: int
    audited_at: datetime


Row = EmbeddingRow | RejectionRow | EncoderRow | PredictionRow | CanaryRow


def size_bucket(size: int) -> str:
    """Return the power of ten that a size in bytes is below, as in '<1000', so that the exact size is not stored."""
    return next((f"<{bound}" for bound in _BUCKETS if size < bound), f">={_BUCKETS[-1]}")


def is_valid(row: Row) -> bool:
    """Return whether BigQuery accepts the row: required values present, text printable, times aware, vectors finite."""
    values, required, floats = _columns(row.TABLE)
    return all(map(_is_valid, values(row), required, floats))


@cache
def _columns(name: str) -> tuple[Callable[[Row], tuple[Any, ...]], tuple[bool, ...], tuple[bool, ...]]:
    """Return how to get the values of a table's row, and for each if it is required, and if floats may be in it."""
    (kind,) = (kind for kind in get_args(Row) if name == kind.TABLE)
    columns = {column.name: column for column in table(name).columns}
    of = [columns[field.name] for field in fields(kind)]
    required = tuple(column.mode != "NULLABLE" for column in of)
    # A column of records has floats in it if one of their fields has.
    floats = tuple("FLOAT64" in (column.type, *(field.type for field in column.fields)) for column in of)
    return attrgetter(*(column.name for column in of)), required, floats


def _is_valid(value: Any, is_required: bool, has_floats: bool) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if value is None:
        return not is_required
    if isinstance(value, datetime):
        return value.tzinfo is not None and _EARLIEST <= value <= _LATEST
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.size > 0 and bool(np.isfinite(value).all())
    if isinstance(value, tuple):
        return all(_is_valid(part, False, has_floats) for part in value)
    if isinstance(value, float):
        return has_floats and isfinite(value)
    return isinstance(value, bool | int)


def arrow_bytes(row: Row) -> int:
    """Return at least the bytes that a row has in an Arrow batch, which Arrow itself takes far longer to count."""
    values, _, _ = _columns(row.TABLE)
    return sum(map(_arrow_bytes, values(row)))


def _arrow_bytes(value: Any) -> int:
    if isinstance(value, str):
        return _OVERHEAD + len(value) * (1 if value.isascii() else _LONGEST_CHARACTER)
    if isinstance(value, np.ndarray):
        return _OVERHEAD + 8 * int(value.size)
    if isinstance(value, tuple):
        return _OVERHEAD + sum(map(_arrow_bytes, value))
    return _OVERHEAD


def to_arrow(rows: Sequence[Row]) -> pa.RecordBatch:
    """Convert rows of one type to an Arrow batch with the table's schema."""
    layout = _layout(rows[0].TABLE)
    columns = dict(zip(layout.names, pa.array(map(layout.record, rows), layout.type).flatten(), strict=True))
    for name in layout.vectors:
        columns[name] = _vectors([getattr(row, name) for row in rows])
    return pa.RecordBatch.from_arrays([columns[name] for name in layout.schema.names], schema=layout.schema)


def arrow_schema_bytes(name: str) -> bytes:
    """Return the serialized schema of the Arrow batches of a table's rows."""
    return _layout(name).serialized


class _Layout:
    """How the rows of a table become Arrow columns.

    All but vectors become one column of records, since Arrow gives up Python's lock several times for each column that
    it converts. In a process of many threads, to get the lock back takes longer than the conversion.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.serialized: bytes = schema.serialize().to_pybytes()
        self.vectors = [field.name for field in schema if _is_vector(field.type)]
        others = [field for field in schema if not _is_vector(field.type)]
        self.names = [field.name for field in others]
        self.type = pa.struct(others)
        self._values = attrgetter(*self.names)
        # Columns of records, which rows hold as tuples of tuples.
        self._nested = {
            field.name: [nested.name for nested in field.type.value_type] for field in others if _is_list(field.type)
        }

    def record(self, row: Row) -> dict[str, Any]:
        """Return the values of a row by column, except vectors."""
        record = dict(zip(self.names, self._values(row), strict=True))
        for name, parts in self._nested.items():
            record[name] = [dict(zip(parts, values, strict=True)) for values in record[name]]
        return record


@cache
def _layout(name: str) -> _Layout:
    return _Layout(table(name).arrow_schema)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_))


def _is_vector(type_: pa.DataType) -> bool:
    return _is_list(type_) and bool(pa.types.is_floating(type_.value_type))


def _vectors(vectors: Sequence[npt.NDArray[np.float32]]) -> pa.Array:
    """Return a column of vectors, whose values are of single precision."""
    offsets = np.cumsum([0, *(vector.size for vector in vectors)], dtype=np.int32)
    joined = b"".join([np.ascontiguousarray(vector, np.float32).data for vector in vectors])
    return pa.ListArray.from_arrays(offsets, np.frombuffer(joined, np.float32).astype(np.float64))
