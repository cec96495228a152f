"""The registry of heads: which versions there are, what each was trained on, and the encoder that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from google.cloud import bigquery

from heads.artefact import HeadManifest
from heads.measures import Measure
from privacy import UserError
from sql.tables import FOLDER
from sql.warehouse import Warehouse

_NEXT, _REGISTER, _REGISTERED = (
    FOLDER / "head_v1" / f"{name}.sql" for name in ("next_version", "register", "registered")
)


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
    (row,) = warehouse.query(warehouse.render(_NEXT), [_text("head", head)])
    return int(row["version"])


def register(warehouse: Warehouse, manifest: HeadManifest) -> None:
    """Tell of a head's version. Raises UserError when another process took its number meanwhile."""
    metrics = [_struct(each) for each in manifest.metrics if isfinite(each.value)]
    values: list[Any] = [_text(name, getattr(manifest, name)) for name in ("head", "kind", "snapshot_id")]
    values += [_text("fingerprint", manifest.fingerprint), _text("artefact_digest", manifest.digest)]
    values.append(bigquery.ScalarQueryParameter("version", "INT64", manifest.version))
    values.append(bigquery.ScalarQueryParameter("created_at", "TIMESTAMP", manifest.created_at))
    values.append(bigquery.ArrayQueryParameter("metrics", _METRIC, metrics))
    _, job = warehouse.run(warehouse.render(_REGISTER), values)
    if not job.num_dml_affected_rows:
        raise UserError(
            f"Version {manifest.version} of the head {manifest.head} was made by another process meanwhile: "
            "run the command again."
        )


def heads(warehouse: Warehouse, head: str | None = None, fingerprint: str | None = None) -> list[Registered]:
    """All versions, those of a head, or those that need an encoder; the newest first."""
    parameters = [_text("head", head), _text("fingerprint", fingerprint)]
    return [_registered(row) for row in warehouse.query(warehouse.render(_REGISTERED), parameters)]


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


_NUMBERS = ("value", "low", "high")
_METRIC = bigquery.StructQueryParameterType(  # type: ignore[no-untyped-call]
    bigquery.ScalarQueryParameterType("STRING", name="name"),  # type: ignore[no-untyped-call]
    *(bigquery.ScalarQueryParameterType("FLOAT64", name=each) for each in _NUMBERS),  # type: ignore[no-untyped-call]
)


def _struct(measure: Measure) -> bigquery.StructQueryParameter:
    numbers = [bigquery.ScalarQueryParameter(each, "FLOAT64", getattr(measure, each)) for each in _NUMBERS]
    return bigquery.StructQueryParameter(None, _text("name", measure.name), *numbers)


def _text(name: str, value: str | None) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, "STRING", value)
