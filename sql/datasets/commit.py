"""The manifest of a snapshot: the proof that it can be made again, and the point from which readers see it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.cloud import bigquery

from sql.datasets.dataset import sql_digest
from sql.datasets.report import Report
from sql.datasets.statements import Build, parameters


def commit(
    build: Build, found: Report, snapshot_id: str, fingerprint: str, row_digest: str, *,
    counted: Mapping[str, int], processed: int,
) -> None:  # fmt: skip
    """Writes the manifest: a snapshot's last step."""
    spec = build.dataset.spec
    values = {"dataset": spec.dataset, "snapshot_id": snapshot_id, "spec": build.dataset.model_dump_json()}
    values |= {"sql_digest": sql_digest(), "fingerprint": fingerprint, "row_digest": row_digest}
    lines = [{**line._asdict(), "parameters": json.dumps(line.parameters, default=str)} for line in found.ledger]
    tables = [{"table_name": name, "row_count": count} for name, count in sorted(counted.items())]
    times = {"as_of": build.as_of, "created_at": datetime.now(UTC)}
    build.warehouse.query(
        build.template("manifest"),
        [
            *parameters({**values, **times, "bytes_processed": processed}),
            _structs("sources", tables),
            _structs("ledger", lines),
            _structs("counts", [count._asdict() for count in found.counts]),
        ],
    )


def _structs(name: str, rows: Sequence[Mapping[str, Any]]) -> bigquery.ArrayQueryParameter:
    structs = [bigquery.StructQueryParameter(None, *parameters(row)) for row in rows]
    kind = structs[0].struct_types if structs else {"table_name": "STRING", "row_count": "INT64"}
    types = [bigquery.ScalarQueryParameterType(each, name=field) for field, each in kind.items()]  # type: ignore[no-untyped-call]
    return bigquery.ArrayQueryParameter(name, bigquery.StructQueryParameterType(*types), structs)  # type: ignore[no-untyped-call]
