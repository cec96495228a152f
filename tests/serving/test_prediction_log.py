"""The opt-in log: it equals what ingest would log, and never slows down or fails a request."""

import hashlib
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from encoders.catalogue import lookup
from encoders.encoder import Encoder
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.errors import Unavailable
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource, PseudonymKey
from rawless.serving.callers import list_callers
from rawless.serving.config import AccessConfig
from rawless.serving.prediction_log import PredictionLog
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow, PredictionRow
from tests.serving.conftest import IMAGE_STREAM, TEXT_STREAM, Bench, eventually

AT = (datetime.now(UTC) - timedelta(minutes=20)).replace(microsecond=0)
METADATA = {"rawless-event-id": "msg-0001", "rawless-occurred-at": AT.isoformat(), "rawless-subject-id": "customer-1"}
EVENTS = "SELECT * FROM embedding_event_v1 ORDER BY event_id"
PREDICTIONS = "SELECT * FROM prediction_v1 ORDER BY head"


def test_requests_are_logged_as_events_and_predictions(bench: Bench, warehouse: Warehouse) -> None:
    for name in ("topic", "urgency", "next"):
        bench.deploy(name)
    heads = {"topic": {"log": True, "also": ["urgency"], "shadow": ["next"]}, "urgency": {"log": True}}
    client = bench.start(heads, warehouse=warehouse)
    headers = {**METADATA, "rawless-attributes": '{"channel": "chat", "other": "dropped"}'}

    prediction = client.post("/v1/heads/topic/predict", json={"text": "Where is my parcel?"}, headers=headers).json()
    eventually(lambda: len(warehouse.query(PREDICTIONS)) == 3)

    (event,), predictions = warehouse.query(EVENTS), warehouse.query(PREDICTIONS)
    key = PseudonymKey(b"k" * 32)
    assert (event["stream"], event["event_id"], event["occurred_at"]) == ("message", "msg-0001", AT)
    assert (event["subject_key"], event["subject_key_id"]) == (key.pseudonym("customer-1"), key.key_id)
    assert event["attributes"] == [{"key": "channel", "value": "chat"}]
    assert (event["origin"], event["caller_key"]) == ("serving", None)
    assert [row["head"] for row in predictions] == ["next", "topic", "urgency"]
    assert {(row["event_id"], row["subject_key"]) for row in predictions} == {("msg-0001", event["subject_key"])}
    logged = {entry["class"]: entry["probability"] for entry in predictions[1]["probabilities"]}
    assert logged == pytest.approx(prediction["probabilities"])


def test_a_caller_cannot_replace_a_producers_event_and_its_rows_name_it(bench: Bench, warehouse: Warehouse) -> None:
    """A stolen token claims an event for another person before it is ingested."""
    tokens = {name: f"{name}-token-of-256-bits" for name in ("web", "stolen")}
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in tokens.items()}
    access = {"tokens": [{"name": name, "sha256": digests[name], "scopes": ["predict"]} for name in tokens]}
    bench.deploy("topic")
    client = bench.start({"topic": {"log": True}}, warehouse=warehouse, access=access)
    for number, (name, token) in enumerate(tokens.items(), 1):
        headers = {**METADATA, "rawless-event-id": f"msg-000{number}", "authorization": f"Bearer {token}"}
        client.post("/v1/heads/topic/predict", json={"text": "Forged."}, headers=headers | {"rawless-subject-id": name})
    eventually(lambda: len(warehouse.query(PREDICTIONS)) == 2)
    _, forged = warehouse.query(EVENTS)
    shape = {name: forged[name] for name in ("stream", "event_id", "modality", "encoder", "encoder_version")}
    shape |= {"encoder_fingerprint": forged["encoder_fingerprint"], "truncated": False, "attributes": ()}
    owner = {"subject_key": "owner", "subject_key_id": "k1", "origin": "ingest", "caller_key": None}
    times = {"occurred_at": AT - timedelta(minutes=1), "logged_at": datetime.now(UTC)}
    append_all(warehouse, [EmbeddingRow(**shape, **owner, **times, embedding=np.ones(384, np.float32))])

    statement = (
        f"SELECT * FROM {warehouse.config.events}.embedding_event(@start_at, @end_at) WHERE superseded_at IS NULL"
    )
    span = parameters({"start_at": AT - timedelta(days=1), "end_at": AT + timedelta(days=1)})
    events = {row["event_id"]: row for row in warehouse.query(statement, span)}
    listed = list_callers(AccessConfig.model_validate(access), PseudonymKey(b"k" * 32))
    callers = {caller.caller_key: caller.name for caller in listed}
    assert (events["msg-0002"]["subject_key"], events["msg-0002"]["conflict_at"]) == ("owner", None)
    assert callers[events["msg-0001"]["caller_key"]] == "web"
    assert callers[forged["caller_key"]] == "stolen"
    assert {callers[row["caller_key"]] for row in warehouse.query(PREDICTIONS)} == {"web", "stolen"}
    assert not any(digest.startswith(key) for key in callers for digest in digests.values())


