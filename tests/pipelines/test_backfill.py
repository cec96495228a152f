"""Rows of an old encoder, mapped into the space of a new one: each once, marked, by Beam and by SQL alike."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.spec import EncoderSpec
from pipelines import adapt, backfill
from pipelines.backfill import Backfill, BackfillRequest
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register
from rawless.warehouse.parameters import parameters
from rawless.warehouse.stream_pointers import point, read
from tests.adapters import Adapted, make_adapted, upload, vector
from tests.shop import AS_OF, make_row

EVENTS = 12
Prepare = Callable[..., Backfill]
Rows = Callable[[EncoderSpec], dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def adapted(
    tiny_sealed: EncoderSpec, tiny_spec: Callable[..., EncoderSpec], tmp_path_factory: pytest.TempPathFactory
) -> Adapted:
    return make_adapted(tiny_sealed, tiny_spec, tmp_path_factory.mktemp("adapted") / "made")


@pytest.fixture
def prepare(warehouse: Warehouse, adapted: Adapted, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Prepares a backfill of the uploads, which are in this test's own warehouse."""
    monkeypatch.setattr(backfill, "open_warehouse", lambda _: warehouse)
    register(warehouse, adapted.spec)

    def make(**fields: Any) -> Backfill:
        return backfill.prepare(BackfillRequest(**{"encoder": adapted.spec.ref, "stream": "upload"} | fields))

    return make


@pytest.fixture
def rows(warehouse: Warehouse) -> Rows:
    """What readers see of an encoder, by event."""

    def read(spec: EncoderSpec) -> dict[str, dict[str, Any]]:
        ever = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"
        found = warehouse.query(
            f"SELECT * FROM {warehouse.config.events}.embedding_event({ever}) WHERE encoder_fingerprint = @fingerprint",
            parameters({"fingerprint": spec.fingerprint}),
        )
        assert len({row["event_id"] for row in found}) == len(found)
        return {row["event_id"]: row for row in found}

    return read


def stored(warehouse: Warehouse, spec: EncoderSpec) -> int:
    table = warehouse.table_id("embedding_event_v1")
    (row,) = warehouse.query(
        f"SELECT COUNT(*) AS n FROM `{table}` WHERE encoder_fingerprint = @f", parameters({"f": spec.fingerprint})
    )
    return int(row["n"])


@pytest.mark.parametrize("engine", ["beam", "sql"])
def test_old_rows_get_a_vector_in_the_new_space_that_says_so(
    engine: str, prepare: Prepare, rows: Rows, warehouse: Warehouse, adapted: Adapted
) -> None:
    upload(warehouse, adapted.source, range(EVENTS))
    upload(warehouse, adapted.source, [EVENTS], origin="serving", caller_key="caller", subject_key=None)
    before = datetime.now(UTC) - timedelta(minutes=1)

    summary = prepare(engine=engine).run()

    found = rows(adapted.spec)
    expected = adapted.map.apply(np.stack([vector(number, 16) for number in range(EVENTS + 1)]))
    assert (summary["embeddings"], summary["rejections"], len(found)) == (EVENTS + 1, {}, EVENTS + 1)
    for number in range(EVENTS + 1):
        row, old = found[f"e-{number}"], rows(adapted.source)[f"e-{number}"]
        assert row["embedding"] == pytest.approx(expected[number], abs=1e-6)
        own = {"encoder": "target-from-tiny", "encoder_version": "1.0.0"}
        own |= {"encoder_fingerprint": adapted.spec.fingerprint}
        new = {"embedding", "logged_at", *own}
        assert {key: row[key] for key in row.keys() - new} == {key: old[key] for key in old.keys() - new}
        assert {key: row[key] for key in own} == own
        assert row["logged_at"] > before


