"""The complete ingest job: JSON lines in, rows in the embedded BigQuery."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.errors import Unavailable
from rawless.events.stream import Stream, Unchanged
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator

Ingested = Callable[..., dict[str, Any]]
Rows = Callable[[], list[dict[str, Any]]]
Write = Callable[..., Path]


def test_an_event_becomes_one_row_with_all_its_parts(
    ingest: Ingested, embeddings: Rows, write_events: Write, minilm: Encoder
) -> None:
    text = "Two payments left my account."
    occurred_at = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=3)
    path = write_events(
        {
            "event_id": "a-1",
            "text": text,
            "occurred_at": occurred_at.isoformat(),
            "attributes": {"channel": "chat", "app": "2.1", "phone": "+00 555 0100"},
        }
    )

    summary = ingest(path)

    (row,) = embeddings()
    expected = minilm.encode([Raw(text.encode())])[0]
    assert isinstance(expected, Encoded)
    assert np.array_equal(np.array(row["embedding"], dtype=np.float32), expected.vector)
    assert row["event_id"] == "a-1"
    assert row["occurred_at"] == occurred_at
    assert row["attributes"] == [{"key": "app", "value": "2.1"}, {"key": "channel", "value": "chat"}]
    assert (row["encoder"], row["encoder_version"]) == ("minilm", "1.0.0")
    assert row["encoder_fingerprint"] == lookup("minilm@1.0.0").fingerprint
    assert len(row["subject_key"]) == 64
    assert not row["truncated"]
    assert row["conflict_at"] is None
    assert summary["read"] == summary["embeddings"] == 1
    assert summary["rejections"] == {}
    assert summary["dropped_attributes"] == 1


HOSTILE = {
    "missing_event_id": {"event_id": ...},
    "bad_event_id": {"event_id": "id with spaces"},
    "bad_occurred_at": {"occurred_at": "2026-11-01T10:00:00"},
    "missing_subject": {"subject_id": None},
    "unknown_stream": {"stream": "other"},
    "wrong_modality": {"text": ..., "parts": {"title": "x"}},
    "empty_payload": {"text": ...},
    "payload_too_large": {"text": "x" * 2001},
    "payload_uri_forbidden": {"text": ..., "uri": "gs://bucket/object"},
    "empty_text": {"text": " \t\n"},
    "invalid_utf8": {"text": ..., "payload_base64": base64.b64encode(b"\xff\xfe").decode()},
    "forbidden_characters": {"text": "a\0b"},
    "malformed_event": {"text": ["a", "list"]},
}


def test_every_hostile_event_gets_its_reason_and_its_neighbours_are_embedded(
    ingest: Ingested, embeddings: Rows, rejections: Rows, write_events: Write
) -> None:
    good = [{"event_id": f"good-{number}", "text": f"Message number {number}."} for number in range(3)]
    garbage = [b"null", b"no json", b"[1, 2]", b'{"event_id": "\xff"}', b"\xc3\x28", b"[" * 5000]
    path = write_events(good[0], *HOSTILE.values(), good[1], *garbage, good[2])

    summary = ingest(path)

    assert [row["event_id"] for row in embeddings()] == ["good-0", "good-1", "good-2"]
    assert [row["reason"] for row in rejections()] == [
        *HOSTILE,
        *["malformed_event"] * 3,
        *["invalid_utf8"] * 2,
        "malformed_event",
    ]
    assert summary["read"] == summary["embeddings"] + sum(summary["rejections"].values()) == 22
    assert summary["rejections"]["malformed_event"] == 5


def test_a_rejection_contains_the_valid_ids_and_no_others(
    ingest: Ingested, rejections: Rows, write_events: Write
) -> None:
    path = write_events(
        {"event_id": "fine", "text": ""},
        {"event_id": "not fine", "text": "x"},
        {"event_id": "also-fine", "subject_id": 7},
    )

    ingest(path)

    empty, bad_id, bad_subject = rejections()
    assert (empty["event_id"], len(empty["subject_key"])) == ("fine", 64)
    assert (bad_id["event_id"], len(bad_id["subject_key"])) == (None, 64)
    assert (bad_subject["event_id"], bad_subject["subject_key"]) == ("also-fine", None)
    assert [row["message_id"] for row in (empty, bad_id, bad_subject)] == ["1", "2", "3"]
    assert {row["stage"] for row in (empty, bad_id, bad_subject)} == {"parse"}
    assert {row["size_bucket"] for row in (empty, bad_id, bad_subject)} == {"<1000"}  # of the line


def test_the_same_input_twice_changes_nothing_for_readers(
    ingest: Ingested, embeddings: Rows, rejections: Rows, write_events: Write
) -> None:
    path = write_events({"event_id": "a"}, {"event_id": "b", "text": ""}, b"garbage")
    ingest(path)
    before = embeddings(), rejections()

    ingest(path)

    assert (embeddings(), rejections()) == before


def test_a_replay_changes_nothing_that_was_known_before(
    ingest: Ingested, warehouse: Warehouse, write_events: Write
) -> None:
    ingest(write_events({"event_id": "a", "text": "first"}))
    as_of = datetime.now(UTC)
    known = (
        f"SELECT event_id, logged_at, embedding FROM {warehouse.config.events}.embedding_event("
        f"TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') WHERE logged_at <= TIMESTAMP '{as_of.isoformat()}'"
    )
    before = warehouse.query(known)

    ingest(write_events({"event_id": "a", "text": "another text"}, {"event_id": "late"}))

    assert len(before) == 1
    assert warehouse.query(known) == before


@pytest.mark.full
@pytest.mark.usefixtures("forked_workers")
def test_two_worker_processes_write_the_same_rows_as_one(
    ingest: Ingested, embeddings: Rows, write_events: Write, warehouse: Warehouse, tiny_sealed: EncoderSpec
) -> None:
    def rows() -> list[tuple[Any, ...]]:
        return [(row["event_id"], row["subject_key"], row["encoder_fingerprint"]) for row in embeddings()]

    events = [
        {"event_id": f"e-{number:04d}", "text": f"Text {number} " + "word " * (number % 40)} for number in range(600)
    ]
    path = write_events(*events)
    summary = ingest(path, encoders=(tiny_sealed,))
    once, vectors = rows(), np.array([row["embedding"] for row in embeddings()])
    # Readers see the first delivery only, so the rows of the second run are read directly.
    later = datetime.now(UTC)

    beam = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    again = ingest(path, *beam, encoders=(tiny_sealed,))

    assert rows() == once
    assert summary["embeddings"] == again["embeddings"] == 600
    found = warehouse.query(
        f"SELECT event_id, embedding FROM embedding_event_v1 WHERE logged_at > TIMESTAMP '{later.isoformat()}'"
    )
    second = {row["event_id"]: row["embedding"] for row in found}
    assert np.abs(np.array([second[row[0]] for row in once]) - vectors).max() <= tiny_sealed.tolerance


def test_with_two_encoders_each_accounts_for_every_event(
    ingest: Ingested, embeddings: Rows, write_events: Write, tiny_sealed: EncoderSpec
) -> None:
    first = tiny_sealed
    second = first.model_copy(update={"version": "1.0.1", "training_domain": "the same in other words"})
    path = write_events({"event_id": "a"}, {"event_id": "b", "text": "\u200b"}, b"garbage")

    summary = ingest(path, encoders=(first, second))

    assert summary["read"] == 3
    assert summary["by_encoder"] == {
        ref: {"embeddings": 1, "rejections": {"empty_text": 1, "malformed_event": 1}}
        for ref in ("tiny@1.0.0", "tiny@1.0.1")
    }
    assert {row["encoder_fingerprint"] for row in embeddings()} == {first.fingerprint, second.fingerprint}


def test_unchanged_content_is_encoded_once_for_each_encoder(
    ingest: Ingested,
    embeddings: Rows,
    write_events: Write,
    stream: Stream,
    tiny_sealed: EncoderSpec,
    tiny_noisy: EncoderSpec,
) -> None:
    texts = ["Where is my parcel?", "It is late.", "Where is my parcel?", "\u200b", "Where is my parcel?"]
    path = write_events(*({"event_id": f"e-{number}", "text": text} for number, text in enumerate(texts)))
    remembering = stream.model_copy(update={"unchanged": Unchanged(remember=10)})

    summary = ingest(path, stream=remembering, encoders=(tiny_sealed, tiny_noisy))
    remembered = embeddings()
    plain = ingest(path, encoders=(tiny_sealed, tiny_noisy))

    assert (summary["embeddings"], summary["unchanged"], summary["rejections"]) == (8, 4, {"empty_text": 2})
    assert (plain["embeddings"], "unchanged" in plain) == (8, False)
    own = {row["event_id"]: row["embedding"] for row in remembered if row["encoder"] == "tiny"}
    assert own["e-0"] == own["e-2"] == own["e-4"] != own["e-1"]
    noisy = {tuple(row["embedding"]) for row in remembered if row["encoder"] == "noisy"}
    assert len(noisy) == 4  # the noise is of the event: equal contents are no equal rows


@pytest.mark.usefixtures("forked_workers")
def test_an_unavailable_warehouse_fails_the_job_and_the_next_run_loses_nothing(
    ingest: Ingested, embeddings: Rows, write_events: Write, warehouse: Warehouse, tiny_sealed: EncoderSpec
) -> None:
    path = write_events(*({"event_id": f"e-{number}"} for number in range(20)))
    away = replace(warehouse, emulator=Emulator("http://127.0.0.1:9", "127.0.0.1:9"), retry_seconds=1.0)

    for mode in ("in_memory", "multi_processing"):
        with pytest.raises(
            Unavailable, match=r"accepted no rows for 1 seconds.*Nothing was lost.*is available\.$"
        ) as failure:
            ingest(path, f"--direct_running_mode={mode}", warehouse=away, encoders=(tiny_sealed,))
        assert failure.value.__context__ is None
    summary = ingest(path, encoders=(tiny_sealed,))

    assert summary["embeddings"] == len(embeddings()) == 20


def test_a_row_that_the_warehouse_refuses_becomes_a_rejection(
    ingest: Ingested, embeddings: Rows, rejections: Rows, write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rawless.warehouse import append_stream

    honest = append_stream.is_valid

    def refuses_b(row: Any) -> bool:
        return honest(row) and not (row.TABLE == "embedding_event_v1" and row.event_id == "b")

    monkeypatch.setattr(append_stream, "is_valid", refuses_b)
    summary = ingest(write_events({"event_id": "a"}, {"event_id": "b"}, {"event_id": "c"}))

    assert [row["event_id"] for row in embeddings()] == ["a", "c"]
    (refused,) = rejections()
    assert (refused["event_id"], refused["stage"], refused["reason"]) == ("b", "write", "row_refused")
    assert (refused["message_id"], refused["size_bucket"]) == ("2", "<100")  # of the payload
    assert summary["read"] == summary["embeddings"] + sum(summary["rejections"].values())


def test_the_job_measures_batches_time_and_lag(
    job: Callable[..., Ingest], write_events: Write, minilm: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apache_beam as beam

    from pipelines import options
    from rawless.metering import metric
    from rawless.metering.metric import take

    take()  # what other tests left
    monkeypatch.setattr(metric._unsent, "sampled_at", 0.0)
    pipeline = beam.Pipeline(options=options.parse([]))
    job(write_events({"event_id": "a"}, {"event_id": "b"})).build(pipeline)
    result = pipeline.run()
    result.wait_until_finish()

    measured: dict[str, Any] = {}
    for each in result.metrics().query()["distributions"]:  # of each step that forwarded some
        name, data = each.key.metric.name, each.result.data
        measured[name] = measured[name].combine(data) if name in measured else data
    assert measured["batch_items"].sum == 2
    assert measured["encode_milliseconds"].count == measured["batch_items"].count <= 2
    assert measured["prepare_milliseconds"].count == 2
    assert 0 < measured["batch_fill_percent"].max <= 100
    assert measured["append_rows.embedding_event_v1"].sum == 2
    assert measured["append_milliseconds.embedding_event_v1"].count >= 1
    assert 86_000_000 < measured["lag_milliseconds"].min < 90_000_000
    assert {"queue_items.prepare", "queue_oldest_milliseconds.batch"} <= measured.keys()
