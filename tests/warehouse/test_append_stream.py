"""Connections that threads share: few of them, each caller gets the outcome of its own rows, none waits for ever."""

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from weakref import ref

import grpc
import numpy as np
import pytest
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import types
from google.rpc import code_pb2, status_pb2

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.append_stream import MAX_CONNECTIONS, AppendStream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, to_arrow
from tests.measured import measured

MakeRow = Callable[..., EmbeddingRow]
Served = tuple[Any, Warehouse]
THREADS = 48


def accepted() -> types.AppendRowsResponse:
    return types.AppendRowsResponse(append_result={})


def refusing(sent: list[str]) -> types.AppendRowsResponse:
    """Refuse the rows whose ids begin with `bad`."""
    found = [{"index": position} for position, each in enumerate(sent) if each.startswith("bad")]
    error = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT)
    return types.AppendRowsResponse(row_errors=found, error=error) if found else accepted()


@pytest.fixture
def appended(write_server: Served, make_row: MakeRow) -> Callable[[list[list[str]]], list[list[int] | RawlessError]]:
    """Return a function that appends the rows of many callers at once, and returns what each gets."""
    template = make_row()

    def append_all(calls: list[list[str]]) -> list[list[int] | RawlessError]:
        writer, start = StorageWriter(replace(write_server[1], retry_seconds=2.0)), threading.Barrier(len(calls))

        def append(names: list[str]) -> list[int] | RawlessError:
            start.wait()
            try:
                return writer.append([replace(template, event_id=each) for each in names])
            except RawlessError as error:
                return error

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(append, calls))

    return append_all


def test_many_threads_share_a_connection(
    write_server: Served, appended: Callable[..., list[list[int] | RawlessError]]
) -> None:
    server, _ = write_server
    calls = [[f"{thread}-{row}" for row in range(3)] for thread in range(THREADS)]

    assert appended(calls) == [[]] * THREADS
    assert sorted(server.taken) == sorted(each for call in calls for each in call)
    assert len(server.metadata) == 1
    assert len(server.requests) < THREADS


