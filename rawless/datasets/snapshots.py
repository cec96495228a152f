"""Read snapshots: the manifests of finished ones, their rows, and the digest over rows."""

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rawless.datasets.spec import Label, Split
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.read import read
from rawless.warehouse.tables import FOLDER, table

SCHEMA: pa.Schema = table("snapshot_v1").arrow_schema.remove(0)
"""The schema of a snapshot's rows: the columns of `snapshot_v1` without `snapshot_id`."""
_FINISHED = FOLDER / "snapshot_manifest_v1" / "finished.sql"
_BEFORE_SPLIT = ("event_id", "left_event_id", "right_event_id", "stream", "occurred_at", "label", "label_value")
_FROM_SPLIT = ("split", "person_key", "encoder_fingerprint", "attributes")


class SourceRows(NamedTuple):
    """A table that a build read, with the number of its rows."""

    table_name: str
    row_count: int


class Removal(NamedTuple):
    """A line of the ledger: the examples before a rule, and those that it removed."""

    rule: str
    parameters: Mapping[str, Any]
    rows_in: int
    removed: int


class Count(NamedTuple):
    """The number of rows of one split and label."""

    split: str
    label: str
    row_count: int


@dataclass(frozen=True)
class Manifest:
    """One row of `snapshot_manifest_v1`: a finished snapshot."""

    dataset: str
    snapshot_id: str
    spec: Mapping[str, Any]
    """The `Dataset` that it was built from: the dataset file under `spec`, with the texts of its label and rules."""
    sql_digest: str
    as_of: datetime
    fingerprint: str
    sources: tuple[SourceRows, ...]
    ledger: tuple[Removal, ...]
    counts: tuple[Count, ...]
    row_digest: str
    bytes_processed: int
    created_at: datetime

    @property
    def rows(self) -> int:
        """Return the number of rows when it was finished; some may have been erased since."""
        return sum(count.row_count for count in self.counts)

    @property
    def label(self) -> Mapping[str, Any]:
        """Return the label section of the dataset file."""
        label: Mapping[str, Any] = self.spec.get("spec", self.spec).get("label", {})
        return label

    @property
    def is_pairs(self) -> bool:
        """Return whether its rows are pairs of events, with a vector for each event."""
        return self.label.get("kind") == "pair"

    @property
    def is_number(self) -> bool:
        """Return whether its label is a number."""
        return self.label.get("type") == "number"

    @property
    def label_bits(self) -> float:
        """Return how many bits about an event its label and its presence in the snapshot can carry."""
        if self.is_number and not self.label.get("step"):
            return 64.0  # an earlier version stored the number as it was
        return Label.model_construct(**self.label).bits

    @property
    def classes(self) -> tuple[str, ...]:
        """Return all classes of the label, in the order of the dataset file; empty if the label is a number."""
        return tuple(self.label.get("classes", ()))


def find(warehouse: Warehouse, reference: str) -> Manifest:
    """Return the snapshot with that id, or the one that a build of the dataset with that name asked for last.

    Raises UserError.
    """
    manifests = _finished(warehouse, reference)
    if not manifests:
        raise UserError(f"There is no snapshot and no dataset {reference!r}; `rawless dataset list` lists them.")
    return next((manifest for manifest in manifests if manifest.snapshot_id == reference), manifests[0])


def list_manifests(warehouse: Warehouse, dataset: str | None = None) -> list[Manifest]:
    """Return all finished snapshots, or those of one dataset, the one that a build asked for last first."""
    manifests = _finished(warehouse, dataset)
    return [manifest for manifest in manifests if dataset is None or manifest.dataset == dataset]


def _finished(warehouse: Warehouse, reference: str | None) -> list[Manifest]:
    rows = warehouse.query(warehouse.render(_FINISHED), parameters({"reference": reference}))
    return [_manifest(row) for row in rows]


def _manifest(row: Mapping[str, Any]) -> Manifest:
    values = {field.name: row[field.name] for field in fields(Manifest)}
    ledger = [Removal(**{**line, "parameters": _parse_json(line["parameters"])}) for line in row["ledger"]]
    values["spec"], values["ledger"] = _parse_json(row["spec"]), tuple(ledger)
    values["sources"] = tuple(SourceRows(**source) for source in row["sources"])
    values["counts"] = tuple(Count(**count) for count in row["counts"])
    return Manifest(**values)


