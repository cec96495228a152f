"""Messages to rows: published by Google's client, read by the streaming job, written to BigQuery."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.bearer import open_channel
from rawless.events.publish import Published, publish
from rawless.events.pubsub import PubSub
from rawless.events.sources import open_bounded_source
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.conftest import topic_of
from tests.pipelines import backends
from tests.pipelines.backends import Backend
from tests.pipelines.conftest import EVER

BROKEN = {
    "empty_text": {"text": " "},
    "bad_occurred_at": {"occurred_at": "yesterday"},
    "bad_event_id": {"event_id": "an id with spaces"},
    "missing_subject": {"subject_id": ""},
    "unknown_stream": {"stream": "another"},
}


@pytest.fixture(
    params=[
        "local",
        pytest.param("containers", marks=pytest.mark.docker),
        pytest.param("cloud", marks=pytest.mark.cloud),
    ]
)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend; the same tests run on all of them."""
    if request.param == "cloud":
        yield from backends.cloud()
        return
    warehouse = request.getfixturevalue("warehouse")
    if request.param == "containers":
        yield from backends.containers(warehouse)
    else:
        yield from backends.local(warehouse, request.getfixturevalue("subscription"))


def _event(event_id: str, text: str, **fields: str) -> dict[str, str]:
    occurred_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    whole = {"event_id": event_id, "occurred_at": occurred_at, "stream": "message", "subject_id": "customer-1"}
    return {**whole, "text": text, **fields}


def _publisher(pubsub: PubSub) -> PublisherClient:
    """Publish events with Google's batching publisher."""
    if pubsub.emulator is None:
        return PublisherClient()
    return PublisherClient(transport=PublisherGrpcTransport(channel=open_channel(pubsub.emulator, pubsub.token)))


def _publish(pubsub: PubSub, topic: str, events: list[dict[str, str]]) -> None:
    with _publisher(pubsub) as client:
        futures = [
            client.publish(
                topic,
                event_fields["text"].encode(),
                **{name: event_fields[name] for name in event_fields if name != "text"},
            )
            for event_fields in events
        ]
        for future in futures:
            future.result()


def _run(backend: Backend, stream: Stream, key: KeySource, spec: EncoderSpec | None = None) -> dict[str, Any]:
    """Run the job with the real MiniLM, or with another encoder."""
    encoders = (spec or lookup("minilm@1.0.0"),)
    job = Ingest(stream, backend.subscription, encoders, key, backend.warehouse, "cpu")
    return run(job, options.parse([], streaming=True), time.monotonic())


def _logged(warehouse: Warehouse) -> list[str]:
    query = f"SELECT event_id FROM {warehouse.config.events}.embedding_event({EVER}) ORDER BY event_id"
    return [row["event_id"] for row in warehouse.query(query)]


def _rejected(warehouse: Warehouse) -> Counter[str]:
    query = f"SELECT reason, COUNT(*) AS n FROM {warehouse.config.events}.rejection({EVER}) GROUP BY reason"
    return Counter({row["reason"]: row["n"] for row in warehouse.query(query)})


def test_every_message_becomes_a_row_or_a_rejection(backend: Backend, stream: Stream, key: KeySource) -> None:
    good = [_event(f"good-{number}", f"Message number {number}.", channel="chat") for number in range(30)]
    broken = [_event(f"broken-{reason}", "A text.") | changes for reason, changes in BROKEN.items()]

    _publish(backend.subscription.pubsub, backend.topic, good + good[:3] + broken)
    summary = _run(backend, stream, key)

    assert _logged(backend.warehouse) == sorted(event_fields["event_id"] for event_fields in good)
    assert _rejected(backend.warehouse) == dict.fromkeys(BROKEN, 1)
    assert summary["read"] >= 38  # at least once
    assert summary["embeddings"] + sum(summary["rejections"].values()) == summary["read"]


@pytest.mark.full
def test_six_thousand_messages_of_four_publishers_are_each_accounted_for_once(
    warehouse: Warehouse, subscription: Subscription, stream: Stream, key: KeySource, tiny_sealed: EncoderSpec
) -> None:
    """A tenth of them is sent twice, a twentieth is malformed, and all are published while the job runs."""
    good = [_event(f"good-{number:05d}", f"Message {number}") for number in range(5_100)]
    kinds = list(BROKEN.items())
    broken = [_event(f"broken-{n:05d}", "A text.") | kinds[n % len(kinds)][1] for n in range(300)]
    messages = (good + broken + good[:600])[::-1]
    backend = Backend(warehouse, subscription)

    with ThreadPoolExecutor(4) as publishers:
        done = [publishers.submit(_publish, subscription.pubsub, backend.topic, messages[n::4]) for n in range(4)]
        summary = _run(backend, stream, key, tiny_sealed)
        for future in done:
            future.result()

    assert _logged(warehouse) == [event_fields["event_id"] for event_fields in good]
    assert _rejected(warehouse) == dict.fromkeys(BROKEN, 60)
    assert summary["read"] == 6_000
    assert summary["embeddings"] == 5_700


def test_a_message_has_the_same_row_as_its_line(
    subscription: Subscription,
    stream: Stream,
    key: KeySource,
    write_events: Callable[..., Path],
    ingest: Callable[..., dict[str, Any]],
    warehouse: Warehouse,
) -> None:
    lines = [{"event_id": f"e-{n}", "text": f"Text {n}", "attributes": {"channel": "email", "no": "x"}} for n in "12"]
    path = write_events(*lines, {"event_id": "e-3", "text": ...})

    published = Published()
    publish(open_bounded_source(f"jsonl:{path}", stream), topic_of(subscription), subscription.pubsub, published)
    from_messages = _run(Backend(warehouse, subscription), stream, key)
    from_lines = ingest(path)

    assert published.messages == 3
    rows = warehouse.query("SELECT * EXCEPT (logged_at) FROM embedding_event_v1 ORDER BY event_id")
    assert rows[0::2] == rows[1::2]
    assert from_messages["dropped_attributes"] == from_lines["dropped_attributes"] == 2
    assert from_messages["rejections"] == {"empty_text": 1}  # a message always has a payload
