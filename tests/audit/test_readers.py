"""Who read which table when: from records in the form that Google's sink writes them, and from the local record."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from rawless.audit.readers import AUDIT_LOG, Access, logged, readers
from rawless.errors import UserError
from rawless.warehouse.account import user_name
from rawless.warehouse.client import Warehouse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SNAPSHOT = f"snapshot_{'0a' * 12}"
WORKER = "rawless-w-support@acme-production.iam.gserviceaccount.com"
BUILDER = "builder@acme-build.iam.gserviceaccount.com"


def _string(name: str) -> bigquery.SchemaField:
    return bigquery.SchemaField(name, "STRING")


def _record(name: str, *fields: bigquery.SchemaField, mode: str = "NULLABLE") -> bigquery.SchemaField:
    return bigquery.SchemaField(name, "RECORD", mode, fields=fields)


DELEGATION = _record(
    "serviceAccountDelegationInfo", _record("firstPartyPrincipal", _string("principalEmail")), mode="REPEATED"
)


def _entry(
    minutes: int, account: str, table: str, metadata: dict[str, Any], on_behalf_of: str | None = None
) -> dict[str, Any]:
    delegation = [{"firstPartyPrincipal": {"principalEmail": on_behalf_of}}] if on_behalf_of else []
    return {
        "timestamp": (NOON + timedelta(minutes=minutes)).isoformat(),
        "protopayload_auditlog": {
            "resourceName": f"projects/acme-embeddings/datasets/{table.replace('.', '/tables/')}",
            "authenticationInfo": {"principalEmail": account, "serviceAccountDelegationInfo": delegation},
            "metadataJson": json.dumps(metadata),
        },
    }


def _read(job: str) -> dict[str, Any]:
    return {"tableDataRead": {"fields": ["embedding"], "jobName": f"projects/acme/jobs/{job}", "reason": "JOB"}}


ENTRIES = [
    _entry(0, "ann@acme.example", f"snapshots.{SNAPSHOT}", _read("job-1")),
    _entry(5, "ann@acme.example", f"snapshots.{SNAPSHOT}", _read("job-2")),
    _entry(6, "ann@acme.example", "events.encoder_v1", _read("job-3")),
    _entry(7, BUILDER, "events.embedding_event_v1", _read("job-4"), on_behalf_of="bob@acme.example"),
    _entry(8, WORKER, "events.embedding_event_v1$20261120", {"tableDataChange": {"reason": "WRITE_API_APPEND_ROWS"}}),
    _entry(9, WORKER, "events.embedding_event_v1", {"jobInsertion": {}}),
    _entry(-60 * 24, "ann@acme.example", "events.embedding_event_v1", _read("job-0")),
]


@pytest.fixture
def audit_log(warehouse: Warehouse) -> Callable[..., None]:
    """Returns a function that makes the sink's table with records, without the columns that no record has needed."""

    def make(entries: list[dict[str, Any]], *further: bigquery.SchemaField) -> None:
        payload = _record(
            "protopayload_auditlog",
            _string("resourceName"),
            _record("authenticationInfo", _string("principalEmail"), *further),
            _string("metadataJson"),
        )
        table = bigquery.Table(
            f"{warehouse.dataset_id('audit')}.{AUDIT_LOG}", [bigquery.SchemaField("timestamp", "TIMESTAMP"), payload]
        )
        warehouse.client.create_table(table)
        assert warehouse.client.insert_rows_json(table, entries) == []

    return make


def _described(access: Access) -> tuple[str, str | None, str, str, int, bool]:
    return (
        access.account, access.on_behalf_of, access.table_name, access.action, access.accesses, access.by_person,
    )  # fmt: skip


def test_one_query_says_who_read_which_embeddings_when(warehouse: Warehouse, audit_log: Callable[..., None]) -> None:
    audit_log(ENTRIES, DELEGATION)

    found = logged(warehouse, NOON, None)

    assert [_described(access) for access in found] == [
        ("ann@acme.example", None, f"snapshots.{SNAPSHOT}", "read", 2, True),
        (BUILDER, "bob@acme.example", "events.embedding_event_v1", "read", 1, True),
        (WORKER, None, "events.embedding_event_v1", "change", 1, False),
    ]
    ann = found[0]
    assert (ann.day, ann.first_at, ann.last_job) == (date(2026, 11, 20), NOON, "job-2")
    assert ann.last_at == NOON + timedelta(minutes=5)
    assert found[2].last_job is None
    earlier = logged(warehouse, NOON - timedelta(days=2), "events.embedding_event_v1")
    assert [(access.day.day, access.account) for access in earlier] == [
        (20, BUILDER), (20, WORKER), (19, "ann@acme.example"),
    ]  # fmt: skip
    assert [access.last_job for access in logged(warehouse, NOON, "encoder_v1")] == ["job-3"]


def test_a_sink_that_has_copied_no_delegation_yet_can_be_read(
    warehouse: Warehouse, audit_log: Callable[..., None]
) -> None:
    entry = ENTRIES[0]
    payload = {**entry["protopayload_auditlog"], "authenticationInfo": {"principalEmail": "ann@acme.example"}}
    audit_log([{**entry, "protopayload_auditlog": payload}])

    (access,) = logged(warehouse, NOON, None)

    assert (access.account, access.on_behalf_of, access.last_job) == ("ann@acme.example", None, "job-1")


def test_a_warehouse_without_audit_logs_says_what_creates_them(warehouse: Warehouse) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(NotFound\): the log sink of terraform/audit creates it"):
        logged(warehouse, NOON, None)


def test_the_local_warehouse_answers_from_its_own_record(
    warehouse: Warehouse, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWLESS_HOME", str(home))
    begun = datetime.now(UTC)
    warehouse.query("SELECT event_id FROM embedding_event_v1 WHERE event_id = 'Rosalind'")
    warehouse.list_rows("encoder_v1")
    events = f"{warehouse.config.events}.embedding_event_v1"

    (access,) = [each for each in readers(warehouse, begun) if each.table_name == events]

    assert (access.account, access.action, access.by_person) == (user_name(), "read", True)
    assert access.last_job is not None
    assert begun <= access.first_at <= access.last_at
    assert len(readers(warehouse, begun, f"{warehouse.config.events}.encoder_v1")) == 1


def test_a_name_that_is_no_table_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(UserError, match="--table is neither TABLE nor DATASET"):
        readers(warehouse, NOON, "Rosalind is my name")
