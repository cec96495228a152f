"""Read snapshots: the manifests of finished ones, and their rows."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rawless.config import check
from rawless.datasets import snapshot_tables
from rawless.datasets.adapted_rows import AdaptedRows
from rawless.datasets.rendering import render_template
from rawless.datasets.spec import Feature, Label, Split
from rawless.errors import UserError
from rawless.similar_names import did_you_mean
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.read import read
from rawless.warehouse.tables import FOLDER, table

_DERIVED = ("logged_at", "dimension", "is_capped", "row_hash")
SCHEMA: pa.Schema = pa.schema([field for field in table("snapshot_v1").arrow_schema if field.name not in _DERIVED])
"""The schema of a snapshot's rows: the columns of its table but those that tell of others."""
_FINISHED = FOLDER / "snapshot_manifest_v1" / "finished.sql"


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
    def space(self) -> str:
        """Return the space of its vectors: the encoder's fingerprint, unless the manifest says another one."""
        return str(self.spec.get("encoder_space") or self.fingerprint)

    @property
    def adapted(self) -> AdaptedRows | None:
        """Return how many of its rows are adapted; None if its dataset takes no adapted rows."""
        recorded = self.spec.get("adapted")
        return check(recorded, AdaptedRows, where=f"The manifest of {self.snapshot_id}") if recorded else None

    def has_vectors_of(self, fingerprint: str) -> bool:
        """Return whether it has vectors of an encoder, native or adapted ones."""
        return fingerprint in (self.fingerprint, self.adapted and self.adapted.fingerprint)

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
    def features(self) -> Mapping[str, Feature]:
        """Return the features of its rows by name, sorted."""
        declared: Mapping[str, Any] = self.spec.get("spec", self.spec).get("features", {})
        return {name: check(fields, Feature, where=f"The feature {name}") for name, fields in sorted(declared.items())}

    @property
    def feature_bits(self) -> float:
        """Return how many bits about an event its features can carry."""
        return math.fsum(feature.bits for feature in self.features.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Return all classes of the label, in the order of the dataset file; empty if the label is a number."""
        return tuple(self.label.get("classes", ()))


def find(warehouse: Warehouse, reference: str, space: str | None = None) -> Manifest:
    """Return the snapshot with that id, or the one that a build of the dataset with that name asked for last.

    With a space, the last one of a dataset whose vectors are of it, or the last one if there is none. Raises UserError.
    """
    manifests = _finished(warehouse, reference)
    if not manifests:
        near = did_you_mean(reference, {manifest.dataset for manifest in list_manifests(warehouse)})
        raise UserError(f"There is no snapshot and no dataset {reference!r}{near}; `rawless dataset list` lists them.")
    last = next((manifest for manifest in manifests if manifest.space == space), manifests[0])
    return next((manifest for manifest in manifests if manifest.snapshot_id == reference), last)


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
    table_id = snapshot_tables.table_id(warehouse, snapshot_id)
    for batch in read(warehouse, table_id, SCHEMA.names, f"split = '{split}'" if split else ""):
        yield canonical(batch)


class Summary(NamedTuple):
    """The digest over the rows of a snapshot, their number, and their smallest and largest dimension."""

    row_digest: str
    rows: int
    least_dimension: int | None
    most_dimension: int | None


def summarise(warehouse: Warehouse, snapshot_id: str, *, hash_again: bool = False) -> Summary:
    """Return the digest over the rows of a snapshot as BigQuery computes it, by their stored hashes or by new ones."""
    table_id = snapshot_tables.table_id(warehouse, snapshot_id)
    (row,) = warehouse.query(render_template(warehouse, "digest", snapshot=table_id, hash_again=hash_again))
    return Summary(row["row_digest"], row["examples"], row["least_dimension"], row["most_dimension"])


def canonical(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch cast to `SCHEMA`, with null lists replaced by empty ones."""
    return pa.RecordBatch.from_arrays([_column(batch, field) for field in SCHEMA], schema=SCHEMA)


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name).cast(field.type)
    if pa.types.is_list(field.type) and column.null_count:
        return pc.coalesce(column, pa.scalar([], field.type))
    return column
