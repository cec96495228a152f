"""Windows read from the warehouse: every event counts once, sums are over all rows, and what was found is recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from rawless.errors import UserError
from rawless.lifecycle.drift import windows as reading
from rawless.lifecycle.drift.compare import Window
from rawless.lifecycle.drift.measure import EncoderRows, default_reference, encoders_of, measure, measured_rows
from rawless.lifecycle.drift.windows import divide, read_windows
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

FINGERPRINT, DAY = "f" * 64, timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)


def vector(number: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(number).standard_normal(4).astype(np.float32)


def row(number: int, at: datetime, **fields: Any) -> EmbeddingRow:
    defaults: dict[str, Any] = {
        "stream": "message", "event_id": f"e-{number}", "subject_key": None, "subject_key_id": None, "occurred_at": at,
        "logged_at": at, "origin": "ingest", "caller_key": None, "modality": "text", "encoder": "tiny",
        "encoder_version": "1.0.0", "encoder_fingerprint": FINGERPRINT, "embedding": vector(number), "truncated": False,
        "attributes": (),
    }  # fmt: skip
    return EmbeddingRow(**(defaults | fields))


def rejection(number: int, at: datetime, fingerprint: str | None = FINGERPRINT) -> RejectionRow:
    return RejectionRow(
        stream="message", event_id=f"r-{number}", subject_key=None, subject_key_id=None, message_id=str(number),
        stage="encode", reason="empty_text", size_bucket="1-9", encoder_fingerprint=fingerprint, rejected_at=at,
    )  # fmt: skip


def test_every_event_counts_once_with_its_first_delivery(warehouse: Warehouse) -> None:
    at = START + timedelta(hours=5)
    rows = [
        *(row(number, at) for number in range(6)),
        row(0, at, logged_at=at + DAY, embedding=vector(99)),
        row(1, at, origin="serving", caller_key="0" * 16, embedding=vector(99)),
        row(50, at, encoder="other", encoder_fingerprint="e" * 64),
        row(51, at, stream="other"),
        row(60, START + DAY),
    ]
    append_all(warehouse, rows)
    append_all(warehouse, [rejection(1, at), rejection(1, at), rejection(2, at, None), rejection(3, at, "e" * 64)])
    warehouse.query(
        f"INSERT INTO `{warehouse.table_id('event_tombstone_v1')}` (stream, event_id, erased_at, certificate_id)"
        " VALUES ('message', 'e-5', @at, 'c')",
        parameters({"at": at}),
    )

    first, second, third = read_windows(warehouse, "message", FINGERPRINT, divide(START, START + 3 * DAY, DAY))

    vectors = np.array([vector(number) for number in range(5)])
    assert (first.row_count, second.row_count, third.row_count) == (5, 1, 0)
    assert np.allclose(first.mean, vectors.mean(0))
    assert first.norm == pytest.approx(np.linalg.norm(vectors, axis=1).mean())
    assert first.squared_norm == pytest.approx((vectors**2).sum(1).mean())
    assert np.allclose(first.sample, vectors)
    assert (first.rejected, second.rejected) == ({"empty_text": 2}, {})


def test_a_sample_is_drawn_by_event_ids_and_has_whole_vectors(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW_SAMPLE", 60)
    append_all(warehouse, [row(number, START) for number in range(200)])

    def read() -> Window:
        return read_windows(warehouse, "message", FINGERPRINT, divide(START, START + DAY, DAY))[0]

    window, again = read(), read()
    known = {tuple(vector(number).tolist()) for number in range(200)}
    assert window.row_count == 200
    assert 35 < len(window.sample) < 85
    assert {tuple(each) for each in window.sample.astype(np.float32).tolist()} <= known
    assert np.array_equal(window.sample, again.sample)

    monkeypatch.setattr(reading, "WINDOW_SAMPLE", 0.001)
    assert read().sample.shape == (0, 4)


def test_drift_is_recorded_and_readers_see_what_was_measured_last(warehouse: Warehouse) -> None:
    days = [START + number * DAY for number in range(9)]
    append_all(warehouse, [row(40 * n + k, day) for n, day in enumerate(days[:8]) for k in range(40)])
    rows, reference = encoders_of(warehouse, "message")[0], (START, START + 7 * DAY)
    assert (rows.encoder, rows.fingerprint) == ("tiny@1.0.0", FINGERPRINT)
    with pytest.raises(UserError, match="no embeddings of the stream nothing"):
        encoders_of(warehouse, "nothing")

    found = measure(warehouse, "message", rows, reference, divide(days[7], days[8] + DAY, DAY))
    usual, empty = found.windows
    assert usual.note is None
    assert not any(finding.is_alarm for finding in usual.findings)
    assert empty.note == "no rows"
    assert [finding.metric for finding in empty.findings if finding.is_alarm] == ["volume"]

    append_all(warehouse, [row(1000 + number, days[8], embedding=vector(number) + 3) for number in range(40)])
    measure(warehouse, "message", rows, reference, divide(days[8], days[8] + DAY, DAY))
    last = {each["metric"]: each for each in measured_rows(warehouse, FINGERPRINT) if each["start_at"] == days[8]}
    assert last["volume"]["value"] == 0.0
    assert last["mean_shift"]["value"] > last["mean_shift"]["threshold"]
    assert (last["volume"]["reference_start_at"], last["volume"]["reference_end_at"]) == reference
    (counted,) = warehouse.query(f"SELECT COUNT(*) AS n FROM `{warehouse.table_id('drift_v1')}`")
    assert counted["n"] == len(usual.findings) + len(empty.findings) + len(last)


def test_the_default_reference_is_the_first_whole_weeks_and_stays_the_same() -> None:
    rows = EncoderRows("tiny@1.0.0", FINGERPRINT, START + timedelta(hours=9), START + 99 * DAY)

    assert default_reference(rows, START + 20 * DAY, DAY) == (START, START + 14 * DAY)
    assert default_reference(rows, START + 40 * DAY, DAY) == (START, START + 28 * DAY)
    assert default_reference(rows, START + 90 * DAY, 7 * DAY) == (START, START + 28 * DAY)
    with pytest.raises(UserError, match="less than a week before the window"):
        default_reference(rows, START + 6 * DAY, DAY)
