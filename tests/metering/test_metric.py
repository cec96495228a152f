"""Metrics are recorded by any thread, read by Prometheus, and each value given to a job's runner once."""

import gc
import threading

import pytest
from prometheus_client import generate_latest

from rawless.metering import metric, table
from rawless.metering.metric import keep_for_runner, registry, take
from rawless.privacy import Reason, Stage
from rawless.steps.meter import ProcessMeter
from rawless.steps.rejections import counter
from tests.measured import measured

REF = "metered@1.0.0"
CONTENT = "Rosalind owes 4711 to Quibble"


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    keep_for_runner()
    take()


def taken() -> list[tuple[str, str | None, int]]:
    return [(value.name, value.encoder, value.amount) for value in take()]


def test_values_of_many_threads_are_each_exposed_and_taken_once() -> None:
    before = measured("rawless_batch_items_count", encoder=REF)
    found: list[int] = []

    def work() -> None:
        for _ in range(200):
            table.BATCH_ITEMS.observe(3, REF)
        found.extend(value.amount for value in take())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert measured("rawless_batch_items_count", encoder=REF) - before == 1600
    assert sum(found) == 3 * 1600
    assert take() == []


def test_a_runner_is_given_whole_numbers_of_the_smaller_unit_and_the_encoder_apart() -> None:
    table.ENCODE.observe(0.0126, REF)
    table.BATCH_FILL.observe(0.256, REF)
    table.APPEND.observe(1.5, "embedding_event_v1")
    table.APPEND_RETRIES.add(7, "embedding_event_v1")

    assert taken() == [
        ("encode_milliseconds", REF, 13),
        ("batch_fill_percent", REF, 26),
        ("append_milliseconds.embedding_event_v1", None, 1500),
        ("append_retries.embedding_event_v1", None, 7),
    ]


def test_the_sum_of_values_below_a_whole_number_is_exact() -> None:
    for _ in range(1000):
        table.PREPARE.observe(0.0003, "quick@1.0.0")

    amounts = [value.amount for value in take() if value.encoder == "quick@1.0.0"]
    assert set(amounts) == {0, 1}
    assert sum(amounts) in (299, 300)


def test_what_a_step_gives_its_runner_itself_is_exposed_and_not_given_again() -> None:
    name = counter(Stage.PARSE, Reason.BAD_EVENT_ID)
    labels = {"encoder": "", "stage": "parse", "reason": "bad_event_id"}
    before, late = measured("rawless_rejected_total", **labels), measured("rawless_lag_seconds_count", encoder=REF)

    ProcessMeter().count(name, 2)
    ProcessMeter().observe("lag_seconds", 4.0, REF)

    assert measured("rawless_rejected_total", **labels) - before == 2
    assert measured("rawless_lag_seconds_count", encoder=REF) - late == 1
    assert take() == []


def test_a_step_cannot_count_what_the_table_does_not_list() -> None:
    with pytest.raises(KeyError):
        ProcessMeter().count("surprises")


class Queue:
    def __init__(self, size: int) -> None:
        self.size = size


def test_levels_of_all_owners_are_combined_and_end_with_them() -> None:
    queues = [Queue(2), Queue(5)]
    for queue in queues:
        table.QUEUE_ITEMS.watch(queue, lambda each: each.size, REF, "batch")
        table.QUEUE_OLDEST.watch(queue, lambda each: each.size, REF, "batch")

    assert measured("rawless_queue_items", encoder=REF, queue="batch") == 7
    assert measured("rawless_queue_oldest_seconds", encoder=REF, queue="batch") == 5
    queues.clear()
    del queue
    gc.collect()
    assert registry.get_sample_value("rawless_queue_items", {"encoder": REF, "queue": "batch"}) is None


def test_a_runner_is_given_a_sample_of_the_levels_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(4)
    table.QUEUE_ITEMS.watch(queue, lambda each: each.size, REF, "prepare")
    now = [1e9]
    monkeypatch.setattr(metric.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(metric._unsent, "sampled_at", 0.0)

    def sampled() -> list[int]:
        levels = take([table.QUEUE_ITEMS])
        return [each.amount for each in levels if (each.name, each.encoder) == ("queue_items.prepare", REF)]

    assert sampled() == [4]
    now[0] += 0.9
    assert sampled() == []
    now[0] += 0.1
    assert sampled() == [4]


@pytest.mark.parametrize("content", [CONTENT, CONTENT.lower().replace(" ", "_"), "minilm@1.0.0 " + CONTENT])
def test_a_label_never_repeats_what_is_no_value_of_it(content: str) -> None:
    queue = Queue(1)
    for each in table.METRICS:
        values = [content] * len(each.labels)
        if isinstance(each, table.Count):
            each.add(1, *values)
        elif isinstance(each, table.Distribution):
            each.observe(1, *values)
        elif isinstance(each, table.Level) and each.labels:
            each.watch(queue, lambda _: 1.0, *values)
    ProcessMeter().count(f"rejected.{content.replace('.', '-')}.{content.replace('.', '-')}")

    exposed = generate_latest(registry).decode()
    sent = str(take(table.LEVELS))
    assert 'encoder="other",queue="other"' in exposed
    for form in (content, "Rosalind", "rosalind"):
        assert form not in exposed
        assert form not in sent
