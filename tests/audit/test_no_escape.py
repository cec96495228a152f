"""Promise 1: a marker in any place of an event, through every failure path, is found nowhere afterwards.

Each run writes to the embedded BigQuery; `searched` says where else the marker is looked for.
"""

import base64
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

import encoders.batch_encoder
import pipelines.read
import rawless.steps.encode
import rawless.steps.parse
import rawless.steps.write
from encoders.load import load
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.audit.search import Trace
from rawless.audit.spellings import spelled
from rawless.events.publish import Published, publish
from rawless.events.sources import open_bounded_source, open_source
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.audit.planted import planted_contents
from tests.conftest import topic_of
from tests.object_server import Store

MARKER = "Rosalind-0815-Quibble-Zanzibar"


def _everywhere() -> Iterator[dict[str, Any] | bytes]:
    """Events with the marker in every place, valid and malformed in every way."""
    text = f"{MARKER} is my name."
    yield {"text": text}
    yield {"text": text, "subject_id": MARKER}
    yield {"text": text, "attributes": {"channel": "chat", "note": MARKER, MARKER: "x"}}
    yield {"text": text, "attributes": {"channel": MARKER}}
    yield {"text": text, "attributes": MARKER}
    yield {"text": text, MARKER: MARKER}
    yield {"text": text, "event_id": f"id {MARKER}"}
    yield {"text": text, "event_id": [MARKER]}
    yield {"text": text, "event_id": ...}
    yield {"text": text, "occurred_at": MARKER}
    yield {"text": text, "occurred_at": {MARKER: 1}}
    yield {"text": text, "stream": MARKER}
    yield {"text": text, "subject_id": [MARKER]}
    yield {"text": text, "subject_id": f"\0{MARKER}"}
    yield {"text": ..., "uri": f"gs://{MARKER}/{MARKER}"}
    yield {"text": ..., "uri": [MARKER]}
    yield {"text": ..., "parts": {MARKER: MARKER}}
    yield {"text": {MARKER: MARKER}}
    yield {"text": f"{text}\0"}
    yield {"text": f"{text}\ud83d"}
    yield {"text": text * 100}
    yield {"text": ..., "payload_base64": base64.b64encode(b"\xff" + text.encode()).decode()}
    yield {"text": ..., "payload_base64": f"{MARKER}=="}
    yield {"text": text, "payload_base64": base64.b64encode(text.encode()).decode()}
    yield MARKER.encode()
    yield json.dumps([MARKER]).encode()
    yield json.dumps({"event_id": "cut", "text": text})[:-2].encode()
    yield b'{"text": "\xff' + MARKER.encode() + b'"}'
    yield MARKER.encode("utf-16-le")


@pytest.fixture
def run(
    key: KeySource,
    stream: Stream,
    warehouse: Warehouse,
    write_events: Callable[..., Path],
    searched: Callable[..., set[Trace]],
    tiny_sealed: EncoderSpec,
) -> Callable[..., set[Trace]]:
    """Runs the job over events and returns the traces of the marker."""

    def go(
        *events: dict[str, Any] | bytes,
        beam_options: tuple[str, ...] = (),
        contents: Sequence[bytes] = (MARKER.encode(),),
    ) -> set[Trace]:
        source = open_source(f"jsonl:{write_events(*events)}", stream)
        job = Ingest(stream, source, (tiny_sealed,), key, warehouse, "cpu")
        return searched(job, contents, beam_options)

    return go


@pytest.fixture
def run_messages(
    key: KeySource,
    stream: Stream,
    warehouse: Warehouse,
    write_events: Callable[..., Path],
    searched: Callable[..., set[Trace]],
    subscription: Subscription,
    tiny_sealed: EncoderSpec,
) -> Callable[..., set[Trace]]:
    """Like `run`, with the events published as messages first."""

    def go(*events: dict[str, Any] | bytes) -> set[Trace]:
        source = open_bounded_source(f"jsonl:{write_events(*events)}", stream)
        publish(source, topic_of(subscription), subscription.pubsub, Published())
        job = Ingest(stream, subscription, (tiny_sealed,), key, warehouse, "cpu")
        return searched(job, [MARKER.encode()])

    return go


def test_no_marker_escapes_from_messages(run_messages: Callable[..., set[Trace]], warehouse: Warehouse) -> None:
    assert run_messages(*_everywhere()) == set()
    (rejected,) = warehouse.query("SELECT COUNT(*) AS n, COUNTIF(reason = 'internal') AS internal FROM rejection_v1")
    assert rejected["n"] > 5
    assert rejected["internal"] == 0


