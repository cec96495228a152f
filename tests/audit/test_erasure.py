"""Erasing persons and events: every row of theirs goes, no other changes, and a replay brings none back."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest

from rawless.audit.erasure.certificate import list_erasures
from rawless.audit.erasure.erase import erase, erase_again, extend_tombstones, finish_open, plan
from rawless.audit.erasure.requested import Event, Persons, read_persons
from rawless.datasets import snapshot_tables
from rawless.datasets.export import record as record_export
from rawless.datasets.verify import verify
from rawless.errors import Unavailable, UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.warehouse.account import user_name
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.subjects import SyncProgress, business_column, rotate, sync
from rawless.warehouse.tables import ROLES
from tests.shop import AS_OF, Shop, make_row

AT = {"occurred_at": AS_OF - timedelta(days=1), "logged_at": AS_OF - timedelta(days=1)}
ERASED = (1, 2)
"""Persons of the shop, each with three uploads."""


def quiet(_: str) -> None:
    pass


def persons(*numbers: int) -> Persons:
    pseudonyms = frozenset((f"customer-{number}", f"person-{number}") for number in numbers)
    return Persons(pseudonyms, len(numbers))


def insert(warehouse: Warehouse, table: str, columns: str, select: str) -> None:
    warehouse.query(f"INSERT INTO `{warehouse.table_id(table)}` ({columns}) {select}")


def fill(warehouse: Warehouse, people: int = 40) -> None:
    """Map persons under two keys, and let each have a prediction and a rejection."""
    numbers = f"FROM UNNEST(GENERATE_ARRAY(0, {people - 1})) AS n"
    for key in ("old", "k1"):
        prefix = "person" if key == "k1" else "former"
        insert(
            warehouse,
            "subject_map_v1",
            "customer_id, subject_key, subject_key_id, person_key",
            f"SELECT CONCAT('customer-', n), CONCAT('{prefix}-', n), '{key}', CONCAT('person-', n) {numbers}",
        )
    insert(
        warehouse,
        "prediction_v1",
        "stream, event_id, subject_key, head, version, probabilities, predicted_at",
        f"SELECT 'upload', CONCAT('e-', n), CONCAT('person-', n), 'h', 1, [], TIMESTAMP '2026-01-30' {numbers}",
    )
    insert(
        warehouse,
        "rejection_v1",
        "stream, event_id, subject_key, message_id, stage, reason, size_bucket, rejected_at",
        f"SELECT 'upload', CONCAT('bad-', n), CONCAT('former-', n), CONCAT('m-', n), 'decode', 'empty_text', '0', "
        f"TIMESTAMP '2026-01-30' {numbers}",
    )


def everything(warehouse: Warehouse) -> dict[str, list[str]]:
    """Return all rows of all tables that can have rows of persons, as texts, without a query for each table."""
    client = warehouse.client
    rows: dict[str, list[str]] = {}
    for role in ("events", "snapshots", "builds", "subjects"):
        for item in client.list_tables(warehouse.dataset_id(role)):
            if item.table_type != "VIEW" and item.table_id != "snapshot_erasure_v1":
                found = client.list_rows(item.reference, selected_fields=client.get_table(item.reference).schema)
                rows[f"{role}.{item.table_id}"] = sorted(json.dumps(dict(row), default=str) for row in found)
    return rows


def of(numbers: Iterable[int], people: int = 40, events: int = 120) -> Callable[[str], bool]:
    """Return whether a row is of one of these persons."""
    marks = [f'"{prefix}-{number}"' for number in numbers for prefix in ("person", "former", "customer", "bad")]
    marks += [f'"e-{event}"' for event in range(events) if event % people in numbers]
    return lambda row: any(mark in row for mark in marks)


def known(warehouse: Warehouse) -> set[str]:
    rows = warehouse.query(
        f"SELECT event_id FROM `{warehouse.dataset_id('events')}.embedding_event`"
        "(TIMESTAMP '2000-01-01', TIMESTAMP '2100-01-01')"
    )
    return {row["event_id"] for row in rows}


def test_every_row_of_the_persons_goes_no_other_changes_and_only_these_are_certified(shop: Shop) -> None:
    warehouse = shop.warehouse
    fill(warehouse)
    manifest = shop.build().manifest
    record_export(warehouse, manifest.snapshot_id, shop.folder / "copy.parquet")
    insert(
        warehouse,
        "head_v1",
        "head, version, kind, snapshot_id, fingerprint, metrics, artefact_digest, created_at",
        f"SELECT 'cats', 1, 'linear', '{manifest.snapshot_id}', 'f', [], 'd', TIMESTAMP '2026-02-02'",
    )
    before = everything(warehouse)
    planned = plan(warehouse, persons(*ERASED), quiet)
    assert everything(warehouse) == before

    certificate = erase(warehouse, persons(*ERASED), quiet)

    is_theirs = of(ERASED)
    kept = {
        name: rows
        if name.removeprefix("events.") in ("confirmed", "account_closed")
        else [row for row in rows if not is_theirs(row)]
        for name, rows in before.items()
    }
    assert everything(warehouse) == kept
    lost = {name: len(rows) - len(kept[name]) for name, rows in before.items()}
    deleted = {each.object_id: each.row_count for each in certificate.deleted}
    assert deleted == {
        "embedding_event_v1": 6,
        "prediction_v1": 2,
        "rejection_v1": 2,
        "subject_map_v1": 4,
        manifest.snapshot_id: lost[f"snapshots.snapshot_{manifest.snapshot_id}"],
    }
    assert {each.name: each.rows for each in planned.findings if each.action == "delete"} == deleted
    assert certificate.persons == planned.persons == 2
    assert certificate.events == planned.events == 8
    assert [each.object_id for each in certificate.heads] == ["cats@1"]
    assert [each.object_id.endswith("/copy.parquet") for each in certificate.exports] == [True]
    assert certificate.copies_end_at > certificate.erased_at + timedelta(days=13)
    assert not is_theirs(str(certificate.to_json()) + "\n".join(certificate.lines()))

    verdict = verify(warehouse, manifest, quiet)
    assert verdict.stored_is_equal
    assert verdict.rebuilt_is_equal
    assert verdict.erased_rows == lost[f"snapshots.snapshot_{manifest.snapshot_id}"]

    name = snapshot_tables.table_id(warehouse, manifest.snapshot_id)
    warehouse.query(f"DELETE FROM `{name}` WHERE event_id = 'e-5'")
    erase(warehouse, persons(6), quiet)
    verdict = verify(warehouse, manifest, quiet)
    assert not verdict.is_equal
    assert verdict.findings[0] == "The rows were not those of the manifest when some were erased."


class Killed(BaseException):
    """What ends a process between two statements."""


STEPS = (
    "INSERT INTO `{audit}.event_tombstone_v1",
    "INSERT INTO `{audit}.erasure_v1",
    "DELETE FROM `{snapshots}.snapshot_",
    "DELETE FROM `{events}.rejection_v1",
    "DELETE FROM `{events}.embedding_event_v1",
    "DELETE FROM `{subjects}.subject_map_v1",
)
"""Statements before which, or after which, an erasure is killed."""


def kill(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
    """Let the next erasure end before or after the first statement that begins like this."""
    query = type(warehouse.client).query
    name = step.format(**{role: warehouse.dataset_id(role) for role in ROLES})

    def killed(statement: str, **options: Any) -> Any:
        is_step = name in statement and not options["job_config"].dry_run
        if is_step and when == "before":
            raise Killed
        job = query(warehouse.client, statement, **options)
        if is_step:
            job.result()
            raise Killed
        return job

    monkeypatch.setattr(warehouse.client, "query", killed)


@pytest.mark.full
def test_an_erasure_that_is_killed_anywhere_is_finished_by_the_next_run(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(warehouse, 4)
    append_all(warehouse, [make_row(number, {"subject_key": f"person-{number}"}) for number in range(4)])
    snapshot = copy_to_snapshot(warehouse, range(4))
    before = everything(warehouse)
    for step in STEPS:
        kill(warehouse, monkeypatch, step, "after" if "tombstone" in step or "DELETE" in step else "before")
        with pytest.raises(Killed):
            erase(warehouse, persons(*ERASED), quiet)
        assert known(warehouse) == {"e-0", "e-3"}
    monkeypatch.undo()

    certificate = erase(warehouse, persons(*ERASED), quiet)

    is_theirs = of(ERASED, 4, 4)
    assert everything(warehouse) == {
        name: [row for row in rows if not is_theirs(row)] for name, rows in before.items()
    }  # the tables of the killed runs are deleted too
    assert {each.object_id: each.row_count for each in certificate.deleted} == {
        "embedding_event_v1": 2, "prediction_v1": 2, "rejection_v1": 2, "subject_map_v1": 4, snapshot: 2,
    }  # fmt: skip
    assert finish_open(warehouse, quiet) == []


def copy_to_snapshot(warehouse: Warehouse, numbers: Iterable[int], snapshot_id: str = "a" * 24) -> str:
    """Create a snapshot without a manifest, as a build does, with a row for each of these events."""
    rows = []
    for number in numbers:
        row = make_row(number, {})
        times = f"TIMESTAMP '{row.occurred_at}', TIMESTAMP '{row.logged_at}'"
        rows.append(f"('{row.event_id}', 'upload', {times}, 'train', 'person-{number}', 'f', 8, '{number:064x}')")
    snapshot_tables.create(warehouse, snapshot_id)
    warehouse.query(
        f"INSERT INTO `{snapshot_tables.table_id(warehouse, snapshot_id)}` (event_id, stream, occurred_at, logged_at, "
        f"split, person_key, encoder_fingerprint, dimension, row_hash) VALUES {', '.join(rows)}"
    )
    return snapshot_id


def test_a_replay_brings_nothing_back_and_a_returning_customer_may_come(warehouse: Warehouse) -> None:
    append_all(warehouse, [make_row(number, {}) for number in range(120)])
    erase(warehouse, persons(1), quiet)
    late = datetime.now(UTC)
    again = make_row(1, {"logged_at": late})
    without_person = make_row(41, {"logged_at": late, "subject_key": None, "subject_key_id": None})
    under_a_new_key = make_row(81, {"logged_at": late, "subject_key": "new-1"})
    served = make_row(1, {"logged_at": late, "origin": "serving", "subject_key": None, "event_id": "e-41"})
    unseen = make_row(1, {"logged_at": late, "event_id": "e-unseen"})
    new = make_row(1, {"logged_at": late, "occurred_at": late, "event_id": "e-new"})
    append_all(warehouse, [again, without_person, under_a_new_key, served, unseen, new])

    assert known(warehouse) == {f"e-{number}" for number in range(120) if number % 40 != 1} | {"e-new"}
    (swept,) = erase_again(warehouse, quiet)
    assert [(each.object_id, each.row_count) for each in swept.deleted] == [("embedding_event_v1", 5)]
    assert erase_again(warehouse, quiet) == []
    assert "e-new" in known(warehouse)


def test_one_event_is_erased_with_all_its_deliveries(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    fill(warehouse)
    snapshot = copy_to_snapshot(warehouse, range(40))
    append_all(warehouse, [make_row(7, {}), make_row(7, {"stream": "other"})])
    certificate = erase(warehouse, Event("upload", "e-7"), quiet)

    assert {each.object_id: each.row_count for each in certificate.deleted} == {
        "embedding_event_v1": 1,
        "prediction_v1": 1,
        snapshot: 1,
    }
    assert (certificate.persons, certificate.events) == (0, 1)
    assert certificate.requested_by == user_name()
    append_all(warehouse, [make_row(7, {"logged_at": datetime.now(UTC)})])
    rows = warehouse.query(
        f"SELECT stream FROM `{warehouse.dataset_id('events')}.embedding_event`"
        "(TIMESTAMP '2000-01-01', TIMESTAMP '2100-01-01') WHERE event_id = 'e-7'"
    )
    assert rows == [{"stream": "other"}]
    assert erase(warehouse, Event("upload", "e-7"), quiet).rows == 1


def test_the_erasure_of_an_event_that_was_killed_is_finished_and_returned(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(warehouse, [make_row(7, {})])
    kill(warehouse, monkeypatch, "DELETE FROM `{events}.embedding_event_v1", "after")
    with pytest.raises(Killed):
        erase(warehouse, Event("upload", "e-7"), quiet)
    monkeypatch.undo()

    finished = erase(warehouse, Event("upload", "e-7"), quiet)

    assert [each.certificate_id for each in list_erasures(warehouse)] == [finished.certificate_id]
    assert finished.rows == 1


def test_content_in_place_of_an_event_id_is_stored_nowhere(warehouse: Warehouse) -> None:
    append_all(warehouse, [make_row(7, {})])
    for request in (erase, plan):
        with pytest.raises(UserError, match="no row of this event") as refused:
            request(warehouse, Event("upload", "I am Ann, delete my complaint"), quiet)
        assert "Ann" not in str(refused.value)

    assert warehouse.list_rows("event_tombstone_v1") == []


def test_a_pair_goes_if_either_event_does(warehouse: Warehouse) -> None:
    append_all(warehouse, [make_row(number, {"subject_key": f"person-{number}"}) for number in range(4)])
    served = {"subject_key": "person-1", "origin": "serving", "event_id": "e-served"}
    append_all(warehouse, [make_row(5, served)])
    snapshot = "b" * 24
    snapshot_tables.create(warehouse, snapshot)
    name = snapshot_tables.table_id(warehouse, snapshot)
    pairs = [("e-0", "e-1"), ("e-1", "e-0"), ("e-0", "e-served"), ("e-2", "e-3")]
    values = ", ".join(
        f"('{left}', '{right}', 'upload', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'train', "
        f"'person-{left[2:]}', 'f', 8, '{number:064x}')"
        for number, (left, right) in enumerate(pairs)
    )
    warehouse.query(
        f"INSERT INTO `{name}` (left_event_id, right_event_id, stream, occurred_at, logged_at, split, person_key, "
        f"encoder_fingerprint, dimension, row_hash) VALUES {values}"
    )

    erase(warehouse, persons(1), quiet)

    assert warehouse.query(f"SELECT left_event_id AS one FROM `{name}`") == [{"one": "e-2"}]


def test_copies_lose_the_persons_rows_and_a_running_build_is_stopped(warehouse: Warehouse) -> None:
    append_all(warehouse, [make_row(number, {}) for number in range(4)])
    builds = warehouse.dataset_id("builds")
    own = "SELECT CONCAT('e-', n) AS event_id, CONCAT('person-', n) AS person_key, {} FROM UNNEST([0, 1, 2]) AS n"
    times = "TIMESTAMP '2026-01-01' AS occurred_at, TIMESTAMP '2026-01-01' AS logged_at"
    warehouse.query(f"CREATE TABLE `{builds}.copy_{'a' * 24}_account` AS {own.format('n AS amount')}")
    warehouse.query(f"CREATE TABLE `{builds}.build_{'b' * 24}_event` AS {own.format(times)}")
    warehouse.query(f"CREATE TABLE `{builds}.build_{'b' * 24}_mark` AS SELECT 'x' AS example_id")
    warehouse.query(f"CREATE TABLE `{builds}.build_{'c' * 24}_example` AS {own.format(times)} WHERE n = 0")

    certificate = erase(warehouse, persons(1), quiet)

    assert {each.object_id: (each.action, each.row_count) for each in certificate.deleted} == {
        "embedding_event_v1": ("deleted", 1),
        f"copy_{'a' * 24}_account": ("deleted", 1),
        f"build_{'b' * 24}_event": ("dropped", 1),
    }
    left = {each.table_id for each in warehouse.client.list_tables(builds)}
    assert left == {f"copy_{'a' * 24}_account", f"build_{'c' * 24}_example"}


def test_rows_in_the_write_buffer_are_said_and_deleted_by_the_next_run(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(warehouse, [make_row(number, {}) for number in range(4)])
    query = warehouse.client.query

    def buffered(statement: str, **options: Any) -> Any:
        if "DELETE FROM" in statement and "embedding_event_v1" in statement:
            raise BadRequest("UPDATE or DELETE statement over table x would affect rows in the streaming buffer")
        return query(statement, **options)

    monkeypatch.setattr(warehouse.client, "query", buffered)
    with pytest.raises(Unavailable, match=r"write buffer.*half an hour.*readers leave the rows out already"):
        erase(warehouse, persons(1), quiet)
    assert known(warehouse) == {"e-0", "e-2", "e-3"}
    monkeypatch.undo()

    assert erase(warehouse, persons(1), quiet).rows == 1
    assert not [row for row in everything(warehouse)["events.embedding_event_v1"] if "person-1" in row]


def test_a_new_key_changes_neither_persons_nor_splits_nor_caps_nor_erasure(shop: Shop) -> None:
    """Fifty uploads of ten customers before the new key, and fifty after it."""
    warehouse = shop.warehouse
    shop.load("account", {"id": [f"customer-{number}" for number in range(10)]})
    former, new = PseudonymKey(bytes(range(32))), PseudonymKey(bytes(range(1, 33)))

    def upload(numbers: range, key: PseudonymKey) -> None:
        rows = []
        for number in numbers:
            subject = {"subject_key": key.pseudonym(f"customer-{number % 10}"), "subject_key_id": key.key_id}
            rows.append(make_row(number, {"event_id": f"r-{number}", "stream": "rotated", **subject}))
        append_all(warehouse, rows)

    ids = [f"r-{number}" for number in range(100)]
    at = [shop.as_of - timedelta(minutes=5)] * 100
    shop.load("confirmed", {"event_id": ids, "value": ["cat", "dog"] * 50, "confirmed_at": at})
    upload(range(50), former)
    sync(warehouse, business_column("account.id"), former, SyncProgress())
    rules = [{"cap_per_subject": {"events": 7}}]
    before = shop.rows(shop.build(stream="rotated", rules=rules).manifest.snapshot_id)

    progress = SyncProgress()
    rotate(warehouse, new, progress)
    assert (progress.new, progress.known) == (10, 0)
    upload(range(50, 100), new)
    after = shop.rows(shop.build(stream="rotated", rules=rules, as_of="2026-02-01T00:01:00Z").manifest.snapshot_id)

    def facts(rows: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
        return {(row["person_key"], row["split"]) for row in rows.values()}

    assert facts(after) == facts(before)  # ten persons, each in the split that it was in
    assert len(before) == 50
    assert len(after) == 70  # five and five, capped at seven together

    lines = [b"customer-3\n"]
    plan_of = plan(warehouse, read_persons(lines, [new]), quiet)
    assert ("table", "embedding_event_v1", "delete", 10) in plan_of.findings
    erase(warehouse, read_persons(lines, [new]), quiet)
    late = {"logged_at": datetime.now(UTC), "event_id": "r-late"}
    append_all(warehouse, [make_row(3, {**late, "subject_key": key.pseudonym("customer-3")}) for key in (former, new)])
    left = {each for each in known(warehouse) if each.startswith("r-")}
    assert left == {each for each in ids if int(each[2:]) % 10 != 3}


def test_a_customer_who_is_still_in_a_business_table_stays_erased_under_a_newer_key(warehouse: Warehouse) -> None:
    first, second = PseudonymKey(bytes(range(32))), PseudonymKey(bytes(range(1, 33)))
    columns = "customer_id, subject_key, subject_key_id, person_key"
    row = f"SELECT 'a', '{first.pseudonym('a')}', '{first.key_id}', '{first.pseudonym('a')}'"
    insert(warehouse, "subject_map_v1", columns, row)
    erase(warehouse, read_persons([b"a"], [first]), quiet)
    insert(warehouse, "subject_map_v1", columns, row)  # as a sync does while the business table has the customer

    rotate(warehouse, second, SyncProgress())
    assert extend_tombstones(warehouse) == 1
    assert extend_tombstones(warehouse) == 0
    late = datetime.now(UTC)
    append_all(warehouse, [make_row(1, {"logged_at": late, "subject_key": second.pseudonym("a")})])
    append_all(warehouse, [make_row(2, {"logged_at": late, "occurred_at": late, "subject_key": second.pseudonym("a")})])

    assert known(warehouse) == {"e-2"}


@pytest.mark.full
def test_two_hundred_of_ten_thousand_persons_leave_no_row_and_change_no_other(shop: Shop) -> None:
    warehouse = shop.warehouse
    people, erased = 10_000, range(0, 10_000, 50)
    fill(warehouse, people)
    append_all(warehouse, [make_row(n, AT | {"event_id": f"e-{n}", "subject_key": f"person-{n}"})
                           for n in range(120, people)])  # fmt: skip
    ids = [f"e-{number}" for number in range(people)]
    at = [shop.as_of - timedelta(minutes=5)] * people
    shop.load("confirmed", {"event_id": ids, "value": ["cat", "dog"] * (people // 2), "confirmed_at": at})
    manifest = shop.build(rules=[]).manifest
    before = everything(warehouse)

    certificate = erase(warehouse, persons(*erased), quiet)

    marks = {f'"{prefix}-{number}"' for number in erased for prefix in ("person", "former", "customer", "bad")}
    marks |= {f'"e-{number}"' for number in range(120) if number % 40 in erased}
    marks |= {f'"e-{number}"' for number in erased if number >= 120}
    strings = re.compile(r'"[a-z]+-\d+"')
    kept = {
        name: [row for row in rows if "account" in name or "confirmed" in name or not marks & {*strings.findall(row)}]
        for name, rows in before.items()
    }
    assert everything(warehouse) == kept
    assert certificate.persons == 200
    assert certificate.rows == sum(len(rows) - len(kept[name]) for name, rows in before.items())
    verdict = verify(warehouse, manifest, quiet)
    assert verdict.is_equal, verdict.findings
    assert manifest.rows - len(kept[f"snapshots.snapshot_{manifest.snapshot_id}"]) == verdict.erased_rows
