"""The last audits of a warehouse: leakage by encoder, canaries by stream, and drift by stream and encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from rawless.overview.encoders import encoder_names, name_of
from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import FOLDER

_MEASURES = FOLDER / "leakage_audit_v1" / "last_measures.sql"
_CANARIES = FOLDER / "canary_v1" / "last_runs.sql"
_DRIFT = FOLDER / "overview" / "drift.sql"


@dataclass(frozen=True)
class LeakageMeasure:
    """What an attack found, and what it finds in random vectors."""

    attack: str
    metric: str
    value: float
    control: float
    allowed_max: float | None
    """The limit of the stream's gate at the time of the audit."""


@dataclass(frozen=True)
class LeakageAudit:
    """The last measures of an encoder, or of a head, for one stream."""

    encoder: str
    """NAME@VERSION, or the beginning of the fingerprint if the name is not known."""
    encoder_fingerprint: str
    stream: str | None
    head: str | None
    audited_at: datetime
    measures: tuple[LeakageMeasure, ...]

    @property
    def above_limit(self) -> tuple[LeakageMeasure, ...]:
        """The measures above the limit."""
        return tuple(each for each in self.measures if each.allowed_max is not None and each.value > each.allowed_max)


@dataclass(frozen=True)
class CanaryAudit:
    """The last canary of a stream."""

    stream: str
    audited_at: datetime
    traces: int
    """Traces of planted content that were found, in all sinks."""
    sinks: Mapping[str, str]
    """The status of each sink: clean, traces, partial or unreachable."""


@dataclass(frozen=True)
class DriftAudit:
    """The last window of a stream and an encoder that was compared with a reference."""

    stream: str
    encoder: str
    encoder_fingerprint: str
    start_at: datetime
    end_at: datetime
    measured_at: datetime
    metrics: int
    """The number of metrics that were compared."""
    alarms: tuple[str, ...]
    """Codes of those above their threshold."""


@dataclass(frozen=True)
class Audits:
    """The last audits."""

    leakage: tuple[LeakageAudit, ...]
    canaries: tuple[CanaryAudit, ...]
    drift: tuple[DriftAudit, ...]


def audits(warehouse: Warehouse) -> Audits:
    """Return the last audits.

    Raises UserError for an account that may not read them, Unavailable when the warehouse does not answer.
    """
    measured, searched, compared = (warehouse.query(warehouse.render(each)) for each in (_MEASURES, _CANARIES, _DRIFT))
    names = encoder_names(warehouse) if measured or compared else {}

    def of(row: Mapping[str, Any]) -> tuple[str, str, str]:
        return row["encoder_fingerprint"], row["stream"] or "", row["head"] or ""

    return Audits(
        tuple(_leakage(list(rows), names) for _, rows in groupby(sorted(measured, key=of), of)),
        tuple(_canary(stream, list(rows)) for stream, rows in groupby(searched, lambda row: str(row["stream"]))),
        tuple(_drift(row, names) for row in compared),
    )


def _leakage(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> LeakageAudit:
    first = rows[0]
    return LeakageAudit(
        encoder=name_of(first["encoder_fingerprint"], names),
        encoder_fingerprint=first["encoder_fingerprint"],
        stream=first["stream"],
        head=first["head"],
        audited_at=max(row["audited_at"] for row in rows),
        measures=tuple(
            LeakageMeasure(row["attack"], row["metric"], row["value"], row["control"], row["allowed_max"])
            for row in rows
        ),
    )


def _canary(stream: str, rows: Sequence[Mapping[str, Any]]) -> CanaryAudit:
    return CanaryAudit(
        stream=stream,
        audited_at=max(row["audited_at"] for row in rows),
        traces=sum(row["traces"] for row in rows),
        sinks={row["sink"]: row["status"] for row in rows},
    )


def _drift(row: Mapping[str, Any], names: Mapping[str, str]) -> DriftAudit:
    return DriftAudit(
        stream=row["stream"],
        encoder=name_of(row["encoder_fingerprint"], names),
        encoder_fingerprint=row["encoder_fingerprint"],
        start_at=row["start_at"],
        end_at=row["end_at"],
        measured_at=row["measured_at"],
        metrics=row["metrics"],
        alarms=tuple(sorted(row["alarms"])),
    )
