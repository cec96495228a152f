"""Recording what attacks found, in `leakage_audit_v1`."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rawless.audit.leakage.attack import Measure
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

_RECORD = FOLDER / "leakage_audit_v1" / "record.sql"
_FLOATS = ("value", "low", "high", "control", "prior", "shuffled", "allowed_max")
_FIELDS = (
    dict.fromkeys(("attack", "metric"), "STRING")
    | dict.fromkeys(_FLOATS, "FLOAT64")
    | dict.fromkeys(("auxiliary_rows", "attacked_rows"), "INT64")
)


def write_measures(
    warehouse: Warehouse,
    measures: Sequence[Measure],
    *,
    fingerprint: str,
    stream: str | None = None,
    head: str | None = None,
    limits: Mapping[str, float] | None = None,
) -> str:
    """Write the measures of one audit, and return its id. `limits` are those of the stream, by metric."""
    audit_id = uuid.uuid4().hex
    values = {"audit_id": audit_id, "stream": stream, "encoder_fingerprint": fingerprint, "head": head}
    rows = [asdict(measure) | {"allowed_max": (limits or {}).get(measure.metric)} for measure in measures]
    statement_parameters = [*parameters(values | {"audited_at": datetime.now(UTC)}), structs("measures", _FIELDS, rows)]
    warehouse.query(warehouse.render(_RECORD), statement_parameters)
    return audit_id
