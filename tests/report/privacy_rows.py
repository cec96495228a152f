"""Rows of the audit tables, as the commands of the privacy office write them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import bigquery

from encoders.catalogue import lookup
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import table
from tests.shop import make_row

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINILM = lookup("minilm@1.0.0").fingerprint
PERSON, EVENT, VALUE = "pseudonym-of-a-person", "id-of-an-inspected-event", "value-of-an-attribute"


def insert(warehouse: Warehouse, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose columns are not repeated; columns that are left out are null."""
    types = {column.name: column.type for column in table(name).columns if column.mode != "REPEATED"}
    given = [
        bigquery.ScalarQueryParameter(f"{column}_{n}", types[column], row.get(column))
        for n, row in enumerate(rows)
        for column in types
    ]
    values = ", ".join(f"({', '.join(f'@{column}_{n}' for column in types)})" for n in range(len(rows)))
    warehouse.query(f"INSERT INTO `{warehouse.table_id(name)}` ({', '.join(types)}) VALUES {values}", given)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def embeddings(warehouse: Warehouse, stream: str, count: int = 3, **fields: Any) -> None:
    """Append embeddings of a stream."""
    defaults = {"stream": stream, "encoder": "minilm", "encoder_version": "1.0.0", "encoder_fingerprint": MINILM}
    append_all(
        warehouse,
        [
            make_row(
                n,
                {
                    **defaults,
                    "subject_key": PERSON,
                    "attributes": (("channel", VALUE),),
                    "occurred_at": ago(n),
                    "logged_at": ago(n),
                    **fields,
                },
            )
            for n in range(1, count + 1)
        ],
    )


def canary(
    into: Warehouse, stream: str, days: float = 1, audit_id: str = "canary-1", traces: dict[str, int] | None = None
) -> None:
    """Insert a canary; `traces` has the number of traces by sink, below 0 for one that could not be searched."""
    sinks = traces or {"warehouse": 0, "home_folder": 0}
    rows = [
        {
            "audit_id": audit_id, "markers": 24, "stream": stream, "sink": sink,
            "bytes": 0 if found < 0 else 48_213_004,
            "status": "unreachable" if found < 0 else "traces" if found else "clean", "traces": max(found, 0),
            "reason": "no_permission" if found < 0 else None, "audited_at": ago(days),
        }
        for sink, found in sinks.items()
    ]  # fmt: skip
    insert(into, "canary_v1", rows)


def measure(metric: str, value: float, *controls: float | None, attack: str = "words", **fields: Any) -> dict[str, Any]:
    """Return a row of a leakage audit; `controls` are prior, random and shuffled."""
    prior, control, shuffled = controls or (0.253, 0.248, 0.251)
    return {
        "audit_id": "leakage-1", "stream": "support_message", "encoder_fingerprint": MINILM, "attack": attack,
        "metric": metric, "value": value, "low": value - 0.02, "high": value + 0.018, "control": control,
        "prior": prior, "shuffled": shuffled, "auxiliary_rows": 3000, "attacked_rows": 300, "audited_at": ago(10),
    } | fields  # fmt: skip


def waiver(days_left: float, **fields: Any) -> dict[str, Any]:
    """Return a row of a waiver."""
    return {
        "waiver_id": f"waiver-{days_left}", "stream": "support_message", "encoder_fingerprint": MINILM,
        "metric": "words_f1", "reason": "migration", "ticket": "PRIV-17", "granted_by": "officer@example.com",
        "granted_at": ago(60), "expires_at": ago(-days_left),
    } | fields  # fmt: skip


def erased(certificate_id: str, *objects: tuple[str, str, str, int], days: float = 5) -> list[dict[str, Any]]:
    """Return the rows of an erasure; each object has kind, id, action and number of rows."""
    return [
        {
            "certificate_id": certificate_id, "object_kind": kind, "object_id": object_id, "action": action,
            "row_count": count, "copies_end_at": ago(days - 14), "requested_by": "officer@example.com",
            "erased_at": ago(days),
        }
        for kind, object_id, action, count in objects
    ]  # fmt: skip


def inspection(reason: str = "wrong_label", days: float = 2) -> dict[str, Any]:
    """Return a row of an inspection."""
    return {
        "inspection_id": "inspection-1", "stream": "support_message", "event_id": EVENT, "reason": reason,
        "ticket": "OPS-4", "inspected_by": "oncall@example.com", "inspected_at": ago(days),
    }  # fmt: skip


def fill(warehouse: Warehouse) -> None:
    """Insert what an office would see in which nearly everything was done, and something is wrong."""
    embeddings(warehouse, "support_message", 40)
    embeddings(warehouse, "photo", 12, encoder="resnet18-seeded", encoder_fingerprint="ab" * 32, modality="image")
    canary(warehouse, "support_message", 100, "canary-0", {"warehouse": 5})
    canary(
        warehouse,
        "support_message",
        1,
        traces={"warehouse": 0, "home_folder": 0, "temporary_folder": 2, "cloud_logging": -1},
    )
    insert(warehouse, "leakage_audit_v1", [
        measure("words_f1", 0.9, audit_id="leakage-0", audited_at=ago(200)),
        measure("words_f1", 0.657),
        measure("content_words_f1", 0.620, 0.11, 0.10, 0.12),
        measure("planted_tokens_recall", 0.031, 0.0, 0.001, 0.002),
        measure("alignment_1000_words_f1", 0.41, 0.253, 0.25, 0.26, attack="alignment"),
        measure("attribute_domain_1000_auc", 0.93, 0.61, 0.50, 0.52, attack="attributes"),
        *(measure("membership_tpr", value, 0.01, 0.012, 0.009, attack="membership", head=head, stream=None)
          for head, value in (("pictured@1", 0.02), ("pictured@2", 0.31))),
        measure("linkage_changed", 0.98, 0.003, 0.41, 0.004, attack="linkage"),
    ])  # fmt: skip
    insert(warehouse, "waiver_v1", [waiver(9), waiver(-30, metric="content_words_f1", reason="test_data")])
    insert(warehouse, "inspection_v1", [inspection(), inspection(), inspection("complaint", 300)])
    finished = erased(
        "certificate-1", ("table", "embedding_event_v1", "deleted", 12), ("snapshot", "a" * 24, "deleted", 3),
        ("export", "gs://exports/pictured", "delete_by_hand", 3), ("head", "pictured@1", "retrain", 3),
        ("head", "other@1", "retrain", 0), ("table", "embedding_event_v1", "deleted", 12),
        ("certificate", "certificate-1", "finished", 15),
    )  # fmt: skip
    insert(
        warehouse, "erasure_v1", [*finished, *erased("certificate-2", ("table", "rejection_v1", "deleted", 1), days=1)]
    )
    insert(warehouse, "export_v1", [{"snapshot_id": "a" * 24, "path": "gs://exports/pictured", "made_at": ago(20)}])
