"""The statements of the console return the same on the local BigQuery and on Google's evaluator."""

from datetime import timedelta

import pytest

from rawless.console import parts
from rawless.console.parts import Agreement
from rawless.console.reads import Reads, window
from rawless.datasets.snapshot_tables import table_id
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import PredictionRow
from rawless.warehouse.tables import table
from tests.console.filled import NOW, ago
from tests.report.privacy_rows import insert

DAYS = window(7, NOW)
TRAINED_ON, LABELS = "a" * 24, "b" * 24


@pytest.fixture(params=["warehouse", "evaluated"])
def engine(request: pytest.FixtureRequest) -> Warehouse:
    """An empty warehouse of each engine."""
    return request.getfixturevalue(request.param)


def predict(event_id: str, answer: str | None, days: float = 1, version: int = 1) -> PredictionRow:
    likely = () if answer is None else ((answer, 0.75), ("other", 0.25))
    return PredictionRow(
        stream="upload", event_id=event_id, subject_key=None, subject_key_id=None, caller_key=None, head="pets",
        version=version, probabilities=likely, abstention=None if answer else "out_of_domain", predicted_at=ago(days),
    )  # fmt: skip


def snapshot(warehouse: Warehouse, snapshot_id: str, *rows: tuple[str, str, str]) -> None:
    """Create a snapshot's table with rows of event, label and split."""
    name = table_id(warehouse, snapshot_id)
    warehouse.client.create_table(table("snapshot_v1").to_bigquery(name))
    values = ", ".join(
        f"('{event}', 'upload', CURRENT_TIMESTAMP(), CURRENT_TIMESTAMP(), '{label}', '{split}', 'f', 2, 'h')"
        for event, label, split in rows
    )
    columns = "event_id, stream, occurred_at, logged_at, label, split, encoder_fingerprint, dimension, row_hash"
    warehouse.query(f"INSERT INTO `{name}` ({columns}) VALUES {values}")


def test_only_first_predictions_of_events_that_were_not_learned_are_compared(engine: Warehouse) -> None:
    append_all(
        engine,
        [
            predict("right", "cat"),
            predict("wrong", "cat", days=2),
            predict("wrong", "dog", days=1),  # the first one counts
            predict("abstained", None),
            predict("learned", "cat"),
            predict("tested", "dog"),
            predict("unlabelled", "cat"),
            predict("early", "cat", days=8),
            predict("other-version", "cat", version=2),
        ],
    )
    snapshot(engine, TRAINED_ON, ("learned", "cat", "train"), ("tested", "dog", "test"))
    labels = [(event, "cat" if event != "wrong" else "dog", "train") for event in ("right", "wrong", "abstained")]
    more = [
        ("learned", "cat", "test"),
        ("tested", "dog", "test"),
        ("early", "cat", "test"),
        ("other-version", "cat", "test"),
    ]
    snapshot(engine, LABELS, *labels, *more)
    found = parts.agreement(Reads(engine), DAYS, "pets", 1, TRAINED_ON, LABELS)

    assert found.problem is None
    assert {*found.value} == {
        Agreement("cat", "cat", 1),
        Agreement("cat", None, 1),
        Agreement("dog", "cat", 1),
        Agreement("dog", "dog", 1),
    }


def test_predictions_are_counted_by_day_and_most_probable_class(engine: Warehouse) -> None:
    append_all(engine, [predict("a", "cat"), predict("b", "cat"), predict("c", None), predict("d", "dog", days=9)])
    append_all(engine, [predict("a", "cat", days=0.5), predict("c", None)])  # as a batch job that is run again
    found = parts.predictions(Reads(engine), DAYS)

    assert found.problem is None
    counted = {(each.label, each.abstention, each.day, each.predictions, each.mean_probability) for each in found.value}
    day = DAYS.end_at - timedelta(days=2)
    assert counted == {("cat", None, day, 2, 0.75), (None, "out_of_domain", day, 1, None)}


def test_a_prediction_that_was_made_again_counts_once_and_an_erased_one_not_at_all(engine: Warehouse) -> None:
    append_all(engine, [predict("a", "cat"), predict("a", "cat", days=0.9), predict("erased", "cat")])
    snapshot(engine, TRAINED_ON, ("other", "cat", "train"))
    snapshot(engine, LABELS, ("a", "cat", "train"), ("erased", "cat", "train"))
    insert(
        engine,
        "event_tombstone_v1",
        [{"certificate_id": "c", "stream": "upload", "event_id": "erased", "erased_at": NOW}],
    )
    reads = Reads(engine)

    assert [each.predictions for each in parts.predictions(reads, DAYS).value] == [1]
    assert parts.agreement(reads, DAYS, "pets", 1, TRAINED_ON, LABELS).value == [Agreement("cat", "cat", 1)]


def test_a_window_of_drift_has_its_last_measure(engine: Warehouse) -> None:
    row = {
        "stream": "upload", "encoder_fingerprint": "f", "metric": "mmd", "reference_start_at": ago(30),
        "reference_end_at": ago(20), "start_at": ago(2), "end_at": ago(1), "row_count": 9, "threshold": 0.1,
    }  # fmt: skip
    old = {**row, "start_at": ago(10), "end_at": ago(9)}
    measured = [(row, 0.5, 0.9), (row, 0.2, 0.5), (old, 0.9, 0.4)]
    insert(engine, "drift_v1", [{**each, "value": value, "measured_at": ago(days)} for each, value, days in measured])
    found = parts.drift(Reads(engine), DAYS)

    assert [(each.value, each.is_alarm) for each in found.value] == [(0.2, True)]
