"""Streaming on one machine: nothing is acknowledged before its rows are written, everything is counted, and it ends."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from apache_beam.runners.direct.bundle_factory import _Bundle

from encoders.catalogue import lookup
from pipelines import local_pubsub, options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.errors import Unavailable, UserError
from rawless.events import leases
from rawless.events.parse import Parser
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.steps import progress, stop_signal
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from tests.messages import publish, waiting

Run = Callable[..., dict[str, Any]]
Send = Callable[..., None]
LIMIT_SECONDS = 60


@pytest.fixture
def job(stream: Stream, warehouse: Warehouse, key: KeySource, subscription: Subscription) -> Ingest:
    return Ingest(stream, subscription, (lookup("minilm@1.0.0"),), key, warehouse, "cpu")


def go(job: Ingest) -> dict[str, Any]:
    return run(job, options.parse([], streaming=True), time.monotonic())


@pytest.fixture
def send(subscription: Subscription) -> Send:
    """Publishes events; see `publish`."""
    return partial(publish, subscription)


def test_every_message_of_many_pulls_is_counted(
    job: Ingest, send: Send, embeddings: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_pubsub, "MAX_MESSAGES", 50)
    count = 3 * local_pubsub.MAX_MESSAGES + 7
    send(*({"event_id": f"e-{n}", "text": f"Message {n}."} for n in range(count)), {"text": " "}, {"subject_id": ""})

    summary = go(job)

    assert summary["read"] == count + 2
    assert summary["embeddings"] == count == len(embeddings())
    assert summary["rejections"] == {"empty_text": 1, "missing_subject": 1}
    assert summary["stopped"] is False


def test_nothing_is_acknowledged_before_its_rows_are_written(
    job: Ingest, send: Send, warehouse: Warehouse, embeddings: Callable[[], list[Any]]
) -> None:
    away = replace(warehouse, emulator=Emulator("http://127.0.0.1:9", "127.0.0.1:9"), retry_seconds=0.1)
    send({"event_id": "kept"})

    with pytest.raises(Unavailable, match=r"^The warehouse accepted no rows for 0 seconds .*Nothing was lost"):
        go(replace(job, warehouse=away))

    assert go(job)["embeddings"] == 1
    assert [row["event_id"] for row in embeddings()] == ["kept"]


def test_written_messages_are_not_delivered_again(job: Ingest, send: Send, subscription: Subscription) -> None:
    send({}, {})
    go(job)

    with subscription.pubsub.subscriber() as client:
        client.seek(request={"subscription": subscription.name, "time": "1970-01-02T00:00:00Z"})

    assert waiting(subscription) == 0  # a seek brings back whatever is not acknowledged


def test_a_job_that_is_requested_to_stop_finishes_what_it_read(
    job: Ingest, send: Send, subscription: Subscription, embeddings: Callable[[], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(local_pubsub, "MAX_MESSAGES", 50)
    count = 10 * local_pubsub.MAX_MESSAGES
    send(*({"event_id": f"e-{n}", "text": f"Message {n}. " + "Some words. " * 9} for n in range(count)))
    before = progress.counts("message")["read"]
    reading = threading.Event()

    def stop_once_it_reads() -> None:
        limit = time.monotonic() + LIMIT_SECONDS
        while progress.counts("message")["read"] == before and time.monotonic() < limit:
            reading.wait(0.01)
        stop_signal.request_stop()

    stopper = threading.Thread(target=stop_once_it_reads)
    stopper.start()
    summary = go(replace(job, source=replace(subscription, until_idle=None)))
    stopper.join()

    assert summary["stopped"] is True
    assert 0 < summary["read"] < count
    assert summary["read"] == summary["embeddings"] == len(embeddings())
    assert waiting(subscription) == count - summary["read"]


def test_a_job_that_stops_gives_its_messages_back(job: Ingest, send: Send, subscription: Subscription) -> None:
    send({}, {}, {})
    with local_pubsub.read_locally(subscription) as reader:
        assert len(reader.next_messages() or []) == 3

    assert waiting(subscription) == 3


def test_two_jobs_of_a_process_do_not_share_a_subscription(subscription: Subscription) -> None:
    second = local_pubsub.read_locally(subscription)

    with local_pubsub.read_locally(subscription), pytest.raises(UserError, match="Another job of this process reads"):
        second.__enter__()


def test_a_deleted_subscription_ends_the_job_with_a_message(job: Ingest, subscription: Subscription) -> None:
    with subscription.pubsub.subscriber() as client:
        client.delete_subscription(subscription=subscription.name)

    with pytest.raises(UserError, match=rf"^The subscription {subscription.name} cannot be read \(NotFound\)"):
        go(job)


def test_an_unavailable_pubsub_ends_the_job_with_a_message(
    job: Ingest, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = replace(subscription, pubsub=replace(subscription.pubsub, emulator="127.0.0.1:9"))
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.2)

    with pytest.raises(Unavailable, match=r"^Pub/Sub did not answer \(RetryError\)"):
        go(replace(job, source=away))


def test_the_time_without_messages_does_not_count_in_the_speed(job: Ingest, send: Send) -> None:
    send({})

    summary = go(job)

    assert 0 < summary["idle_seconds"] < summary["seconds"]
    busy = summary["seconds"] - summary["idle_seconds"]
    assert summary["events_per_second"] == pytest.approx(1 / busy, rel=0.1)


def test_a_streaming_job_elsewhere_is_launched_and_not_waited_for(job: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    class Launched:
        def job_id(self) -> str:
            return "2026-11-21_00_00_00-1"

        def wait_until_finish(self) -> None:
            raise AssertionError("it would wait for ever")

    monkeypatch.setattr("apache_beam.Pipeline.run", lambda self: Launched())
    # It would request the bucket from the cloud.
    monkeypatch.setattr("apache_beam.options.pipeline_options.GoogleCloudOptions.validate", lambda *_: [])
    arguments = ["--runner=DataflowRunner", "--project=a-project", "--region=europe-west4", "--temp_location=gs://b/t"]

    summary = run(job, options.parse(arguments, streaming=True), time.monotonic())

    assert summary == {"stream": "message", "encoders": ["minilm@1.0.0"], "job": "2026-11-21_00_00_00-1"}


def test_a_bundle_that_takes_longer_than_its_lease_is_read_once(
    job: Ingest, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be delivered again before it is done, for ever."""
    monkeypatch.setattr(leases, "ACK_SECONDS", 1)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    send(*({"event_id": f"e-{n}"} for n in range(4)))
    hold, parse = leases.Leases._set_deadline, Parser.check
    renewed = threading.Semaphore(0)

    def holding(*arguments: Any, **call: Any) -> None:
        hold(*arguments, **call)
        renewed.release()

    def slowly(*arguments: Any) -> Any:
        """Parse the first event only after the lease was renewed so often that it would otherwise have expired."""
        for _ in range(5):
            renewed.acquire(timeout=LIMIT_SECONDS / 10)
        monkeypatch.setattr(Parser, "check", parse)
        return parse(*arguments)

    monkeypatch.setattr(leases.Leases, "_set_deadline", holding)
    monkeypatch.setattr(Parser, "check", slowly)

    assert go(job)["read"] == 4


def test_a_job_that_waits_for_long_does_not_grow(
    job: Ingest, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beam's runner keeps an empty bundle of each pull for ever, and iterates over all of them."""
    pulls, kept = 0, []

    def none(self: local_pubsub.SubscriptionReader) -> list[Any] | None:
        nonlocal pulls
        pulls += 1
        if pulls % 6 == 0:  # looking through all objects takes a while
            kept.append(sum(type(item) is _Bundle for item in gc.get_objects()))
        return [] if pulls < 60 else None

    monkeypatch.setattr(local_pubsub.SubscriptionReader, "next_messages", none)
    go(job)

    assert len(kept) == 10
    assert max(kept[5:]) <= max(kept[1:5])