@pytest.mark.parametrize(
    ("step", "method"),
    [
        (pipelines.read._FromMessages, "process"),
        (rawless.steps.parse.Parse, "process"),
        (rawless.steps.encode.Encode, "_next"),
        (rawless.steps.write.Write, "_send"),
    ],
)
def test_no_marker_escapes_from_a_streaming_step_that_does_not_handle_its_error(
    step: type, method: str, run_messages: Callable[..., set[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(self: Any, *arguments: Any) -> Any:
        raise KeyError(arguments, vars(self))

    monkeypatch.setattr(step, method, raises)

    assert run_messages({"text": MARKER}) == set()


def test_no_marker_escapes_however_an_event_is_broken(run: Callable[..., set[Trace]], warehouse: Warehouse) -> None:
    events = list(_everywhere())

    assert run(*events) == set()
    rows = "(SELECT COUNT(*) FROM embedding_event_v1) + (SELECT COUNT(*) FROM rejection_v1)"
    assert warehouse.query(f"SELECT {rows} AS n") == [{"n": len(events)}]
    assert warehouse.query("SELECT COUNT(*) AS n FROM rejection_v1 WHERE reason = 'internal'") == [{"n": 0}]


@pytest.mark.full
def test_no_marker_escapes_from_a_worker_process(run: Callable[..., set[Trace]]) -> None:
    assert run(*_everywhere(), beam_options=("--direct_running_mode=multi_processing",)) == set()


@pytest.mark.parametrize(
    ("status", "beam"),
    [(200, ()), (403, ()), pytest.param(200, ("--direct_running_mode=multi_processing",), marks=pytest.mark.full)],
    ids=["readable", "one unreadable", "several processes"],
)
def test_no_name_and_no_content_of_an_object_escapes(
    status: int,
    beam: tuple[str, ...],
    stream: Stream,
    key: KeySource,
    warehouse: Warehouse,
    searched: Callable[..., set[Trace]],
    tiny_sealed: EncoderSpec,
    write_events: Callable[..., Path],
    store: Store,
) -> None:
    for number, event in enumerate(_everywhere()):
        store.put(f"2026/{MARKER}-{number:02}.jsonl", write_events({"text": MARKER}, event).read_bytes())
    source = open_source("jsonl:gs://bucket/2026/*.jsonl", stream)
    store.objects[f"bucket/2026/{MARKER}-07.jsonl"].media_status = [status]
    job = Ingest(stream, source, (tiny_sealed,), key, warehouse, "cpu")

    assert searched(job, (MARKER.encode(),), beam) == set()
    if status == 200:
        rows = "(SELECT COUNT(*) FROM embedding_event_v1) + (SELECT COUNT(*) FROM rejection_v1)"
        assert warehouse.query(f"SELECT {rows} AS n") == [{"n": 2 * len(list(_everywhere()))}]


@pytest.mark.parametrize("broken", ["_prepare", "_forward", "inputs"], ids=["the tokenizer", "the batch", "the model"])
def test_no_marker_escapes_from_an_encoder_that_raises(
    broken: str,
    run: Callable[..., set[Trace]],
    tiny_sealed: EncoderSpec,
    monkeypatch: pytest.MonkeyPatch,
    warehouse: Warehouse,
    talkative: Callable[[str], Callable[..., NoReturn]],
) -> None:
    load(tiny_sealed, "cpu")  # an encoder that is loaded while it is broken would be refused
    monkeypatch.setattr(encoders.batch_encoder.BatchEncoder, broken, talkative(MARKER))
    for probe in ("_encodes_probe", "_prepare_probe"):
        monkeypatch.setattr(encoders.batch_encoder.BatchEncoder, probe, lambda self: True)

    assert run({"text": MARKER}) == set()
    assert warehouse.query("SELECT reason FROM rejection_v1") == [{"reason": "encoder_failed"}]


def test_no_marker_escapes_from_a_parser_that_raises(
    run: Callable[..., set[Trace]],
    monkeypatch: pytest.MonkeyPatch,
    warehouse: Warehouse,
    talkative: Callable[[str], Callable[..., NoReturn]],
) -> None:
    monkeypatch.setattr("rawless.events.parse.Parser._payload", talkative(MARKER))

    assert run({"text": MARKER}, {"text": MARKER}) == set()
    assert warehouse.query("SELECT DISTINCT reason FROM rejection_v1") == [{"reason": "internal"}]


@pytest.mark.parametrize(
    ("step", "method"),
    [
        (rawless.steps.encode.Encode, "process"),
        (rawless.steps.encode.Encode, "_next"),
        (rawless.steps.write.Write, "_send"),
    ],
)
def test_no_marker_escapes_from_a_step_that_does_not_handle_its_error(
    step: type, method: str, run: Callable[..., set[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(self: Any, *arguments: Any) -> Any:
        raise KeyError(arguments, vars(self))

    monkeypatch.setattr(step, method, raises)

    assert run({"text": MARKER}) == set()


def test_no_marker_escapes_when_the_warehouse_is_unavailable(
    run: Callable[..., set[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.api_core.exceptions import ServiceUnavailable

    def unavailable(stream: str, rows: Any) -> None:
        raise ServiceUnavailable(f"unavailable: {rows.to_pylist()}")

    monkeypatch.setattr("rawless.warehouse.append_stream._request", unavailable)

    assert run({"text": MARKER}) == set()


def test_the_same_search_finds_a_planted_leak(run: Callable[..., set[Trace]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Show that the tests above can fail: a step that logs its input is found, however the content is encoded."""
    planted = planted_contents()
    leaks = [spelled(content)[spelling].decode("latin-1") for spelling, content in planted.items()]
    original = rawless.steps.encode._measure_lag

    def leaks_all(*arguments: Any) -> Any:
        for leak in leaks:
            logging.getLogger("some.library").warning("encoded %s", leak)
        return original(*arguments)

    monkeypatch.setattr(rawless.steps.encode, "_measure_lag", leaks_all)

    traces = run({"text": "harmless"}, contents=list(planted.values()))
    assert {trace.place for trace in traces} == {"output"}
    assert {trace.content for trace in traces} == set(range(len(planted)))
