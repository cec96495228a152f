"""Promise 1 for events with parts: a marker in any part, valid or malformed, is found nowhere afterwards."""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import encoders.batch_encoder
import encoders.composite_model
import rawless.steps.encode
from encoders.compose import compose
from encoders.load import load
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.audit.search import Trace
from rawless.events.publish import Published, publish
from rawless.events.sources import open_bounded_source, open_source
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.audit.test_no_escape_images import MARKER, _file
from tests.conftest import topic_of
from tests.streams import ANY_ID
from tests.tiny_towers import Towers

PHOTO = {"payload_base64": base64.b64encode(_file("PNG")).decode()}
CAPTION = {"text": f"my name is {MARKER} ."}
BOTH = {"photo": PHOTO, "caption": CAPTION}


def _valid() -> Iterator[dict[str, Any]]:
    """Events that are embedded where a missing part is zeros."""
    yield {"parts": BOTH}
    yield {"parts": {**BOTH, MARKER: CAPTION, "voice": PHOTO}, MARKER: MARKER}
    yield {"parts": {"photo": {**PHOTO, MARKER: MARKER}}}
    yield {"parts": {"caption": CAPTION}}


def _malformed(folder: Path) -> Iterator[dict[str, Any] | bytes]:
    yield {"parts": MARKER}
    yield {"parts": [BOTH]}
    yield {"parts": {MARKER: MARKER}}
    yield {"parts": {"caption": MARKER}}
    yield {"parts": {"caption": {"text": [MARKER]}}}
    yield {"parts": {"caption": {"text": f"{MARKER}\0"}}}
    yield {"parts": {"caption": {"text": f"{MARKER}\ud83d"}}}
    yield {"parts": {"caption": {"payload_base64": f"{MARKER}=="}}}
    yield {"parts": {"caption": {"payload_base64": base64.b64encode(b"\xff" + MARKER.encode()).decode()}}}
    yield {"parts": {"caption": {"text": MARKER * 100}}}
    yield {"parts": {**BOTH, "photo": CAPTION}}
    yield {"parts": {**BOTH, "photo": {"payload_base64": base64.b64encode(MARKER.encode()).decode()}}}
    yield {"parts": {**BOTH, "photo": {"payload_base64": base64.b64encode(_file("PNG")[:-20]).decode()}}}
    yield {"parts": {**BOTH, "photo": {"uri": f"file://{folder}/elsewhere/{MARKER}"}}}
    yield {"parts": {**BOTH, "photo": {"uri": f"file://{folder}/objects/gone%20{MARKER}"}}}
    yield {"parts": BOTH, "text": MARKER}
    yield {"text": MARKER}
    yield json.dumps({"event_id": "cut", "parts": BOTH})[:-9].encode()
    yield b'{"event_id": "twice", "parts": {"caption": {"text": "a", "text": "' + MARKER.encode() + b'"}}}'


@pytest.fixture
def spec(towers: Towers) -> EncoderSpec:
    return compose(
        [towers.image, towers.text], "photo-and-caption", "1.0.0", weights=[1, 1], normalise_parts=True,
        l2_normalise=False, reads=["photo", "caption"], missing="zeros",
    )  # fmt: skip


@pytest.fixture
def posts(tmp_path: Path) -> Stream:
    (tmp_path / "objects").mkdir()
    return Stream.model_validate(
        {
            "stream": "post",
            "modality": "parts",
            "parts": {
                "photo": {"modality": "image", "max_bytes": 50_000},
                "caption": {"modality": "text", "max_bytes": 900},
            },
            "encoders": ["photo-and-caption@1.0.0"],
            "event_id": ANY_ID,
            "uri_prefixes": [f"file://{tmp_path}/objects/"],
        }
    )


@pytest.fixture
def job(key: KeySource, warehouse: Warehouse, spec: EncoderSpec) -> Callable[..., Ingest]:
    def make(stream: Stream, source: Any) -> Ingest:
        return Ingest(stream, source, (spec,), key, warehouse, "cpu")

    return make


