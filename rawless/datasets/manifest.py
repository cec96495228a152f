"""The manifest of a snapshot: the proof that it can be made again, and the point from which readers see it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from rawless.datasets.compile import Build
from rawless.datasets.dataset import sql_digest
from rawless.datasets.ledger import Report
from rawless.warehouse.parameters import parameters, structs

_SOURCE = {"table_name": "STRING", "row_count": "INT64"}
_REMOVAL = {"rule": "STRING", "parameters": "STRING", "rows_in": "INT64", "removed": "INT64"}
_COUNT = {"split": "STRING", "label": "STRING", "row_count": "INT64"}


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
            structs("sources", _SOURCE, tables),
            structs("ledger", _REMOVAL, lines),
            structs("counts", _COUNT, [count._asdict() for count in found.counts]),
        ],
    )
