"""Promise 1 for `rawless worker`: a marker in any place of a message is found nowhere afterwards."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import rawless.events.messages
from encoders.spec import EncoderSpec
from rawless.audit.search import Search, Trace
from rawless.errors import RawlessError
from rawless.events.event import Delivery
from rawless.events.sources.kafka import Topic
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.job import Job
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.parse import Parse
from rawless.warehouse.client import Warehouse
from rawless.worker.kafka import KafkaReader
from rawless.worker.launch import PreparedWorker
from rawless.worker.pubsub import PubSubReader
from rawless.worker.reader import MessageReader
from rawless.worker.run import Limits
from tests.conftest import event, topic_of
from tests.kafka import Cluster, running_cluster

MARKER = "Rosalind-0815-Quibble-Zanzibar"
Run = Callable[..., set[Trace]]


def _everywhere() -> Iterator[dict[str, Any]]:
    """Events with the marker in every place of a message, valid and malformed in every way."""
    text = f"{MARKER} is my name."
    yield event(text=text)
    yield event(text=text, subject_id=MARKER)
    yield event(text=text, note=MARKER, channel=MARKER)
    yield event(text=text, **{MARKER: "x"})
    yield event(text=text, event_id=f"id {MARKER}")
    yield event(text=text, event_id=...)
    yield event(text=text, occurred_at=MARKER)
    yield event(text=text, stream=MARKER)
    yield event(text=text, uri=f"gs://{MARKER}/{MARKER}")
    yield event(text=text * 100)
    yield event(text=f"{text}\0")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Kafka cluster."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def run(
    stream: Stream, warehouse: Warehouse, key: KeySource, tiny_sealed: EncoderSpec, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> Run:  # fmt: skip
    """Runs a worker with everything logging at debug level, and returns the traces of the marker."""
    temporary = tmp_path / "left"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def go(open_reader: Callable[[], MessageReader]) -> set[Trace]:
        job = Job(stream, (tiny_sealed,), key, warehouse)
        output: list[str] = []
        with caplog.at_level(logging.DEBUG):
            try:
                output.append(repr(PreparedWorker(job, open_reader, Limits(2, until_idle=0.3), "cpu").run()))
            except RawlessError as error:
                output += [str(error), repr(error), repr(error.__context__)]
        output += [*capfd.readouterr(), caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        search = Search([MARKER.encode()])
        traces = search.in_bytes("\n".join(output).encode(), "output")
        traces |= search.in_folder(temporary) | search.in_folder(Path(os.environ["RAWLESS_HOME"]))
        assert search.unread == set()
        return traces

    return go


def _publish(subscription: Subscription) -> None:
    messages = []
    for fields in _everywhere():
        data = fields.pop("text").encode()
        messages.append({"data": data, "attributes": fields})
    messages.append({"data": MARKER.encode()})
    with subscription.pubsub.publisher() as client:
        client.publish(request={"topic": topic_of(subscription), "messages": messages})


def _topic(cluster: Cluster, name: str) -> Topic:
    cluster.create(name)
    binary = [("subject_id", b"\xff" + MARKER.encode()), (MARKER, b"\xff"), (MARKER, MARKER.encode())]
    odd = [event(headers=binary, subject_id=...), event(headers=binary[1:]), event(text=None, note=MARKER)]
    keyed = [event(key=MARKER), event(event_id=..., key=f"{MARKER} ")]
    cluster.send(name, [*_everywhere(), *odd, *keyed, {"text": MARKER}])
    return Topic((cluster.address,), name, name, key="event_id")


def _rejected(warehouse: Warehouse) -> tuple[int, int]:
    (row,) = warehouse.query("SELECT COUNT(*) AS n, COUNTIF(reason = 'internal') AS internal FROM rejection_v1")
    return row["n"], row["internal"]


def test_no_marker_escapes_from_messages_of_pubsub(run: Run, subscription: Subscription, warehouse: Warehouse) -> None:
    _publish(subscription)

    assert run(lambda: PubSubReader(subscription)) == set()
    rejected, internal = _rejected(warehouse)
    assert rejected > 5
    assert internal == 0


def test_no_marker_escapes_from_messages_of_kafka(run: Run, cluster: Cluster, warehouse: Warehouse) -> None:
    topic = _topic(cluster, "planted")

    assert run(lambda: KafkaReader(topic)) == set()
    rejected, internal = _rejected(warehouse)
    assert rejected > 5
    assert internal == 0


def test_no_marker_escapes_from_headers_that_cannot_be_decoded(
    run: Run, cluster: Cluster, warehouse: Warehouse, talkative: Callable[[str], Callable[..., NoReturn]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(rawless.events.messages, "_record_fields", talkative(MARKER))
    topic = _topic(cluster, "planted_headers")

    assert run(lambda: KafkaReader(topic)) == set()
    rejected, internal = _rejected(warehouse)
    assert rejected == internal > 0


def test_no_marker_escapes_from_a_worker_that_fails(
    run: Run, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Parse, delivery: Delivery) -> NoReturn:
        assert isinstance(delivery.fields, Raw)
        raise ValueError(f"{delivery.fields.reveal()!r} {MARKER}")

    monkeypatch.setattr(Parse, "process", fail)
    _publish(subscription)

    assert run(lambda: PubSubReader(subscription)) == set()
