"""Commit a snapshot by writing its manifest; readers see its rows from then on."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from rawless.datasets import snapshot_tables
from rawless.datasets.adapted_rows import AdaptedRows
from rawless.datasets.compile import CompiledDataset
from rawless.datasets.identity import sql_digest
from rawless.datasets.ledger import BuildReport
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import space_of
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

_REQUEST = FOLDER / "snapshot_manifest_v1" / "request.sql"
_SOURCE = {"table_name": "STRING", "row_count": "INT64"}
_REMOVAL = {"rule": "STRING", "parameters": "STRING", "rows_in": "INT64", "removed": "INT64"}
_COUNT = {"split": "STRING", "label": "STRING", "row_count": "INT64"}


def commit(
    compiled: CompiledDataset, report: BuildReport, *, fingerprint: str, row_digest: str,
    source_rows: Mapping[str, int], bytes_processed: int, adapted: AdaptedRows | None = None,
) -> None:  # fmt: skip
    """Write the manifest, which is the last step of a build."""
    spec, warehouse = compiled.spec, compiled.warehouse
    space = space_of(warehouse, fingerprint)
    stored = compiled.stored.model_copy(
        update={"encoder_space": None if space == fingerprint else space, "adapted": adapted}
    )
    values = {"dataset": spec.dataset, "snapshot_id": compiled.snapshot_id}
    values |= {"spec": stored.model_dump_json(), "sql_digest": sql_digest(adapted=spec.adapted is not None)}
    values |= {"fingerprint": fingerprint, "row_digest": row_digest}
    times = {"as_of": spec.as_of, "created_at": datetime.now(UTC)}
    ledger = [{**line._asdict(), "parameters": json.dumps(line.parameters, default=str)} for line in report.ledger]
    sources = [{"table_name": name, "row_count": count} for name, count in sorted(source_rows.items())]
    warehouse.run_in_turn(
        f"{warehouse.table_id('snapshot_manifest_v1')} {compiled.snapshot_id}",
        compiled.render("manifest"),
        [
            *parameters({**values, **times, "bytes_processed": bytes_processed}),
            structs("sources", _SOURCE, sources),
            structs("ledger", _REMOVAL, ledger),
            structs("counts", _COUNT, [count._asdict() for count in report.counts]),
        ],
    )


def record_request(warehouse: Warehouse, dataset: str, snapshot_id: str) -> None:
    """Record that a build asked for a snapshot that exists: of several, the name of its dataset means this one."""
    values = {"snapshot_id": snapshot_id, "requested_at": datetime.now(UTC)}
    warehouse.query(warehouse.render(_REQUEST), parameters(values))
    snapshot_tables.point(warehouse, dataset, snapshot_id)