def test_no_marker_escapes_from_lines(
    job: Callable[..., Ingest], searched: Callable[..., set[Trace]], write_events: Callable[..., Path],
    posts: Stream, warehouse: Warehouse, spec: EncoderSpec, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "objects" / f"{MARKER}.png").write_bytes(_file("PNG"))
    object_ = {"uri": f"file://{tmp_path}/objects/{MARKER}.png"}
    valid: list[Any] = [*_valid(), {"parts": {"photo": object_, "caption": {"text": "a cat"}}}]
    malformed = list(_malformed(tmp_path))
    events = [
        each if isinstance(each, bytes) else {"stream": "post", "text": ..., "subject_id": MARKER, **each}
        for each in [*valid, *malformed]
    ]

    source = open_source(f"jsonl:{write_events(*events)}", posts)
    assert searched(job(posts, source), [MARKER.encode()]) == set()

    embedded = warehouse.query(
        "SELECT modality, ARRAY_LENGTH(embedding) AS size FROM embedding_event_v1 WHERE occurred_at > '2000-01-01'"
    )
    assert embedded == [{"modality": "parts", "size": spec.dimension}] * len(valid)
    reasons = [row["reason"] for row in warehouse.query("SELECT reason FROM rejection_v1")]
    assert len(reasons) == len(malformed)
    assert not {"internal", "encoder_failed"} & set(reasons)


def test_no_marker_escapes_from_messages(
    job: Callable[..., Ingest], searched: Callable[..., set[Trace]], write_events: Callable[..., Path],
    posts: Stream, warehouse: Warehouse, subscription: Subscription, tmp_path: Path,
) -> None:  # fmt: skip
    events = [
        {"stream": "post", "text": ..., **each} for each in (*_valid(), {"parts": {"caption": {"text": f"{MARKER}\0"}}})
    ]
    source = open_bounded_source(f"jsonl:{write_events(*events)}", posts)
    publish(source, topic_of(subscription), subscription.pubsub, Published(), has_parts=True)

    assert searched(job(posts, subscription), [MARKER.encode()]) == set()

    count = "SELECT COUNT(*) AS n FROM embedding_event_v1 WHERE occurred_at > '2000-01-01'"
    assert warehouse.query(count) == [{"n": len(events) - 1}]


def test_no_marker_escapes_from_a_container_that_breaks(
    job: Callable[..., Ingest], searched: Callable[..., set[Trace]], write_events: Callable[..., Path],
    posts: Stream, warehouse: Warehouse, spec: EncoderSpec, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    load(spec, "cpu")  # an encoder that is loaded while it is broken would be refused
    monkeypatch.setattr(encoders.batch_encoder.BatchEncoder, "_prepare_probe", lambda self: True)

    def broken(content: bytes) -> NoReturn:
        logging.getLogger("some.library").error("failed on %r", content, exc_info=OSError(repr(content)))
        raise OSError(f"{content!r} {MARKER}")

    monkeypatch.setattr(encoders.composite_model, "unpack", broken)
    source = open_source(f"jsonl:{write_events({'stream': 'post', 'text': ..., 'parts': BOTH})}", posts)

    assert searched(job(posts, source), [MARKER.encode()]) == set()
    assert warehouse.query("SELECT DISTINCT reason FROM rejection_v1") == [{"reason": "encoder_failed"}]


def test_the_same_search_finds_a_container_that_leaks(
    job: Callable[..., Ingest], searched: Callable[..., set[Trace]], write_events: Callable[..., Path],
    posts: Stream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    original = rawless.steps.encode._measure_lag

    def leaks(*arguments: Any) -> Any:
        (tmp_path / "left" / "container").write_bytes(arguments[-1].payload.reveal())
        return original(*arguments)

    monkeypatch.setattr(rawless.steps.encode, "_measure_lag", leaks)
    source = open_source(f"jsonl:{write_events({'stream': 'post', 'text': ..., 'parts': BOTH})}", posts)

    traces = searched(job(posts, source), [MARKER.encode()])

    assert {trace.place for trace in traces} != set()
