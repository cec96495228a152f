"""What a warehouse contains: counts of streams by day and encoder, snapshots, heads and the last audits."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rawless.datasets.snapshots import find
from rawless.errors import UserError
from rawless.heads.deployment import FILE, Change, Deployment
from rawless.overview import audits, datasets, heads, period, streams
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EncoderRow, RejectionRow
from rawless.warehouse.stream_pointers import point, read
from tests.shop import AS_OF, Shop, make_row

OLD, NEW = "a" * 64, "b" * 64
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
TEN_DAYS = period.last(timedelta(days=10), NOON)


def _event(number: int, hours: float, **fields: Any) -> Any:
    at = NOON - timedelta(hours=hours)
    return make_row(number, {"encoder_fingerprint": OLD, "occurred_at": at, "logged_at": at, **fields})


def _rejection(reason: str, hours: float, **fields: Any) -> RejectionRow:
    at = NOON - timedelta(hours=hours)
    row = RejectionRow("upload", None, None, None, f"{reason} {hours}", "parse", reason, "<1000", None, at)
    return replace(row, **fields)


def test_an_event_counts_once_on_its_day_however_often_it_was_delivered_and_embedded(warehouse: Warehouse) -> None:
    again = NOON - timedelta(hours=1)
    new = {"encoder": "new", "encoder_version": "2.0.0", "encoder_fingerprint": NEW}
    append_all(
        warehouse,
        [
            _event(1, 2), _event(1, 2, logged_at=again), _event(1, 2, **new), _event(2, 30),
            _event(3, 2, origin="serving"), _event(4, 24 * 11), _event(5, 1, stream="other"),
        ],
    )  # fmt: skip
    point(warehouse, read(warehouse, "upload"), {OLD: "live", NEW: "shadow"})

    other, upload = streams.streams(warehouse, TEN_DAYS).streams

    assert (other.stream, other.events, other.encoders[0].role) == ("other", 1, None)
    assert (upload.events, upload.recent_events, upload.served_events, upload.last_logged_at) == (3, 2, 1, again)
    assert [(each.day, each.events) for each in upload.days] == [(date(2026, 3, 9), 1), (date(2026, 3, 10), 2)]
    encoders = [(each.encoder, each.role, each.events) for each in upload.encoders]
    assert encoders == [("tiny@1.0.0", "live", 3), ("new@2.0.0", "shadow", 1)]
    assert streams.streams(warehouse, period.last(None, NOON)).streams[1].events == 4


def test_rejections_are_counted_by_reason_and_day_also_of_a_stream_without_events(warehouse: Warehouse) -> None:
    rejected = [_rejection("empty_text", 1), _rejection("empty_text", 30), _rejection("bad_event_id", 2)]
    append_all(warehouse, [*rejected, _rejection("bad_event_id", 24 * 11)])

    (upload,) = streams.streams(warehouse, TEN_DAYS).streams

    assert (upload.events, upload.rejected, upload.recent_rejections) == (0, 3, 2)
    assert list(upload.rejections.items()) == [("empty_text", 2), ("bad_event_id", 1)]
    assert [(each.day.day, each.rejections) for each in upload.days] == [(9, 1), (10, 2)]
    assert upload.last_rejected_at == NOON - timedelta(hours=1)


def test_an_encoder_that_has_a_role_and_no_events_has_its_registered_name(warehouse: Warehouse) -> None:
    append_all(warehouse, [EncoderRow("soon", "1.0.0", NEW, "{}", True, NOON)])
    point(warehouse, read(warehouse, "upload"), {OLD: "live", NEW: "shadow"})

    (upload,) = streams.streams(warehouse, TEN_DAYS).streams

    assert [(each.encoder, each.events) for each in upload.encoders] == [("a" * 12, 0), ("soon@1.0.0", 0)]


def test_the_counts_read_the_partitions_of_the_period_only_and_no_vector(warehouse: Warehouse) -> None:
    """BigQuery bills the columns and partitions that a statement names."""
    statement = warehouse.render(streams._STREAMS)

    assert "stored.occurred_at >= @start_at AND stored.occurred_at < @end_at" in statement
    assert not re.search(r"embedding\b(?!_)|attributes|\*(?!\))", statement)
    assert streams.bytes_to_read(warehouse, TEN_DAYS) == 0  # a valid statement; the local BigQuery counts no bytes


def test_a_dataset_has_its_snapshots_the_one_that_its_name_means_first(shop: Shop) -> None:
    shop.build()
    first = shop.build(rules=["exclude_closed_accounts"]).manifest
    last = shop.build().manifest

    (dataset,) = datasets.datasets(shop.warehouse)

    assert dataset.dataset == "uploads"
    assert [each.snapshot_id for each in dataset.snapshots] == [last.snapshot_id, first.snapshot_id]
    current = dataset.current
    assert (current.stream, current.encoder, current.as_of) == ("upload", "tiny@1.0.0", AS_OF)
    assert current.rows == last.rows == sum(current.rows_by_label.values())
    assert current.removed == sum(line.removed for line in last.ledger)
    with pytest.raises(UserError, match=r"no dataset 'upload' \(did you mean uploads\?\)"):
        find(shop.warehouse, "upload")
    assert current.sources == ("account_closed", "confirmed", "embedding_event_v1")


def test_an_empty_warehouse_has_nothing(warehouse: Warehouse) -> None:
    assert streams.streams(warehouse, TEN_DAYS).streams == ()
    assert datasets.datasets(warehouse) == heads.heads(warehouse, Path("nowhere")) == ()
    assert audits.audits(warehouse) == audits.Audits((), (), ())


@pytest.fixture
def audited(warehouse: Warehouse) -> Warehouse:
    """A warehouse with audits of one encoder, where the first ones were repeated."""
    audit = warehouse.dataset_id("audit")
    before, after = (f"TIMESTAMP '2026-03-0{day} 12:00:00+00'" for day in (8, 9))
    for statement in (
        f"""INSERT INTO `{audit}.leakage_audit_v1` (audit_id, stream, encoder_fingerprint, attack, metric, value,
            control, allowed_max, auxiliary_rows, attacked_rows, audited_at)
        VALUES ('l1', 'upload', '{OLD}', 'words', 'words_f1', 0.9, 0.1, 0.5, 9, 9, {before}),
            ('l2', 'upload', '{OLD}', 'words', 'words_f1', 0.4, 0.1, 0.5, 9, 9, {after}),
            ('l2', 'upload', '{OLD}', 'linkage', 'auc', 0.7, 0.5, 0.6, 9, 9, {after})""",
        f"""INSERT INTO `{audit}.canary_v1` (audit_id, stream, sink, status, bytes, markers, traces, audited_at)
        VALUES ('c1', 'upload', 'logs', 'traces', 1, 1, 3, {before}),
            ('c2', 'upload', 'logs', 'clean', 1, 1, 0, {after}),
            ('c2', 'upload', 'tables', 'clean', 1, 1, 0, {after})""",
        f"""INSERT INTO `{audit}.drift_v1` (stream, encoder_fingerprint, metric, reference_start_at, reference_end_at,
            start_at, end_at, row_count, value, threshold, measured_at)
        VALUES ('upload', '{OLD}', 'mean_shift', {before}, {before}, {before}, {before}, 1, 5.0, 1.0, {before}),
            ('upload', '{OLD}', 'mean_shift', {before}, {before}, {before}, {after}, 1, 0.5, 1.0, {after}),
            ('upload', '{OLD}', 'far_share', {before}, {before}, {before}, {after}, 1, 2.0, 1.0, {after})""",
    ):
        warehouse.query(statement)
    return warehouse


def test_the_last_audit_of_each_kind_counts(audited: Warehouse) -> None:
    found = audits.audits(audited)
    at = datetime(2026, 3, 9, 12, tzinfo=UTC)

    (leakage,), (canary,), (drift,) = found.leakage, found.canaries, found.drift
    assert (leakage.encoder, leakage.stream, leakage.audited_at) == ("a" * 12, "upload", at)
    assert [each.metric for each in leakage.above_limit] == ["auc"]
    assert {each.metric: each.value for each in leakage.measures} == {"words_f1": 0.4, "auc": 0.7}
    assert (canary.traces, canary.sinks, canary.audited_at) == (0, {"logs": "clean", "tables": "clean"}, at)
    assert (drift.metrics, drift.alarms, drift.end_at) == (2, ("far_share",), at)


def test_a_head_has_its_versions_and_measures_and_says_which_is_live(warehouse: Warehouse, tmp_path: Path) -> None:
    snapshots = warehouse.dataset_id("snapshots")
    rows = ", ".join(
        f"('topic', {version}, 'linear', NULL, '{OLD}', [STRUCT('accuracy' AS name, 0.{version} AS value, 0.1 AS low, "
        f"0.9 AS high)], 'digest', TIMESTAMP '2026-03-0{version} 12:00:00+00')"
        for version in (1, 2)
    )
    columns = "head, version, kind, snapshot_id, fingerprint, metrics, artefact_digest, created_at"
    warehouse.query(f"INSERT INTO `{snapshots}.head_v1` ({columns}) VALUES {rows}")
    (tmp_path / "topic").mkdir()
    change = {"action": "deploy", "version": 1, "at": NOON.isoformat(), "space": OLD}
    (tmp_path / "topic" / "deployed.json").write_text(str({"changes": [change]}).replace("'", '"'))

    (head,) = heads.heads(warehouse, tmp_path)

    assert [each.version for each in head.versions] == [2, 1]
    assert [each.version for each in head.live] == [1]
    assert head.versions[0].metrics == {"accuracy": (0.2, 0.1, 0.9)}
    assert heads.heads(warehouse)[0].live == ()


def test_a_name_from_the_warehouse_chooses_no_file_outside_of_the_folder_of_heads(tmp_path: Path) -> None:
    for name in ("heads/pets", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        change = Change(action="deploy", version=3, at=NOON, space=OLD)
        (tmp_path / name / FILE).write_text(Deployment(changes=(change,)).model_dump_json())

    assert heads.live_versions(tmp_path / "heads", "pets") == {3}
    assert heads.live_versions(tmp_path / "heads", "../elsewhere") == frozenset()
