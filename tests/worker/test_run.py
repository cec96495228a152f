"""A worker acknowledges a message after its rows are written, goes on after failures that pass, and ends in order."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import ref

import pytest

from rawless.errors import Unavailable, UserError
from rawless.events import leases
from rawless.events.sources.pubsub import Subscription
from rawless.steps import stop_signal
from rawless.steps.encode import Encode
from rawless.steps.parse import Parse
from rawless.warehouse.config import Emulator
from rawless.worker import pubsub, reader, run
from tests.messages import waiting
from tests.worker.conftest import Setting

Send = Callable[..., None]
LIMIT_SECONDS = 60


def unacknowledged(subscription: Subscription) -> int:
    """Return the number of messages that are not acknowledged: a seek brings them back."""
    with subscription.pubsub.subscriber() as client:
        client.seek(request={"subscription": subscription.name, "time": "1970-01-02T00:00:00Z"})
    return waiting(subscription)


def test_every_message_is_counted_and_acknowledged(
    setting: Setting, send: Send, subscription: Subscription, logged: Callable[[], list[str]]
) -> None:
    ids = sorted(f"e-{number}" for number in range(150))
    send(*({"event_id": each} for each in ids), {"text": " "}, {"subject_id": ""}, {"attributes": {"other": "x"}})

    summary = setting.run()

    assert logged()[:-1] == ids
    assert summary["read"] == 153
    assert summary["embeddings"] == 151
    assert summary["rejections"] == {"empty_text": 1, "missing_subject": 1}
    assert summary["dropped_attributes"] == 1
    assert summary["stopped"] is False
    (worked,) = summary["work"].values()
    assert worked["batches"] > 0
    assert worked["batch_items"] > 1
    assert worked["prepare_seconds"] > 0
    assert 0 < summary["idle_seconds"] < summary["seconds"]
    assert unacknowledged(subscription) == 0


def test_nothing_is_acknowledged_before_its_rows_are_written(
    setting: Setting, send: Send, logged: Callable[[], list[str]]
) -> None:
    warehouse = setting.job.warehouse
    away = replace(warehouse, emulator=Emulator("http://127.0.0.1:9", "127.0.0.1:9"), retry_seconds=0.1)
    send({"event_id": "kept"})

    with pytest.raises(Unavailable, match=r"^The warehouse accepted no rows for 0 seconds .*Nothing was lost"):
        setting.into(away).run()

    assert setting.run()["embeddings"] == 1
    assert logged() == ["kept"]


def test_a_failure_that_passes_costs_nothing(
    setting: Setting, send: Send, logged: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FIRST_DELAY", 0.01)
    failing, finish = iter(range(3)), Encode.finish

    def unavailable_at_first(self: Encode) -> Any:
        yield from finish(self)
        if next(failing, None) is not None:
            raise Unavailable("not now")

    monkeypatch.setattr(Encode, "finish", unavailable_at_first)
    send(*({"event_id": f"e-{number}"} for number in range(5)))

    summary = setting.run(patience=LIMIT_SECONDS, until_idle=1.0)

    assert logged() == [f"e-{number}" for number in range(5)]
    assert summary["read"] > 5  # those of the bundles that failed came again


class Content:
    """What a frame of a step may name."""


def test_nothing_of_a_failed_bundle_is_in_memory_while_its_thread_waits(
    setting: Setting, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, alive, process = list[ref[Content]](), list[bool](), Parse.process

    def fail_once(self: Parse, element: Any) -> Any:
        monkeypatch.setattr(Parse, "process", process)
        content = Content()
        made.append(ref(content))
        raise Unavailable("not now")

    def look(*_: Any) -> None:
        alive.append(made[0]() is not None)

    monkeypatch.setattr(Parse, "process", fail_once)
    monkeypatch.setattr(run._Run, "_pause", look)
    send({"event_id": "e"})
    gc.disable()
    try:
        assert setting.run(patience=LIMIT_SECONDS, until_idle=1.0)["embeddings"] == 1
    finally:
        gc.enable()

    assert alive == [False]


def test_a_worker_that_only_fails_ends(setting: Setting, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "FIRST_DELAY", 0.01)
    attempts = []

    def never(*_: Any) -> Any:
        attempts.append(time.monotonic())
        raise Unavailable("The store is away.")

    monkeypatch.setattr(Parse, "process", never)
    send({})

    with pytest.raises(Unavailable, match=r"^The store is away\.$"):
        setting.run(patience=0.5, until_idle=None)
    assert attempts[-1] - attempts[0] >= 0.5


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (UserError("The table is wrong."), UserError, r"^The table is wrong\.$"),
        (ValueError("Rosalind-0815"), Unavailable, r"^The worker failed with an internal error; nothing was dropped"),
    ],
)
def test_an_error_that_lasts_ends_the_worker_and_gives_messages_back(
    error: Exception, kind: type[Exception], sentence: str, setting: Setting, send: Send, subscription: Subscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Parse, "process", fail)
    send({}, {})

    with pytest.raises(kind, match=sentence) as raised:
        setting.run(patience=LIMIT_SECONDS, until_idle=None)

    assert raised.value.__context__ is None
    assert waiting(subscription) == 2


def test_a_request_to_stop_finishes_what_was_read(
    setting: Setting, send: Send, subscription: Subscription, logged: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(pubsub, "MAX_MESSAGES", 10)
    finish = Encode.finish

    def stop_at_first(self: Encode) -> Any:
        stop_signal.request_stop()
        yield from finish(self)

    monkeypatch.setattr(Encode, "finish", stop_at_first)
    send(*({"event_id": f"e-{number}"} for number in range(200)))

    summary = setting.run(until_idle=None)

    assert summary["stopped"] is True
    assert 0 < summary["read"] == len(logged()) <= 10 * setting.limits.threads
    assert waiting(subscription) == 200 - summary["read"]


def test_a_worker_that_does_not_finish_in_time_gives_its_messages_back(
    setting: Setting, send: Send, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()

    def wait_for_long(*_: Any) -> Any:
        stop_signal.request_stop()
        stuck.wait(LIMIT_SECONDS)
        yield from ()

    monkeypatch.setattr(Parse, "process", wait_for_long)
    send({"event_id": "slow"})

    with pytest.raises(run.OutOfTime, match=r"^What was read was not done 0 seconds after the request to stop"):
        setting.run(until_idle=None, grace=0.2, threads=1)

    assert waiting(subscription) == 1
    stuck.set()


def test_a_bundle_that_takes_longer_than_its_lease_is_read_once(
    setting: Setting, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be delivered again before it is done, for ever."""
    monkeypatch.setattr(leases, "ACK_SECONDS", 1)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    renewed, renew, process = threading.Semaphore(0), pubsub.PubSubReader.renew, Parse.process

    def renewing(self: pubsub.PubSubReader) -> None:
        renew(self)
        renewed.release()

    def slowly(self: Parse, element: Any) -> Any:
        """Parse the first event only after the lease would have expired twice."""
        monkeypatch.setattr(Parse, "process", process)
        for _ in range(25):
            renewed.acquire(timeout=LIMIT_SECONDS / 10)
        return process(self, element)

    monkeypatch.setattr(pubsub.PubSubReader, "renew", renewing)
    monkeypatch.setattr(Parse, "process", slowly)
    send(*({"event_id": f"e-{number}"} for number in range(4)))

    assert setting.run()["read"] == 4


def test_a_deleted_subscription_ends_the_worker_with_a_message(setting: Setting, subscription: Subscription) -> None:
    with subscription.pubsub.subscriber() as client:
        client.delete_subscription(subscription=subscription.name)

    with pytest.raises(UserError, match=rf"^The subscription {subscription.name} cannot be read \(NotFound\)"):
        setting.run(patience=LIMIT_SECONDS)


def test_an_unavailable_pubsub_ends_the_worker_with_a_message(
    setting: Setting, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.2)
    away = replace(subscription, pubsub=replace(subscription.pubsub, emulator="127.0.0.1:9"))

    with pytest.raises(Unavailable, match=r"^Pub/Sub did not answer \(RetryError\)"):
        setting.on(away).run()


def test_the_receipt_of_a_bundle_is_not_shown() -> None:
    assert "secret" not in repr(reader.Bundle((), "secret"))