def test_few_rows_of_several_callers_wait_for_others(
    write_server: Served, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.warehouse.append_stream.MERGE_SECONDS", 600.0)
    monkeypatch.setattr("rawless.warehouse.append_stream.MERGED_ROWS", 4)
    server, warehouse = write_server
    stream = StorageWriter(warehouse).stream(EmbeddingRow.TABLE)

    def submit(*names: str) -> "Future[list[int]]":
        return stream.submit([make_row(event_id=each) for each in names], list(range(len(names))), 1_000)

    for alone in ("a", "b"):
        assert stream.wait(submit(alone)) == []
    with stream._changed:  # so that both are taken for one request
        together = submit("c"), submit("d")
    assert [stream.wait(each) for each in together] == [[], []]
    few = submit("e")
    with pytest.raises(TimeoutError):
        few.result(timeout=0.2)
    assert [stream.wait(each) for each in (submit("f", "g", "h"), few)] == [[], []]

    assert server.requests == [["a"], ["b"], ["c", "d"], ["e", "f", "g", "h"]]


def test_few_rows_wait_for_others_no_longer_than_they_may(
    write_server: Served, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.warehouse.append_stream.MERGE_SECONDS", 0.3)
    server, warehouse = write_server
    stream = StorageWriter(warehouse).stream(EmbeddingRow.TABLE)
    with stream._changed:
        together = [stream.submit([make_row(event_id=each)], [0], 1_000) for each in "ab"]
    assert [stream.wait(each) for each in together] == [[], []]

    started = time.monotonic()
    assert stream.wait(stream.submit([make_row(event_id="c")], [0], 1_000)) == []
    assert time.monotonic() - started > 0.1
    assert server.requests == [["a", "b"], ["c"]]


def test_rows_that_are_not_valid_are_not_sent(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    stream = StorageWriter(warehouse).stream(EmbeddingRow.TABLE)
    calls = [["bad", "bad"], ["a", "bad", "b"], ["c"], ["bad"]]
    with stream._changed:  # so that all of them are taken for one request
        outcomes = [
            stream.submit(
                [make_row(event_id="\n" if each == "bad" else each) for each in call], [5, 6, 7][: len(call)], 1_000
            )
            for call in calls
        ]

    assert [stream.wait(each) for each in outcomes] == [[5, 6], [6], [], [5]]
    assert stream.wait(stream.submit([make_row(event_id="\n")], [0], 1_000)) == [0]
    assert server.requests == [["a", "b", "c"]]


def test_each_caller_learns_which_of_its_own_rows_were_refused(
    write_server: Served, appended: Callable[..., list[list[int] | RawlessError]]
) -> None:
    server, _ = write_server
    server.answer = refusing
    calls = [
        [f"{'bad' if (thread + row) % 5 == 0 else 'good'}-{thread}-{row}" for row in range(3)] for thread in range(12)
    ]

    assert appended(calls) == [[row for row in range(3) if (thread + row) % 5 == 0] for thread in range(12)]
    good = [each for call in calls for each in call if each.startswith("good")]
    assert sorted(server.taken) == sorted(good)


@pytest.mark.parametrize("is_inside", [True, False])
def test_rows_that_fail_their_request_do_not_fail_those_of_others(
    write_server: Served, appended: Callable[..., list[list[int] | RawlessError]], is_inside: bool
) -> None:
    server, _ = write_server
    inside = types.AppendRowsResponse(error=status_pb2.Status(code=code_pb2.INVALID_ARGUMENT))
    refusal = inside if is_inside else grpc.StatusCode.INVALID_ARGUMENT
    server.answer = lambda sent: refusal if any(each.startswith("bad") for each in sent) else accepted()
    calls = [[f"{'bad' if thread == 3 else 'good'}-{thread}"] for thread in range(8)]

    outcomes = appended(calls)

    assert isinstance(outcomes.pop(3), UserError)
    assert outcomes == [[]] * 7
    assert set(server.taken) == {f"good-{thread}" for thread in range(8) if thread != 3}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_warehouse_does_no_caller_believes_that_unwritten_rows_are_written(
    write_server: Served, appended: Callable[..., list[list[int] | RawlessError]], seed: int
) -> None:
    server, _ = write_server
    choose = random.Random(seed)
    failures = [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        types.AppendRowsResponse(error=status_pb2.Status(code=code_pb2.UNAVAILABLE)),
    ]

    def answer(sent: list[str]) -> types.AppendRowsResponse | grpc.StatusCode:
        return choose.choice(failures) if choose.random() < 0.4 else refusing(sent)

    server.answer = answer
    kinds = [["good", "bad"][choose.random() < 0.2] for _ in range(40)]
    calls = [[f"{kinds[at]}-{at}" for at in range(start, start + 4)] for start in range(0, 40, 4)]

    for call, outcome in zip(calls, appended(calls), strict=True):
        if isinstance(outcome, RawlessError):
            assert isinstance(outcome, Unavailable)
        else:
            assert outcome == [position for position, each in enumerate(call) if each.startswith("bad")]
            assert {each for each in call if each.startswith("good")} <= set(server.taken)


def test_more_than_a_full_request_opens_another_connection(
    write_server: Served, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, warehouse = write_server
    monkeypatch.setattr("rawless.warehouse.append_stream.MAX_REQUEST_BYTES", 10_000)
    monkeypatch.setattr("rawless.warehouse.append_stream.MAX_IN_FLIGHT", 1)
    is_another = threading.Event()

    def answer(sent: list[str]) -> types.AppendRowsResponse:
        if len(server.metadata) > 1:
            is_another.set()
        is_another.wait(10)
        return accepted()

    server.answer = answer
    writer, vector = StorageWriter(warehouse), np.zeros(2048, dtype=np.float32)
    waiting = [writer.submit([make_row(event_id=f"event-{number}", embedding=vector)]) for number in range(12)]

    assert [each.result() for each in waiting] == [[]] * 12
    assert 1 < len(server.metadata) <= MAX_CONNECTIONS
    assert len(server.taken) == 12


def test_an_idle_connection_is_closed_and_opened_again(
    write_server: Served, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, warehouse = write_server
    monkeypatch.setattr("rawless.warehouse.append_stream.IDLE_SECONDS", 0.01)
    writer = StorageWriter(warehouse)

    writer.append([make_row(event_id="event-1")])
    assert server.closed.wait(10)
    writer.append([make_row(event_id="event-2")])

    assert server.taken == ["event-1", "event-2"]
    assert len(server.metadata) == 2


class Calls:
    """Calls of AppendRows that a test answers, in place of Google's client. It sees what gRPC's threads would take."""

    def __init__(self, *answers: Callable[["Call"], Iterator[types.AppendRowsResponse]]) -> None:
        self.made: list[Call] = []
        self._answers = answers
        self.stream = AppendStream(SimpleNamespace(transport=self), "table", 5.0)  # type: ignore[arg-type]

    def append_rows(self, requests: Iterator[types.AppendRowsRequest], metadata: object) -> "Call":
        self.made.append(Call(requests, self._answers[len(self.made)]))
        return self.made[-1]

    def append(self, row: EmbeddingRow) -> list[int]:
        return self.stream.wait(self.stream.submit([row], [0], 1_000))


class Call:
    def __init__(
        self,
        requests: Iterator[types.AppendRowsRequest],
        answer: Callable[["Call"], Iterator[types.AppendRowsResponse]],
    ) -> None:
        self.requests, self._answer, self.cancelled = requests, answer, threading.Event()

    def __iter__(self) -> Iterator[types.AppendRowsResponse]:
        return self._answer(self)

    def cancel(self) -> None:
        self.cancelled.set()


def failing() -> Iterator[types.AppendRowsResponse]:
    """Fail a call as gRPC does, with an error that may not pass."""
    for failure in (grpc.RpcError(),):
        raise failure
    yield accepted()


def test_a_call_that_has_ended_takes_no_rows_of_the_next(make_row: MakeRow) -> None:
    taken_late: list[object] = []
    waiting: list[Future[list[int]]] = []

    def fail(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        waiting.append(calls.stream.submit([make_row(event_id="event-2")], [0], 1_000))
        yield from failing()

    def answer(call: Call) -> Iterator[types.AppendRowsResponse]:
        taken_late.append(next(calls.made[0].requests, None))  # a thread of gRPC's that learns late that its call ended
        next(call.requests)
        yield accepted()

    calls = Calls(fail, answer)

    with pytest.raises(exceptions.GoogleAPICallError):
        calls.append(make_row(event_id="event-1"))
    assert calls.stream.wait(waiting[0]) == []
    assert taken_late == [None]


def test_rows_do_not_wait_for_the_end_of_an_idle_connection_that_never_comes(
    make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDLE_SECONDS", "RESPONSE_SECONDS", "CHECK_SECONDS"):
        monkeypatch.setattr(f"rawless.warehouse.append_stream.{name}", 0.01)
    is_idle = threading.Event()

    def answer_once(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield accepted()
        assert next(call.requests, None) is None
        is_idle.set()
        call.cancelled.wait(10)
        raise grpc.RpcError

    def answer(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield accepted()

    calls = Calls(answer_once, answer)

    assert calls.append(make_row(event_id="event-1")) == []
    assert is_idle.wait(10)
    assert calls.append(make_row(event_id="event-2")) == []


def test_a_request_that_the_warehouse_cannot_take_now_is_sent_again_after_a_delay(
    write_server: Served, make_row: MakeRow
) -> None:
    server, warehouse = write_server
    server.answer = lambda sent: types.AppendRowsResponse(error=status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED))

    with pytest.raises(Unavailable):
        StorageWriter(replace(warehouse, retry_seconds=0.3)).append([make_row(event_id="event-1")])
    assert len(server.requests) <= 3


def test_rows_are_sent_again_when_the_warehouse_ends_a_call_in_order_without_a_response(make_row: MakeRow) -> None:
    def end(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield from ()

    def answer(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield accepted()

    assert Calls(end, answer).append(make_row(event_id="event-1")) == []


def test_a_warehouse_that_was_away_for_hours_is_written_to_when_it_is_back(
    make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FIRST_DELAY", "_LONGEST_DELAY"):
        monkeypatch.setattr(f"rawless.warehouse.append_stream.{name}", 1e-6)
    failures = 1_200

    def fail(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield types.AppendRowsResponse(error=status_pb2.Status(code=code_pb2.UNAVAILABLE))

    def answer(call: Call) -> Iterator[types.AppendRowsResponse]:
        next(call.requests)
        yield accepted()

    calls = Calls(*[fail] * failures, answer)
    calls.stream._retry_seconds = 60.0

    assert calls.append(make_row(event_id="event-1")) == []
    assert len(calls.made) == failures + 1


class Event:
    """What the frame of a caller names."""


def test_a_failure_keeps_nothing_of_its_callers_in_memory(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    server.answer = lambda sent: grpc.StatusCode.UNAVAILABLE
    writer = StorageWriter(replace(warehouse, retry_seconds=0.1))

    def call() -> ref[Event]:
        event = Event()
        with pytest.raises(Unavailable):
            writer.append([make_row(event_id="event-1")])
        return ref(event)

    called = [call(), call()]
    gc.collect()

    assert [each() for each in called] == [None, None]


def test_requests_are_measured_with_their_rows_retries_and_connections(
    write_server: Served, appended: Callable[..., list[list[int] | RawlessError]]
) -> None:
    server, _ = write_server
    table, failures = "embedding_event_v1", [grpc.StatusCode.UNAVAILABLE]
    server.answer = lambda sent: failures.pop() if failures else accepted()
    names = ("append_rows_sum", "append_seconds_count", "append_retries_total", "append_opened_total")
    before = [measured(f"rawless_{name}", table=table) for name in names]

    assert appended([["a", "b", "c"]]) == [[]]

    after = [measured(f"rawless_{name}", table=table) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 1, 3, 2]
    assert measured("rawless_queue_items", encoder="", queue="append") == 0


def test_rows_that_cannot_be_converted_do_not_fail_those_of_others(
    make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(rows: Sequence[EmbeddingRow]) -> Any:
        if any(row.event_id == "bad" for row in rows):
            raise ValueError
        return to_arrow(rows)

    def answer(call: Call) -> Iterator[types.AppendRowsResponse]:
        for _ in range(2):
            next(call.requests)
            yield accepted()

    monkeypatch.setattr("rawless.warehouse.append_stream.to_arrow", convert)
    stream = Calls(answer).stream
    with stream._changed:  # so that all of them are taken for one request
        first, bad, last = (
            stream.submit([make_row(event_id=each)], [0], 1_000) for each in ("event-1", "bad", "event-2")
        )

    assert (stream.wait(first), stream.wait(last)) == ([], [])
    with pytest.raises(exceptions.InvalidArgument):
        stream.wait(bad)