@pytest.mark.parametrize(
    ("minutes", "logged", "plain"), [(-58, 200, 200), (-62, 422, 200), (0.5, 200, 200), (2, 422, 200), (1500, 422, 422)]
)
def test_a_logged_request_is_of_an_event_that_happens_now(
    bench: Bench, warehouse: Warehouse, minutes: float, logged: int, plain: int
) -> None:
    """Otherwise a caller could write into days whose datasets were built long ago."""
    for name in ("topic", "plain"):
        bench.deploy(name)
    client = bench.start({"topic": {"log": True}, "plain": {}}, warehouse=warehouse)
    headers = {**METADATA, "rawless-occurred-at": (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()}

    responses = [
        client.post(f"/v1/heads/{name}/predict", json={"text": "a"}, headers=headers) for name in ("topic", "plain")
    ]

    assert [response.status_code for response in responses] == [logged, plain]
    assert {each.json()["reason"] for each in responses if each.status_code == 422} <= {"bad_occurred_at"}


def test_an_abstention_is_logged_without_probabilities(bench: Bench, warehouse: Warehouse) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"log": True, "rules": {"minimum_confidence": 1.0}}}, warehouse=warehouse)

    client.post("/v1/heads/topic/predict", json={"text": "Where is my parcel?"}, headers=METADATA)
    eventually(lambda: len(warehouse.query(PREDICTIONS)) == 1)

    (row,) = warehouse.query(PREDICTIONS)
    assert (row["abstention"], row["probabilities"]) == ("low_confidence", [])


def test_logged_requests_need_the_headers_that_their_stream_requires(bench: Bench, warehouse: Warehouse) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"log": True}}, warehouse=warehouse)

    def reason(without: str) -> str:
        headers = {name: value for name, value in METADATA.items() if name != without}
        return str(client.post("/v1/heads/topic/predict", json={"text": "a"}, headers=headers).json().get("reason"))

    assert reason(without="rawless-subject-id") == "missing_subject"
    assert reason(without="rawless-event-id") == "missing_event_id"
    assert reason(without="rawless-occurred-at") == "None"


def _images() -> list[bytes]:
    contents = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40 + number, 60, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG" if number else "JPEG")
        contents.append(file.getvalue())
    return contents


@pytest.mark.parametrize("ref", ["minilm@1.0.0", "resnet18-seeded@1.0.0"])
def test_vectors_equal_those_that_ingest_logs_for_the_same_bytes(
    bench: Bench, warehouse: Warehouse, tmp_path: Path, write_events: Callable[..., Path], key: KeySource, ref: str
) -> None:
    """For every encoder of the catalogue whose weights are available to tests."""
    spec, is_text = lookup(ref), ref.startswith("minilm")
    contents: list[bytes] = (
        [b"Where is my parcel?", ("Ünïcode \u2603 " * 30).encode(), b"word " * 300] if is_text else _images()
    )
    bench.deploy("head", spec=spec)
    name = "message" if is_text else "upload"
    kind = "application/json" if is_text else "image/png"
    client = bench.start({"head": {"stream": f"{name}.yaml", "log": True}}, warehouse=warehouse)
    import base64

    for number, content in enumerate(contents):
        metadata = {**METADATA, "rawless-event-id": f"msg-000{number}"}
        body = {"json": {"text": content.decode()}} if is_text else {"content": content}
        headers = metadata if is_text else {**metadata, "content-type": kind}
        assert client.post("/v1/heads/head/predict", headers=headers, **body).status_code == 200  # type: ignore[arg-type]
    eventually(lambda: len(warehouse.query(EVENTS)) == len(contents))
    served = {row["event_id"]: row for row in warehouse.query(EVENTS)}
    stream = Stream.model_validate(TEXT_STREAM if is_text else IMAGE_STREAM)
    events = [
        {
            "event_id": f"msg-001{number}",
            "stream": name,
            "text": ...,
            "payload_base64": base64.b64encode(content).decode(),
        }
        for number, content in enumerate(contents)
    ]
    source = open_bounded_source(f"jsonl:{write_events(*events)}", stream)
    run(Ingest(stream, source, (spec,), key, warehouse, "cpu"), options.parse([]), 0.0)
    ingested = {row["event_id"]: row for row in warehouse.query(EVENTS) if row["event_id"] not in served}

    assert len(ingested) == len(contents)
    for number in range(len(contents)):
        logged, expected = served[f"msg-000{number}"], ingested[f"msg-001{number}"]
        assert np.abs(np.array(logged["embedding"]) - np.array(expected["embedding"])).max() <= spec.tolerance
        for column in ("encoder", "encoder_version", "encoder_fingerprint", "modality", "truncated", "stream"):
            assert logged[column] == expected[column]


