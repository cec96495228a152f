"""Building, verifying and comparing snapshots; a build that ends early leaves nothing behind."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rawless.datasets import snapshot_tables, staging_tables
from rawless.datasets.build import build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.diff import diff, summarise
from rawless.datasets.snapshots import find, list_manifests
from rawless.datasets.verify import verify
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import ROLES
from tests.shop import Shop


def _quiet(_: str) -> None:
    pass


def test_the_same_dataset_gives_the_same_snapshot_however_its_file_is_written(shop: Shop) -> None:
    first = shop.build()
    again = shop.build(require={"min_rows": 5}, as_of="2026-02-01T01:00:00+01:00")

    assert first.is_new
    assert not again.is_new
    assert again.manifest == first.manifest
    assert shop.left() == (first.manifest.rows, 1, [])


def test_the_ledger_adds_up_and_the_counts_are_the_rows(shop: Shop) -> None:
    manifest = shop.build().manifest

    left = manifest.ledger[0].rows_in
    for line in manifest.ledger:
        assert line.rows_in == left
        left -= line.removed
    rows = shop.rows(manifest.snapshot_id)
    assert left == manifest.rows == len(rows)
    for count in manifest.counts:
        assert count.row_count == sum((r["split"], r["label"]) == (count.split, count.label) for r in rows.values())
    assert {row["person_key"] for row in rows.values()} & {"person-3", "person-4"} == set()


def test_a_person_is_in_one_split(shop: Shop) -> None:
    rows = shop.rows(shop.build().manifest.snapshot_id).values()

    splits = {row["person_key"]: {r["split"] for r in rows if r["person_key"] == row["person_key"]} for row in rows}
    assert len(splits) == 38
    assert all(len(each) == 1 for each in splits.values())


def test_later_rows_change_no_snapshot_and_no_split(shop: Shop) -> None:
    before = shop.build().manifest
    kept = shop.rows(before.snapshot_id)
    late = datetime(2026, 3, 1, tzinfo=UTC)
    shop.upload(range(30), logged_at=late)  # replayed after the as-of
    shop.upload(range(200, 212), logged_at=late)
    after = shop.build(as_of="2026-03-02T00:00:00Z", rules=["exclude_closed_accounts"]).manifest

    assert verify(shop.warehouse, before, _quiet).findings == ()
    grown = shop.rows(after.snapshot_id)
    assert len(grown) > len(kept) - 1
    assert all(grown[name]["split"] == row["split"] for name, row in kept.items())


def test_verify_reports_which_source_changed_and_which_rows_were_erased(shop: Shop) -> None:
    manifest = shop.build().manifest
    closed = [datetime(2026, 1, 20, tzinfo=UTC)] * 3
    shop.load("account_closed", {"subject_key": ["person-3", "person-4", "person-5"], "closed_at": closed})
    shop.warehouse.query(
        f"INSERT INTO `{shop.warehouse.table_id('tombstone_v1')}` (person_key, subject_keys, erased_before,"
        " certificate_id) VALUES ('person-7', ['person-7'], TIMESTAMP '2027-01-01', 'c-1')"
    )

    verdict = verify(shop.warehouse, manifest, _quiet)

    assert verdict.stored_is_equal
    assert not verdict.rebuilt_is_equal
    assert "The source account_closed had 2 rows at the as-of, and has 3 now." in verdict.findings
    assert any("persons who were erased" in finding for finding in verdict.findings)
    assert shop.left()[1:] == (1, [])


def test_verify_detects_a_row_deleted_from_the_snapshot(shop: Shop) -> None:
    manifest = shop.build().manifest
    table = snapshot_tables.table_id(shop.warehouse, manifest.snapshot_id)
    shop.warehouse.query(f"DELETE FROM `{table}` WHERE event_id = 'e-5'")

    verdict = verify(shop.warehouse, manifest, _quiet)

    assert not verdict.stored_is_equal
    assert verdict.rebuilt_is_equal
    assert any(finding.startswith(f"1 of {manifest.rows} rows are no longer stored,") for finding in verdict.findings)


def test_diff_reports_rows_in_out_relabelled_and_re_split_with_the_rule(shop: Shop) -> None:
    before = shop.build().manifest
    shorter = shop.build(rules=["exclude_closed_accounts", {"occurred_within": {"days": 30}}]).manifest
    moves = diff(shop.warehouse, before, shorter, _quiet)
    back = diff(shop.warehouse, shorter, before, _quiet)
    salted = shop.build(split={"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "b"}).manifest
    resplit = diff(shop.warehouse, before, salted, _quiet)

    gone = set(shop.rows(before.snapshot_id)) - set(shop.rows(shorter.snapshot_id))
    assert gone
    assert {move.example_id for move in moves} == gone
    assert {(move.change, move.rule) for move in moves} == {("out", "occurred_within")}
    assert summarise(back) == [{"change": "in", "rule": "occurred_within", "rows": len(gone)}]
    assert {move.change for move in resplit} == {"re-split"}
    assert diff(shop.warehouse, before, before, _quiet) == []
    assert shop.left()[2] == []


@pytest.mark.parametrize("step", ["labelled", "exclude_closed_accounts, occurred_within", "snapshot", "digest"])
def test_a_build_that_fails_leaves_nothing(shop: Shop, step: str) -> None:
    def fail(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.build(on_step=fail)

    assert shop.left() == (0, 0, [])


_BROKEN = """/*
says: Names a column that is not there.
without_subject: keep
*/
SELECT event.example_id, event.event_id FROM event WHERE event.nothing = 1
"""


def test_the_error_of_a_failed_step_is_that_of_its_dry_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise UserError("BigQuery refused the query: Name nothing not found.")

    (shop.folder / "rules").mkdir()
    (shop.folder / "rules" / "broken.sql").write_text(_BROKEN)
    monkeypatch.setattr(Warehouse, "dry_run", refuse)

    with pytest.raises(UserError, match=r"The step broken of the build failed, .*\. .*: Name nothing not found\.$"):
        shop.build(rules=["broken"])


_KILLED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from rawless.datasets.build import build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import open_dataset
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.client import Warehouse
config, rest, grpc, token, file = sys.argv[1:]
warehouse = Warehouse(WarehouseConfig.model_validate_json(config), Emulator(rest, grpc, token))

def on_step(name):
    if name == "digest":
        os.kill(os.getpid(), signal.SIGKILL)

build(compile_dataset(warehouse, open_dataset(Path(file))), timedelta(0), on_step)
"""


