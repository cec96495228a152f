"""A head over stored embeddings: each event once, also after a job that failed half-way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.spec import EncoderSpec
from rawless.errors import Unavailable, UserError
from rawless.heads.session import open_head
from rawless.prediction import jobs
from rawless.prediction.prepare import PreparedPrediction, prepare_stored
from rawless.prediction.request import PredictRequest
from rawless.serving.classification import call_head
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from tests.drawn_heads import write_head
from tests.prediction.conftest import Rows, fingerprint_of, probabilities, stored
from tests.shop import AS_OF, make_row

EVENTS = 12
Prepare = Callable[..., PreparedPrediction]


@pytest.fixture
def prepare(own_warehouse: Warehouse, heads: Path, tiny_sealed: EncoderSpec) -> Prepare:
    write_head(heads, "topic", spec=tiny_sealed)

    def make(head: str = "topic@1", stream: str = "upload", **window: Any) -> PreparedPrediction:
        return prepare_stored(PredictRequest(head, heads=heads), stream, **window)

    return make


@pytest.fixture
def upload(warehouse: Warehouse, tiny_sealed: EncoderSpec) -> Callable[..., None]:
    def append(*numbers: int, **fields: Any) -> None:
        append_all(
            warehouse,
            [
                make_row(number, {**fingerprint_of(tiny_sealed), "embedding": vector(number)} | fields)
                for number in numbers
            ],
        )

    return append


def vector(number: int) -> Any:
    return np.random.default_rng(number).standard_normal(16, np.float32)


def test_each_event_that_counts_gets_one_prediction_and_a_second_run_has_nothing_to_do(
    prepare: Prepare, upload: Callable[..., None], warehouse: Warehouse, heads: Path, predictions: Rows
) -> None:
    upload(*range(EVENTS))
    upload(0, logged_at=AS_OF + timedelta(hours=1), embedding=np.full(16, 9, np.float32))  # delivered again
    upload(1, origin="serving", embedding=np.full(16, 9, np.float32))  # superseded
    upload(EVENTS, origin="serving", caller_key="caller", subject_key=None)
    upload(EVENTS + 1, stream="other")
    upload(EVENTS + 2, encoder_fingerprint="e" * 64)
    erased = {"event_id": "e-4", "at": AS_OF}
    warehouse.query(
        f"INSERT INTO `{warehouse.table_id('event_tombstone_v1')}` (stream, event_id, erased_at, certificate_id) "
        "VALUES ('upload', @event_id, @at, 'c')",
        parameters(erased),
    )

    summary = prepare().run()

    found, head = predictions(), open_head(heads / "topic" / "1")
    assert found.keys() == {f"e-{number}" for number in range(EVENTS + 1)} - {"e-4"}
    assert (summary["read"], summary["predictions"], summary["rejections"]) == (EVENTS, EVENTS, {})
    for number in set(range(EVENTS)) - {4}:
        expected = call_head(head, vector(number), {}).probabilities
        assert probabilities(found[f"e-{number}"]) == pytest.approx(expected, abs=1e-6)
        assert found[f"e-{number}"]["subject_key"] == f"person-{number}"
    again = prepare()
    assert (again.rows, again.run()["predictions"], stored(warehouse, "prediction_v1")) == (0, 0, EVENTS)


def test_another_version_predicts_the_same_events(
    prepare: Prepare, upload: Callable[..., None], heads: Path, tiny_sealed: EncoderSpec, warehouse: Warehouse
) -> None:
    upload(*range(3))
    prepare().run()
    write_head(heads, "topic", 2, spec=tiny_sealed)
    assert prepare("topic@2").run()["predictions"] == 3
    assert stored(warehouse, "prediction_v1") == 6


def test_only_events_of_the_days_that_were_asked_for_are_predicted(
    prepare: Prepare, upload: Callable[..., None], predictions: Rows
) -> None:
    upload(*range(EVENTS))
    day = {"start_at": AS_OF - timedelta(days=3), "end_at": AS_OF - timedelta(days=2)}
    assert prepare(**day).run()["predictions"] == 2
    assert predictions().keys() == {"e-4", "e-5"}


def test_a_job_that_failed_half_way_is_completed_by_the_next_one(
    prepare: Prepare, upload: Callable[..., None], predictions: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(*range(EVENTS))
    process, days = jobs._Stored.process, iter(range(EVENTS))

    def fail_on_the_fourth_day(step: Any, span: Any) -> Iterator[Any]:
        if next(days) == 3:
            raise Unavailable("The warehouse does not answer.")
        yield from process(step, span)

    monkeypatch.setattr(jobs._Stored, "process", fail_on_the_fourth_day)
    with pytest.raises(Unavailable, match=r"^The warehouse does not answer\.$"):
        prepare().run()
    monkeypatch.setattr(jobs._Stored, "process", process)

    prepare().run()
    assert len(predictions()) == EVENTS


def test_what_cannot_be_predicted_is_refused(prepare: Prepare, upload: Callable[..., None], heads: Path) -> None:
    with pytest.raises(UserError, match="There are no embeddings of a stream 'upload': check its name"):
        prepare()
    upload(1)
    write_head(heads, "other")
    with pytest.raises(UserError, match=r"takes vectors of minilm@1\.0\.0 .* but these are of tiny@1\.0\.0"):
        prepare("other@1")
    with pytest.raises(UserError, match="--from must be before --until"):
        prepare(start_at=AS_OF, end_at=AS_OF)


def test_an_answer_that_is_no_number_is_a_rejection_and_no_row(
    prepare: Prepare, upload: Callable[..., None], warehouse: Warehouse, heads: Path, predictions: Rows
) -> None:
    head, chance = open_head(heads / "topic" / "1"), np.random.default_rng(0)
    huge = (np.float32(3e38) * chance.choice([-1, 1], 16).astype(np.float32) for _ in range(1000))
    upload(
        1, embedding=next(each for each in huge if np.isnan(head.answer(embedding=each[None])["probabilities"]).any())
    )
    upload(2)
    summary = prepare().run()
    assert summary["rejections"] == {"row_refused": 1}
    assert predictions().keys() == {"e-2"}
    (rejection,) = warehouse.query("SELECT * FROM rejection_v1")
    assert (rejection["event_id"], rejection["stage"]) == ("e-1", "write")
