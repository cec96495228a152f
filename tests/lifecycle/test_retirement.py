"""Rows of a retired encoder are deleted, and only those, and never while something needs them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from pipelines.launch import IngestRequest, prepare
from rawless.errors import Unavailable, UserError
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.lifecycle.lineage import lineage
from rawless.lifecycle.migration import StreamEncoders, stream_encoders
from rawless.lifecycle.retirement import Retirement, logged_rows, plan_retirement, retire
from rawless.warehouse import stream_pointers
from rawless.warehouse.client import Warehouse
from rawless.warehouse.stream_pointers import point
from tests.datasets.test_adapted import SPEC as ADAPTED
from tests.datasets.test_adapted import TAKING
from tests.datasets.test_adapted import shop as shop
from tests.lifecycle.test_migration import Migration
from tests.lifecycle.test_migration import migration as migration
from tests.lifecycle.test_migration import tiny_cls as tiny_cls
from tests.shop import Shop


def planned(migration: Migration, spec: EncoderSpec, *, keep_snapshots: bool = False) -> Retirement:
    encoders = stream_encoders(migration.warehouse, migration.stream)
    return plan_retirement(
        migration.warehouse, encoders, spec, migration.pointers, migration.heads, keep_snapshots=keep_snapshots
    )


def count(migration: Migration, spec: EncoderSpec, stream: str = "message") -> int:
    return logged_rows(migration.warehouse, stream, spec.fingerprint).row_count


def without(stream: Stream, *refs: str) -> Stream:
    kept = tuple(ref for ref in stream.encoders if ref not in refs)
    return stream.model_copy(update={"encoders": kept})


def test_a_retired_encoder_loses_its_rows_of_one_stream_once_nothing_needs_them(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = migration.old, migration.new
    migration.log(new)
    migration.log(old, stream="other")
    migration.deploy("topic", 1, old)
    migration.deploy("topic", 2, new)
    migration.forward("shadow", "dual", "live")

    with pytest.raises(UserError, match=r"tiny@1\.1\.0 is the live encoder of message"):
        planned(migration, new)
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 is in the encoders of message's stream file"):
        planned(migration, old)
    migration.stream = without(migration.stream, old.ref)
    migration.deploy("tone", 1, old)
    with pytest.raises(UserError, match=r"The deployed head tone in .* need tiny@1\.0\.0"):
        planned(migration, old)
    migration.deploy("tone", 2, new)

    plan = planned(migration, old)
    assert (plan.rows.row_count, plan.heads, plan.snapshots) == (3, ("tone@1", "topic@1"), ())
    assert 3 * 8 * old.dimension < plan.size < 3 * (8 * old.dimension + 1000)
    with monkeypatch.context() as patched:
        run = Warehouse.run

        def buffered(self: Warehouse, statement: str, *arguments: object) -> object:
            if statement.startswith("-- Delete the rows"):
                raise Unavailable("Some rows are still in BigQuery's write buffer.")
            return run(self, statement, *arguments)  # type: ignore[arg-type]

        patched.setattr(Warehouse, "run", buffered)
        with pytest.raises(
            Unavailable, match=r"write buffer\. Until then tiny@1\.0\.0 is retired, but its rows remain"
        ):
            retire(migration.warehouse, plan, migration.pointers)
    assert (count(migration, old), migration.pointers.roles[old.fingerprint]) == (3, "retired")

    again = planned(migration, old)
    assert again.was_retired
    assert retire(migration.warehouse, again, migration.pointers) == 3
    assert (count(migration, old), count(migration, new), count(migration, old, "other")) == (0, 3, 3)
    assert retire(migration.warehouse, planned(migration, old), migration.pointers) == 0


def test_what_callers_claimed_of_events_does_not_count_once_the_ingested_rows_are_gone(migration: Migration) -> None:
    old, new = migration.old, migration.new
    migration.log(new, range(1))
    for numbers in (range(2), range(5, 6)):  # of the second event old alone has the producer's delivery, of 5 nobody
        migration.log(new, numbers, origin="serving", caller_key="c" * 64)
    migration.forward("shadow", "dual")
    point(migration.warehouse, migration.pointers, {old.fingerprint: "dual", new.fingerprint: "live"})
    migration.stream = without(migration.stream, old.ref)

    def counted() -> set[tuple[str, str]]:
        ever = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"
        rows = migration.warehouse.query(
            f"SELECT * FROM {migration.warehouse.config.events}.embedding_event({ever}) WHERE superseded_at IS NULL"
        )
        return {(row["event_id"], row["origin"]) for row in rows if row["encoder_fingerprint"] == new.fingerprint}

    before = counted()
    assert before == {("e-0", "ingest"), ("e-5", "serving")}
    stale = planned(migration, old)
    retire(migration.warehouse, stale, migration.pointers)
    assert counted() == before
    with pytest.raises(UserError, match="were changed in the meantime") as caught:
        retire(migration.warehouse, stale, stream_pointers.Pointers("message", migration.pointers.history[:-1]))
    assert "is retired" not in str(caught.value)


def test_no_job_starts_with_an_encoder_that_is_retired_for_its_stream(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration.log(migration.new)
    migration.forward("shadow")
    both, migration.stream = migration.stream, without(migration.stream, migration.new.ref)
    retire(migration.warehouse, planned(migration, migration.new), migration.pointers)
    monkeypatch.setattr("rawless.job.open_warehouse", lambda _: migration.warehouse)
    (tmp_path / "events.jsonl").touch()

    with pytest.raises(UserError, match=r"tiny@1\.1\.0 is retired for message, so its rows were deleted: remove it"):
        prepare(IngestRequest(open_source(f"jsonl:{tmp_path / 'events.jsonl'}", both)), both)
    migration.stream = both
    migration.forward("shadow")
    assert migration.pointers.roles[migration.new.fingerprint] == "shadow"


def test_a_snapshot_with_adapted_rows_needs_the_rows_of_the_adapter(shop: Shop, tmp_path: Path) -> None:
    snapshot = shop.build(**TAKING).manifest
    stream = Stream.model_validate({"stream": "upload", "modality": "image", "encoders": ["resnet18-seeded@1.0.0"]})
    encoders = StreamEncoders(stream, {stream.encoders[0]: lookup(stream.encoders[0])}, {})
    pointers = stream_pointers.read(shop.warehouse, "upload")

    with pytest.raises(UserError, match=rf"1 snapshot of upload has vectors of .*{snapshot.snapshot_id}"):
        plan_retirement(shop.warehouse, encoders, ADAPTED, pointers, tmp_path)
    (found,) = lineage(shop.warehouse, ADAPTED.name, [], datetime.now(UTC)).versions
    assert [each.snapshots for each in found.datasets] == [(snapshot.snapshot_id,)]
