"""Snapshots: the manifests of those that are finished, their rows, and the digest over rows."""

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

from rawless.datasets.spec import Split
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.read import read
from rawless.warehouse.tables import FOLDER, table

SCHEMA: pa.Schema = table("snapshot_v1").arrow_schema.remove(0)
"""Of a snapshot's rows: the columns of `snapshot_v1` without `snapshot_id`."""
_FINISHED = FOLDER / "snapshot_manifest_v1" / "finished.sql"
_HEAD = ("event_id", "left_event_id", "right_event_id", "stream", "occurred_at", "label", "label_value")
_TAIL = ("split", "person_key", "encoder_fingerprint", "attributes")


class SourceRows(NamedTuple):
    """A table that a build read."""

    table_name: str
    row_count: int


class Removal(NamedTuple):
    """A line of the ledger."""

    rule: str
    parameters: Mapping[str, Any]
    rows_in: int
    removed: int


class Count(NamedTuple):
    """Rows of one split and label."""

    split: str
    label: str
    row_count: int


@dataclass(frozen=True)
class Manifest:
    """One row of `snapshot_manifest_v1`: a finished snapshot."""

    dataset: str
    snapshot_id: str
    spec: Mapping[str, Any]
    """What it was built from: under `spec` the dataset file, beside it the texts of its label and rules."""
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
        """How many it had when it was finished; erasure may have taken some since."""
        return sum(count.row_count for count in self.counts)

    @property
    def label(self) -> Mapping[str, Any]:
        """What the spec says of its label."""
        label: Mapping[str, Any] = self.spec.get("spec", self.spec).get("label", {})
        return label

    @property
    def is_pairs(self) -> bool:
        """Whether its rows are pairs of events, each with a vector of its own."""
        return self.label.get("kind") == "pair"

    @property
    def is_number(self) -> bool:
        """Whether its label is a number."""
        return self.label.get("type") == "number"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the spec's order, those that no row has too; none when the label is a number."""
        return tuple(self.label.get("classes", ()))


def find(warehouse: Warehouse, reference: str) -> Manifest:
    """The snapshot of that id, or a dataset's newest. Raises UserError when there is none."""
    found = _finished(warehouse, reference)
    if not found:
        raise UserError(
            f"There is no snapshot and no dataset {reference!r}: `rawless dataset list` shows what was built."
        )
    return next((manifest for manifest in found if manifest.snapshot_id == reference), found[0])


def list_manifests(warehouse: Warehouse, dataset: str | None = None) -> list[Manifest]:
    """Every finished snapshot, or those of one dataset, the newest first."""
    found = _finished(warehouse, dataset)
    return [manifest for manifest in found if dataset is None or manifest.dataset == dataset]


def _finished(warehouse: Warehouse, reference: str | None) -> list[Manifest]:
    rows = warehouse.query(warehouse.render(_FINISHED), parameters({"reference": reference}))
    return [_manifest(row) for row in rows]


def _manifest(row: Mapping[str, Any]) -> Manifest:
    whole = {field.name: row[field.name] for field in fields(Manifest)}
    removals = [Removal(**{**line, "parameters": _parsed(line["parameters"])}) for line in row["ledger"]]
    whole["spec"], whole["ledger"] = _parsed(row["spec"]), tuple(removals)
    whole["sources"] = tuple(SourceRows(**source) for source in row["sources"])
    whole["counts"] = tuple(Count(**count) for count in row["counts"])
    return Manifest(**whole)


def _parsed(value: Any) -> Mapping[str, Any]:
    """A JSON object, which the client parses at the top of a row only."""
    parsed: Mapping[str, Any] = json.loads(value) if isinstance(value, str) else value
    return parsed


def batches(warehouse: Warehouse, snapshot_id: str, split: Split | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a snapshot, or of one split of it, as Arrow batches of some megabytes with `SCHEMA`, in any order.

    A list is never null. Raises UserError for what is no snapshot id, and what `read` does.
    """
    if not re.fullmatch(r"[0-9a-f]{16,64}", snapshot_id, re.ASCII):
        raise UserError(f"A snapshot id is 16 to 64 of the characters 0-9a-f, but this one is {snapshot_id!r}.")
    restriction = f"snapshot_id = '{snapshot_id}'" + (f" AND split = '{split}'" if split else "")
    for batch in read(warehouse, "snapshot_v1", SCHEMA.names, restriction):
        yield canonical(batch)


def canonical(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with `SCHEMA`, whoever made it; a missing list as an empty one."""
    return pa.RecordBatch.from_arrays([_column(batch, field) for field in SCHEMA], schema=SCHEMA)


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name).cast(field.type)
    if pa.types.is_list(field.type) and column.null_count:
        return pc.coalesce(column, pa.scalar([], field.type))
    return column


class RowDigest:
    """Digests rows as they come: sha256 over the sorted sha256 of each.

    A row is hashed as the length of a JSON array of its fields and the array, then for each vector its length and its
    values; lengths are eight bytes, numbers float64, all little-endian. The array holds `occurred_at` in microseconds
    since the epoch, `label_value` as the bytes of a float64 in hexadecimal, and the attributes sorted. What is equal
    counts as equal: -0.0 is hashed as 0.0, and every NaN as one NaN.
    """

    def __init__(self) -> None:
        self._hashes: list[bytes] = []

    @property
    def rows(self) -> int:
        """How many came."""
        return len(self._hashes)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in a batch of any cut, with the columns of `SCHEMA`."""
        whole = canonical(batch)
        vectors = zip(_vectors(whole.column("embedding")), _vectors(whole.column("right_embedding")), strict=True)
        for fields_of, (left, right) in zip(_fields(whole), vectors, strict=True):
            row = hashlib.sha256(struct.pack("<Q", len(fields_of)))
            for part in (fields_of, struct.pack("<Q", len(left) // 8), left, struct.pack("<Q", len(right) // 8), right):
                row.update(part)
            self._hashes.append(row.digest())

    def hexdigest(self) -> str:
        """Of all rows by now."""
        return hashlib.sha256(b"".join(sorted(self._hashes))).hexdigest()


def digest(rows: Iterable[pa.RecordBatch]) -> tuple[str, int]:
    """The digest of a snapshot's rows, in hexadecimal, and their number. Order and batches do not matter."""
    taken = RowDigest()
    for batch in rows:
        taken.add(batch)
    return taken.hexdigest(), taken.rows


def _fields(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Everything but the vectors of each row, as JSON."""
    columns = [batch.column(name) for name in (*_HEAD, *_TAIL)]
    columns[_HEAD.index("occurred_at")] = batch.column("occurred_at").cast(pa.int64())
    numbers = _HEAD.index("label_value")
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        told: list[Any] = list(row)
        told[numbers] = None if row[numbers] is None else _same(np.array([row[numbers]])).tobytes().hex()
        told[-1] = sorted((each["key"], each["value"]) for each in row[-1])
        yield json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _vectors(column: pa.ListArray) -> Sequence[memoryview]:
    """Each list as the bytes of its float64, without a copy of its own."""
    offsets = column.offsets.to_numpy()
    values = column.values[offsets[0] : offsets[-1]].to_numpy(zero_copy_only=False)
    view = _same(values).data.cast("B")
    cuts = ((offsets - offsets[0]) * 8).tolist()
    return [view[start:end] for start, end in pairwise(cuts)]


def _same(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Numbers as little-endian float64, equal ones with equal bytes."""
    same = values.astype("<f8") + 0.0  # -0.0 + 0.0 is 0.0
    same[np.isnan(same)] = np.nan
    return same