@pytest.mark.parametrize("engine", ["beam", "sql"])
def test_rows_that_need_none_are_left_out_and_a_second_run_writes_nothing(
    engine: str, prepare: Prepare, rows: Rows, warehouse: Warehouse, adapted: Adapted
) -> None:
    upload(warehouse, adapted.source, range(EVENTS))
    upload(warehouse, adapted.source, [0], logged_at=AS_OF + timedelta(hours=1), embedding=np.full(16, 9, np.float32))
    upload(warehouse, adapted.source, [1], origin="serving")
    upload(warehouse, adapted.target, [2])
    upload(warehouse, adapted.spec, [3], embedding=np.full(16, 7, np.float32))
    upload(warehouse, adapted.source, [EVENTS], stream="other")
    tables = {name: warehouse.table_id(name) for name in ("event_tombstone_v1", "tombstone_v1")}
    warehouse.query(
        f"INSERT INTO `{tables['event_tombstone_v1']}` (stream, event_id, erased_at, certificate_id) "
        "VALUES ('upload', 'e-4', @at, 'c')",
        parameters({"at": AS_OF}),
    )
    warehouse.query(
        f"INSERT INTO `{tables['tombstone_v1']}` (person_key, subject_keys, erased_before, certificate_id) "
        "VALUES ('p', [@subject_key], @at, 'c')",
        parameters({"at": AS_OF, "subject_key": make_row(5, {}).subject_key}),
    )

    first = prepare(engine=engine)
    summary = first.run()

    left = {f"e-{number}" for number in range(EVENTS)} - {"e-2", "e-4", "e-5"}
    found = rows(adapted.spec)
    assert found.keys() == left
    assert (first.rows, summary["embeddings"]) == (len(left) - 1, len(left) - 1)
    assert found["e-3"]["embedding"] == [7.0] * 16
    assert found["e-0"]["embedding"] == pytest.approx(adapted.map.apply(vector(0, 16)[None])[0], abs=1e-6)
    assert found["e-1"]["origin"] == "ingest"
    assert prepare(engine=engine).run()["embeddings"] == 0
    assert stored(warehouse, adapted.spec) == len(left)


def test_a_job_that_failed_half_way_is_completed_by_the_next_one(
    prepare: Prepare, rows: Rows, warehouse: Warehouse, adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(warehouse, adapted.source, range(EVENTS))
    job = prepare()
    assert len(job.spans) == 6  # two uploads a day
    process, days = adapt._Adapt.process, iter(range(EVENTS))

    def fail_on_the_fourth_day(step: Any, span: Any) -> Iterator[Any]:
        if next(days) == 3:
            raise Unavailable("The warehouse does not answer.")
        yield from process(step, span)

    monkeypatch.setattr(adapt._Adapt, "process", fail_on_the_fourth_day)
    with pytest.raises(Unavailable, match=r"^The warehouse does not answer\.$"):
        job.run()
    monkeypatch.setattr(adapt._Adapt, "process", process)

    prepare().run()
    assert len(rows(adapted.spec)) == EVENTS


def test_only_events_of_the_days_that_were_asked_for_are_mapped(
    prepare: Prepare, rows: Rows, warehouse: Warehouse, adapted: Adapted
) -> None:
    upload(warehouse, adapted.source, range(EVENTS))
    day = {"start_at": AS_OF - timedelta(days=3), "end_at": AS_OF - timedelta(days=2)}

    planned = prepare(engine="sql", **day)
    assert planned.run()["embeddings"] == planned.rows == 2

    found = rows(adapted.spec)
    assert {row["occurred_at"].date() for row in found.values()} == {day["start_at"].date()}


def test_a_statement_that_would_keep_the_local_bigquery_busy_for_minutes_is_refused(
    prepare: Prepare, warehouse: Warehouse, adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(warehouse, adapted.source, range(2))
    monkeypatch.setattr(backfill, "MAX_LOCAL_PRODUCTS", 2 * 16 * 16 - 1)
    with pytest.raises(UserError, match="The local BigQuery is too slow"):
        prepare(engine="sql")
    assert prepare().rows == 2


def test_the_rows_of_a_retired_encoder_do_not_come_back(
    prepare: Prepare, warehouse: Warehouse, adapted: Adapted
) -> None:
    upload(warehouse, adapted.source, range(2))
    point(warehouse, read(warehouse, "upload"), {adapted.spec.fingerprint: "retired"})
    with pytest.raises(UserError, match=r"target-from-tiny@1\.0\.0 is retired for upload, so its rows were deleted"):
        prepare()


def test_what_cannot_be_adapted_is_refused(
    prepare: Prepare, warehouse: Warehouse, adapted: Adapted, tiny_spec: Callable[..., EncoderSpec], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"No event of upload has a vector with the fingerprint .* check the stream"):
        prepare()
    register(warehouse, adapted.source)
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 has no adapter.*rawless encoder adapt"):
        prepare(encoder=adapted.source.ref)
    with pytest.raises(UserError, match="--from must be before --until"):
        prepare(start_at=AS_OF, end_at=AS_OF)
    with pytest.raises(UserError, match="Workers elsewhere cannot reach the local stack"):
        prepare(beam=["--runner=DataflowRunner"])
    curved = make_adapted(adapted.source, tiny_spec, tmp_path / "made", "residual_mlp").spec
    register(warehouse, curved.model_copy(update={"name": "curved"}))
    with pytest.raises(UserError, match=r"residual_mlp, which is no affine map: use --engine beam\."):
        prepare(encoder="curved@1.0.0", engine="sql")