def test_readers_do_not_see_a_killed_build_and_the_next_build_sweeps_it(shop: Shop) -> None:
    shop.dataset()
    place, emulator = shop.warehouse.config, shop.warehouse.emulator
    assert emulator is not None
    command = [sys.executable, "-c", _KILLED, place.model_dump_json(), emulator.rest, emulator.grpc, emulator.token]
    killed = subprocess.run([*command, str(shop.folder / "dataset.yaml")], check=False)

    rows, manifests, tables = shop.left()
    assert killed.returncode == -signal.SIGKILL
    assert rows > 0
    assert (manifests, len(tables)) == (0, 2)
    with pytest.raises(UserError, match="There is no snapshot"):
        find(shop.warehouse, "uploads")

    other = shop.build(dataset="others", label={"query": "confirmed_upload", "classes": ["cat", "dog", "cow"]})
    assert shop.left() == (other.manifest.rows, 1, [])


def test_a_running_build_is_not_swept(shop: Shop) -> None:
    seen: list[Any] = []

    def sweep(name: str) -> None:
        if name == "digest":
            staging_tables.sweep(shop.warehouse)
            seen.append(shop.left())
            with pytest.raises(UserError, match="Another process is building this snapshot"):
                shop.build()

    built = shop.build(on_step=sweep)

    assert seen[0][0] == built.manifest.rows
    assert shop.left() == (built.manifest.rows, 1, [])


def test_rows_exported_and_loaded_elsewhere_build_the_same_digest(
    shop: Shop, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = shop.build().manifest
    names = {role: f"{name}_elsewhere" for role, name in warehouse.config.model_dump().items() if role in ROLES}
    elsewhere = Warehouse(warehouse.config.model_copy(update=names), warehouse.emulator)
    elsewhere.ensure()
    for name in ("embedding_event_v1", "confirmed", "account_closed"):
        source = f"{warehouse.dataset_id('events')}.{name}"
        if name != "embedding_event_v1":
            warehouse.query(f"CREATE TABLE `{elsewhere.dataset_id('events')}.{name}` AS SELECT * FROM `{source}`")
        else:
            target = elsewhere.table_id(name)
            warehouse.query(
                f"INSERT INTO `{target}` SELECT * FROM `{source}` WHERE occurred_at > TIMESTAMP '2000-01-01'"
            )
    there = build(compile_dataset(elsewhere, shop.dataset()), timedelta(0), _quiet).manifest

    assert there.row_digest == here.row_digest
    assert there.snapshot_id == here.snapshot_id


def test_texts_of_a_snapshot_are_ids_or_from_closed_lists(shop: Shop) -> None:
    row = next(iter(shop.rows(shop.build().manifest.snapshot_id).values()))

    texts = {name for name, value in row.items() if isinstance(value, str)}
    assert texts == {"event_id", "stream", "label", "split", "person_key", "encoder_fingerprint", "row_hash"}


def test_manifests_are_listed_newest_first(shop: Shop) -> None:
    first = shop.build().manifest
    second = shop.build(rules=["exclude_closed_accounts"]).manifest

    assert [each.snapshot_id for each in list_manifests(shop.warehouse)] == [second.snapshot_id, first.snapshot_id]
    assert find(shop.warehouse, "uploads") == second


def test_a_name_means_the_snapshot_that_a_build_asked_for_last(shop: Shop) -> None:
    first = shop.build()
    second = shop.build(rules=["exclude_closed_accounts"])

    again = shop.build()
    assert (again.manifest, again.is_new, again.warnings) == (first.manifest, False, ())
    assert find(shop.warehouse, "uploads") == first.manifest
    assert find(shop.warehouse, second.manifest.snapshot_id) == second.manifest
    shop.build(rules=["exclude_closed_accounts"])
    assert find(shop.warehouse, "uploads") == second.manifest


def test_a_source_that_was_replaced_since_the_build_is_reported(shop: Shop) -> None:
    first = shop.build()
    confirmed = shop.warehouse.query("SELECT * FROM confirmed")
    for kept in (confirmed, confirmed[:-1]):
        shop.load("confirmed", {name: [row[name] for row in kept] for name in confirmed[0]})
        again = shop.build()
        assert again.manifest == first.manifest
        (warning,) = again.warnings
        assert (
            f"The source confirmed was changed since this snapshot was built: it had {len(confirmed)} rows" in warning
        )
        assert f"and has {len(kept)}." in warning


def test_a_source_with_event_ids_that_are_numbers_is_refused(shop: Shop) -> None:
    shop.warehouse.query(
        "CREATE OR REPLACE TABLE confirmed AS SELECT 1 AS event_id, CURRENT_TIMESTAMP() AS confirmed_at"
    )
    with pytest.raises(UserError, match=r"confirmed has event_id as INT64|INTEGER, but ids of events are STRING"):
        shop.build()
