"""The registry of heads: which versions there are, what each was trained on, and the encoder that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest
from rawless.heads.metrics import Measure
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

_NEXT, _REGISTER, _REGISTERED = (
    FOLDER / "head_v1" / f"{name}.sql" for name in ("next_version", "register", "registered")
)
_OF_MANIFEST = ("head", "version", "kind", "snapshot_id", "fingerprint", "created_at")
_METRIC = {"name": "STRING", "value": "FLOAT64", "low": "FLOAT64", "high": "FLOAT64"}


@dataclass(frozen=True)
class Registered:
    """A version of a head."""

    head: str
    version: int
    kind: str
    snapshot_id: str | None
    fingerprint: str
    metrics: tuple[Measure, ...]
    artefact_digest: str
    created_at: datetime


def next_version(warehouse: Warehouse, head: str) -> int:
    """One more than the newest, from 1."""
    (row,) = warehouse.query(warehouse.render(_NEXT), parameters({"head": head}))
    return int(row["version"])


def register(warehouse: Warehouse, manifest: HeadManifest) -> None:
    """Tell of a head's version. Raises UserError when another process took its number meanwhile."""
    values = {name: getattr(manifest, name) for name in _OF_MANIFEST} | {"artefact_digest": manifest.digest}
    metrics = structs("metrics", _METRIC, [each._asdict() for each in manifest.metrics if isfinite(each.value)])
    _, job = warehouse.run(warehouse.render(_REGISTER), [*parameters(values), metrics])
    if not job.num_dml_affected_rows:
        raise UserError(
            f"Version {manifest.version} of the head {manifest.head} was made by another process meanwhile: "
            "run the command again."
        )


def heads(warehouse: Warehouse, head: str | None = None, fingerprint: str | None = None) -> list[Registered]:
    """All versions, those of a head, or those that need an encoder; the newest first."""
    values = parameters({"head": head, "fingerprint": fingerprint})
    return [_registered(row) for row in warehouse.query(warehouse.render(_REGISTERED), values)]


def find(warehouse: Warehouse, reference: str) -> Registered:
    """NAME@VERSION, or a name for its newest. Raises UserError when there is none."""
    name, _, version = reference.partition("@")
    for each in heads(warehouse, name):
        if version in ("", str(each.version)):
            return each
    raise UserError(f"There is no head {reference!r}: `rawless head list` shows what there is.")


def _registered(row: Mapping[str, Any]) -> Registered:
    metrics = tuple(Measure(each["name"], each["value"], each["low"], each["high"]) for each in row["metrics"])
    return Registered(**{**row, "metrics": metrics})
