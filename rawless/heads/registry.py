"""The registry of heads in the warehouse: their versions, what each was trained on, and the encoder that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest
from rawless.heads.metrics import Metric
from rawless.similar_names import did_you_mean
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

_NEXT, _REGISTER, _REGISTERED = (
    FOLDER / "head_v1" / f"{name}.sql" for name in ("next_version", "register", "registered")
)
_MANIFEST_COLUMNS = ("head", "version", "kind", "snapshot_id", "fingerprint", "created_at")
_METRIC = {"name": "STRING", "value": "FLOAT64", "low": "FLOAT64", "high": "FLOAT64"}


@dataclass(frozen=True)
class RegisteredHead:
    """A registered version of a head."""

    head: str
    version: int
    kind: str
    snapshot_id: str | None
    fingerprint: str
    metrics: tuple[Metric, ...]
    artefact_digest: str
    created_at: datetime


def next_version(warehouse: Warehouse, head: str) -> int:
    """Return the number after the newest version of a head; 1 for the first."""
    (row,) = warehouse.query(warehouse.render(_NEXT), parameters({"head": head}))
    return int(row["version"])


def register(warehouse: Warehouse, manifest: HeadManifest) -> bool:
    """Register a version of a head, and return whether no other process had done so first."""
    values = {name: getattr(manifest, name) for name in _MANIFEST_COLUMNS} | {"artefact_digest": manifest.digest}
    finite = [metric._asdict() for metric in manifest.metrics if isfinite(metric.value)]
    statement_parameters = [*parameters(values), structs("metrics", _METRIC, finite)]
    key = f"{warehouse.table_id('head_v1')} {manifest.head} {manifest.version}"
    job = warehouse.run_in_turn(key, warehouse.render(_REGISTER), statement_parameters)
    return bool(job and job.num_dml_affected_rows)


def heads(warehouse: Warehouse, head: str | None = None, fingerprint: str | None = None) -> list[RegisteredHead]:
    """Return all versions, those of a head, or those that need an encoder; the newest first."""
    values = parameters({"head": head, "fingerprint": fingerprint})
    return [_registered(row) for row in warehouse.query(warehouse.render(_REGISTERED), values)]


def find(warehouse: Warehouse, reference: str) -> RegisteredHead:
    """Return the head NAME@VERSION, or the newest version of NAME. Raises UserError when there is none."""
    name, _, version = reference.partition("@")
    for head in heads(warehouse, name):
        if version in ("", str(head.version)):
            return head
    near = did_you_mean(name, {each.head for each in heads(warehouse)} - {name})
    raise UserError(f"There is no head {reference!r}{near}: `rawless head list` lists the heads.")


def _registered(row: Mapping[str, Any]) -> RegisteredHead:
    metrics = tuple(Metric(metric["name"], metric["value"], metric["low"], metric["high"]) for metric in row["metrics"])
    return RegisteredHead(**{**row, "metrics": metrics})