def test_waiting_rows_are_written_at_shutdown(bench: Bench, warehouse: Warehouse) -> None:
    bench.deploy("topic")
    with bench.running:
        client = bench.start({"topic": {"log": True}}, warehouse=warehouse)
        for number in range(20):
            headers = {**METADATA, "rawless-event-id": f"msg-{number:04}"}
            client.post("/v1/heads/topic/predict", json={"text": "hello"}, headers=headers)

    assert len(warehouse.query(EVENTS)) == len(warehouse.query(PREDICTIONS)) == 20
    assert bench.messages == []


def test_an_unavailable_warehouse_loses_rows_but_fails_no_request(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.serving.app.FLUSH_SECONDS", 0.5)
    config = WarehouseConfig(project="local-dev", events="e", snapshots="s", builds="b", subjects="u", audit="a")
    unavailable = Warehouse(config, Emulator("http://127.0.0.1:9", "127.0.0.1:9"), 0.2)
    bench.deploy("topic")
    with bench.running:
        client = bench.start({"topic": {"log": True, "encoder": "minilm@1.0.0"}}, warehouse=unavailable)
        statuses = [
            client.post("/v1/heads/topic/predict", json={"text": "hello"}, headers=METADATA).status_code
            for _ in range(10)
        ]

    assert statuses == [200] * 10
    assert bench.messages == ["20 rows could not be logged and are lost."]


def _row(number: int, head: str = "topic") -> PredictionRow:
    return PredictionRow("message", f"e-{number}", None, None, None, head, 1, (("a", 1.0),), None, AT)


def test_a_row_that_the_table_refuses_does_not_affect_others(warehouse: Warehouse) -> None:
    counts: dict[tuple[str, str], int] = {}

    def count(table: str, outcome: str, rows: int) -> None:
        counts[table, outcome] = counts.get((table, outcome), 0) + rows

    log = PredictionLog(warehouse, 100, count)
    for row in (_row(1), _row(2, head="a\nb"), _row(3)):
        log.put(row)
    log.close(10.0)

    assert counts[PredictionRow.TABLE, "written"] == 2
    assert counts[PredictionRow.TABLE, "refused"] == 1
    assert sorted(row["event_id"] for row in warehouse.query(PREDICTIONS)) == ["e-1", "e-3"]


def test_a_full_queue_drops_rows_without_waiting(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Any] = []
    writing, released = threading.Event(), threading.Event()
    log = PredictionLog(warehouse, 3, lambda *outcome: outcomes.append(outcome))

    def stuck(rows: Any) -> list[int]:
        writing.set()
        released.wait(20)
        return []

    monkeypatch.setattr(log._appender, "append", stuck)
    log.put(_row(0))
    assert writing.wait(20)
    for number in range(1, 10):
        log.put(_row(number))
    dropped = [outcome for outcome in outcomes if outcome[1] == "dropped"]
    released.set()

    assert log.close(10.0) == len(dropped) == 6
    assert sum(outcome[2] for outcome in outcomes if outcome[1] == "written") == 4


def test_a_warehouse_that_is_unavailable_for_a_while_loses_no_row(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = []
    log = PredictionLog(warehouse, 10, lambda *outcome: outcomes.append(outcome))
    append, errors = log._appender.append, [Unavailable("away"), Unavailable("away"), ValueError("text")]

    def failing(rows: Any) -> list[int]:
        if errors:
            raise errors.pop(0)
        return append(rows)  # type: ignore[return-value]

    monkeypatch.setattr(log._appender, "append", failing)
    log.put(_row(1))  # retried until the last error, which is not transient
    eventually(lambda: (PredictionRow.TABLE, "refused", 1) in outcomes)
    log.put(_row(2))

    assert log.close(10.0) == 0
    assert sum(outcome[2] for outcome in outcomes if outcome[1] == "written") == 1


def test_an_unsure_shadow_is_logged_as_an_abstention(bench: Bench, warehouse: Warehouse) -> None:
    for name in ("topic", "next"):
        bench.deploy(name)
    heads = {"topic": {"log": True, "shadow": ["next"], "rules": {"minimum_confidence": 1.0}}}
    client = bench.start(heads, warehouse=warehouse)

    client.post("/v1/heads/topic/predict", json={"text": "Where is my parcel?"}, headers=METADATA)
    eventually(lambda: len(warehouse.query(PREDICTIONS)) == 2)

    assert {row["abstention"] for row in warehouse.query(PREDICTIONS)} == {"low_confidence"}


def test_a_log_without_a_warehouse_is_rejected(bench: Bench, minilm: Encoder) -> None:
    from rawless.errors import UserError

    bench.deploy("topic")
    with pytest.raises(UserError, match="needs a warehouse"):
        bench.start({"topic": {"log": True}})