def _parse_json(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; the client parses those at the top level of a row, but not nested ones."""
    parsed: Mapping[str, Any] = json.loads(value) if isinstance(value, str) else value
    return parsed


def batches(warehouse: Warehouse, snapshot_id: str, split: Split | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a snapshot, or of one of its splits, as Arrow batches of some megabytes with `SCHEMA`.

    The order is not defined. A list is never null. Raises UserError for a snapshot id that is not valid, and what
    `read` raises.
    """
    if not re.fullmatch(r"[0-9a-f]{16,64}", snapshot_id, re.ASCII):
        raise UserError(f"The snapshot id {snapshot_id!r} is not valid: it must be 16 to 64 of the characters 0-9a-f.")
    restriction = f"snapshot_id = '{snapshot_id}'" + (f" AND split = '{split}'" if split else "")
    for batch in read(warehouse, "snapshot_v1", SCHEMA.names, restriction):
        yield canonical(batch)


def canonical(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch cast to `SCHEMA`, with null lists replaced by empty ones."""
    return pa.RecordBatch.from_arrays([_column(batch, field) for field in SCHEMA], schema=SCHEMA)


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name).cast(field.type)
    if pa.types.is_list(field.type) and column.null_count:
        return pc.coalesce(column, pa.scalar([], field.type))
    return column


class RowDigest:
    """An incremental digest over rows in any order: the SHA-256 over the sorted SHA-256 hashes of the rows.

    A row is hashed as the length of a JSON array of its fields and the array, then for each vector its length and its
    values; lengths are eight bytes, numbers float64, all little-endian. The array contains `occurred_at` in
    microseconds since the epoch, `label_value` as the bytes of a float64 in hexadecimal, and the attributes sorted.
    Equal numbers have equal hashes: -0.0 is hashed as 0.0, and all NaNs as the same NaN.
    """

    def __init__(self) -> None:
        self._hashes: list[bytes] = []

    @property
    def rows(self) -> int:
        """Return the number of rows added."""
        return len(self._hashes)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch with the columns of `SCHEMA`. How rows are divided into batches does not matter."""
        rows = canonical(batch)
        vectors = zip(_vectors(rows.column("embedding")), _vectors(rows.column("right_embedding")), strict=True)
        for scalars, (left, right) in zip(_scalars(rows), vectors, strict=True):
            row = hashlib.sha256(struct.pack("<Q", len(scalars)))
            for part in (scalars, struct.pack("<Q", len(left) // 8), left, struct.pack("<Q", len(right) // 8), right):
                row.update(part)
            self._hashes.append(row.digest())

    def hexdigest(self) -> str:
        """Return the digest of all rows added so far, in hexadecimal."""
        return hashlib.sha256(b"".join(sorted(self._hashes))).hexdigest()


def digest(rows: Iterable[pa.RecordBatch]) -> tuple[str, int]:
    """Return the digest of rows, in hexadecimal, and their number. See `RowDigest`."""
    row_digest = RowDigest()
    for batch in rows:
        row_digest.add(batch)
    return row_digest.hexdigest(), row_digest.rows


def _scalars(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Yield all columns of each row except the vectors, as a JSON array."""
    columns = [batch.column(name) for name in (*_BEFORE_SPLIT, *_FROM_SPLIT)]
    columns[_BEFORE_SPLIT.index("occurred_at")] = batch.column("occurred_at").cast(pa.int64())
    number = _BEFORE_SPLIT.index("label_value")
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        values: list[Any] = list(row)
        values[number] = None if row[number] is None else _canonical_floats(np.array([row[number]])).tobytes().hex()
        values[-1] = sorted((attribute["key"], attribute["value"]) for attribute in row[-1])
        yield json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _vectors(column: pa.ListArray) -> Sequence[memoryview]:
    """Return each list as the bytes of its float64 values, as views of one array."""
    offsets = column.offsets.to_numpy()
    values = column.values[offsets[0] : offsets[-1]].to_numpy(zero_copy_only=False)
    view = _canonical_floats(values).data.cast("B")
    cuts = ((offsets - offsets[0]) * 8).tolist()
    return [view[start:end] for start, end in pairwise(cuts)]


def _canonical_floats(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return numbers as little-endian float64 such that equal numbers have equal bytes."""
    canonical_values = values.astype("<f8") + 0.0  # -0.0 + 0.0 is 0.0
    canonical_values[np.isnan(canonical_values)] = np.nan
    return canonical_values
