"""Connections that threads share: few of them, each caller gets the outcome of its own rows, none waits for ever."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from google.cloud.bigquery_storage_v1 import types
from google.rpc import code_pb2, status_pb2

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.append_stream import MAX_CONNECTIONS
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow

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


def test_more_than_a_full_request_opens_another_connection(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    vector = np.zeros(2048, dtype=np.float32)
    rows = [make_row(event_id=f"event-{number}", embedding=vector) for number in range(1500)]

    assert StorageWriter(warehouse).append(rows) == []
    assert 1 < len(server.metadata) <= MAX_CONNECTIONS
    assert len(server.taken) == 1500


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
