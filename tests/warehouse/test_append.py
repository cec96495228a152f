"""Appends: rows are stored exactly, invalid ones are reported, transient errors are retried, and no row is lost."""

import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
from google.cloud.bigquery_storage_v1 import types
from google.rpc import code_pb2, status_pb2

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.warehouse.append import MAX_REQUEST_BYTES, StorageWriter, append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.rows import EmbeddingRow, EncoderRow, RejectionRow

MakeRow = Callable[..., EmbeddingRow]
Served = tuple[Any, Warehouse]
SECRET = "secret8251"


def ids(*numbers: int) -> list[str]:
    return [f"event-{number}" for number in numbers]


def row_errors(*positions: int) -> types.AppendRowsResponse:
    return types.AppendRowsResponse(
        row_errors=[
            {"index": position, "code": "FIELDS_ERROR", "message": f"bad value {SECRET}"} for position in positions
        ],
        error=status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="Errors found while processing rows."),
    )


def accepted() -> types.AppendRowsResponse:
    return types.AppendRowsResponse(append_result={})


def errored(code: int) -> types.AppendRowsResponse:
    return types.AppendRowsResponse(error=status_pb2.Status(code=code, message=f"it quotes {SECRET}"))


def test_rows_are_stored_exactly(warehouse: Warehouse, make_row: MakeRow) -> None:
    rows = [
        make_row(),
        make_row(event_id="event-2", subject_key=None, subject_key_id=None, attributes=(), truncated=True),
        make_row(event_id="event-3", embedding=np.array([-0.0, 1 / 3], dtype=np.float32), attributes=(("app", "é€"),)),
    ]
    assert StorageWriter(warehouse).append(rows) == []
    found = warehouse.query("SELECT * FROM embedding_event_v1 WHERE occurred_at IS NOT NULL ORDER BY event_id")
    assert len(found) == 3
    for row, landed in zip(rows, found, strict=True):
        assert landed.pop("embedding") == [float(each) for each in row.embedding]
        assert landed.pop("attributes") == [{"key": key, "value": value} for key, value in row.attributes]
        assert landed == {name: getattr(row, name) for name in landed}
        assert {"stream", "event_id", "occurred_at", "logged_at", "truncated"} <= set(landed)


def test_rejections_and_encoders_are_stored_exactly(warehouse: Warehouse) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    rejection = RejectionRow("message", None, None, None, "17", "parse", "bad_event_id", "<1000", None, at)
    encoder = EncoderRow("minilm", "1.0.0", "f" * 64, '{"layer":-1}', True, at)
    append_all(warehouse, [rejection])
    append_all(warehouse, [encoder])
    (found,) = warehouse.query("SELECT * FROM rejection_v1")
    assert found == {name: getattr(rejection, name) for name in found}
    (found,) = warehouse.query("SELECT name, version, fingerprint, sealed, registered_at FROM encoder_v1")
    assert found == {name: getattr(encoder, name) for name in found}
    (found,) = warehouse.query("SELECT JSON_VALUE(spec, '$.layer') AS layer FROM encoder_v1")
    assert found == {"layer": "-1"}


def test_rows_that_exceed_a_request_are_divided(warehouse: Warehouse, make_row: MakeRow) -> None:
    vector = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    rows = [make_row(event_id=f"event-{number}", embedding=vector) for number in range(3000)]
    assert StorageWriter(warehouse).append(rows) == []
    (found,) = warehouse.query(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids FROM embedding_event_v1 WHERE occurred_at IS NOT NULL"
    )
    assert found == {"n": 3000, "ids": 3000}


def test_every_request_stays_under_the_limit_of_the_api(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    vector = np.zeros(2048, dtype=np.float32)
    rows = [make_row(event_id=f"event-{number}", embedding=vector) for number in range(1200)]
    assert StorageWriter(warehouse).append(rows) == []
    assert sorted(server.taken) == sorted(ids(*range(1200)))
    assert len(server.requests) > 2
    assert max(server.sizes) < 10_000_000
    assert MAX_REQUEST_BYTES < 10_000_000


def test_an_invalid_row_is_refused_before_it_is_sent(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    bad = np.array([1.0, float("nan")], dtype=np.float32)
    rows = [make_row(event_id=each) for each in ids(*range(5))]
    rows[1], rows[4] = replace(rows[1], embedding=bad), replace(rows[4], stream=None)  # type: ignore[arg-type]
    assert StorageWriter(warehouse).append(rows) == [1, 4]
    assert server.requests == [ids(0, 2, 3)]


@pytest.mark.parametrize("bad", [{0}, {9}, {3, 4}, {0, 5, 9}, set(range(10))], ids=str)
def test_refused_rows_are_reported_and_the_others_are_sent_again(
    write_server: Served, make_row: MakeRow, bad: set[int]
) -> None:
    server, warehouse = write_server
    names = set(ids(*bad))

    def answer(sent: list[str]) -> types.AppendRowsResponse:
        found = [position for position, each in enumerate(sent) if each in names]
        return row_errors(*found) if found else accepted()

    server.answer = answer
    rows = [make_row(event_id=each) for each in ids(*range(10))]
    assert StorageWriter(warehouse).append(rows) == sorted(bad)
    assert server.taken == ids(*(set(range(10)) - bad))


def test_rows_that_are_refused_one_after_the_other_are_all_reported(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server

    def answer(sent: list[str]) -> types.AppendRowsResponse:
        # BigQuery need not tell all bad rows at once.
        found = [position for position, each in enumerate(sent) if each in ids(2, 5, 7)]
        return row_errors(found[0]) if found else accepted()

    server.answer = answer
    rows = [make_row(event_id=each) for each in ids(*range(9))]
    assert StorageWriter(warehouse).append(rows) == [2, 5, 7]
    assert server.taken == ids(0, 1, 3, 4, 6, 8)


def failing_at_first(times: int, failure: object) -> Callable[[list[str]], Any]:
    answers = iter([failure] * times)
    return lambda sent: next(answers, accepted())


TRANSIENT = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
]


@pytest.mark.parametrize("status", TRANSIENT)
def test_a_transient_error_is_retried_and_nothing_is_lost(
    write_server: Served, make_row: MakeRow, status: grpc.StatusCode
) -> None:
    server, warehouse = write_server
    server.answer = failing_at_first(2, status)
    rows = [make_row(event_id=each) for each in ids(1, 2, 3)]
    assert StorageWriter(warehouse).append(rows) == []
    assert server.taken == ids(1, 2, 3)


@pytest.mark.parametrize("code", [code_pb2.UNAVAILABLE, code_pb2.INTERNAL, code_pb2.RESOURCE_EXHAUSTED])
def test_a_transient_error_inside_a_response_is_retried_too(write_server: Served, make_row: MakeRow, code: int) -> None:
    server, warehouse = write_server
    server.answer = failing_at_first(2, errored(code))
    assert StorageWriter(warehouse).append([make_row(event_id="event-1")]) == []
    assert server.taken == ids(1)


def test_a_connection_that_does_not_respond_is_given_up(
    write_server: Served, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, warehouse = write_server
    monkeypatch.setattr("rawless.warehouse.append_stream.RESPONSE_SECONDS", 0.1)
    server.answer = failing_at_first(1, None)
    assert StorageWriter(warehouse).append([make_row(event_id="event-1")]) == []
    assert server.taken == ids(1)


@pytest.mark.parametrize("failure", [grpc.StatusCode.UNAVAILABLE, errored(code_pb2.UNAVAILABLE)], ids=["rpc", "inside"])
def test_an_unavailable_warehouse_is_reported_within_the_retry_time(
    write_server: Served, make_row: MakeRow, caplog: pytest.LogCaptureFixture, failure: object
) -> None:
    server, warehouse = write_server
    caplog.set_level(logging.INFO)
    server.answer = lambda sent: failure
    started = time.monotonic()
    with pytest.raises(Unavailable, match="Nothing was lost") as caught:
        StorageWriter(replace(warehouse, retry_seconds=1.0)).append([make_row(event_id=SECRET)])
    assert time.monotonic() - started < 10
    assert server.taken == []
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert SECRET not in caplog.text
    assert len(str(caught.value).splitlines()) == 1


def test_a_refused_connection_is_reported_within_the_retry_time(write_server: Served, make_row: MakeRow) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and not listening
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        _, warehouse = write_server
        away = replace(warehouse, emulator=Emulator("http://127.0.0.1:9", address), retry_seconds=1.0)
        started = time.monotonic()
        with pytest.raises(Unavailable, match="Nothing was lost"):
            StorageWriter(away).append([make_row()])
        assert time.monotonic() - started < 10


def test_a_warehouse_that_recovers_gets_all_rows(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    back = threading.Event()
    threading.Timer(0.8, back.set).start()
    server.answer = lambda sent: accepted() if back.is_set() else grpc.StatusCode.INTERNAL
    assert StorageWriter(warehouse).append([make_row(event_id=each) for each in ids(1, 2)]) == []
    assert server.taken == ids(1, 2)
    assert len(server.requests) > 1


def test_a_missing_table_is_reported_without_retries(warehouse: Warehouse, make_row: MakeRow) -> None:
    warehouse.client.delete_table(warehouse.table_id("embedding_event_v1"))
    started = time.monotonic()
    with pytest.raises(UserError, match=r"embedding_event_v1 cannot be written.*check that it exists"):
        StorageWriter(warehouse).append([make_row()])
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("status", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED])
def test_a_table_that_may_not_be_written_is_reported_without_retries(
    write_server: Served, make_row: MakeRow, status: grpc.StatusCode
) -> None:
    server, warehouse = write_server
    server.answer = lambda sent: status
    with pytest.raises(UserError, match=r"local-dev\.events\.embedding_event_v1 cannot be written"):
        StorageWriter(warehouse).append([make_row()])
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED])
def test_a_permanent_error_is_reported_without_retries_and_without_values(
    write_server: Served, make_row: MakeRow, status: grpc.StatusCode
) -> None:
    server, warehouse = write_server
    server.answer = lambda sent: status
    with pytest.raises(RawlessError) as caught:
        StorageWriter(warehouse).append([make_row(event_id=SECRET)])
    assert len(server.requests) == 1
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_rows_go_to_the_default_stream_of_their_table(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    StorageWriter(warehouse).append([make_row()])
    assert server.streams == ["projects/local-dev/datasets/events/tables/embedding_event_v1/streams/_default"]


def test_requests_have_a_routing_header(write_server: Served, make_row: MakeRow) -> None:
    # BigQuery routes a stream to the dataset's region by this header; without it only the US is found.
    server, warehouse = write_server
    StorageWriter(warehouse).append([make_row()])
    (metadata,) = server.metadata
    assert metadata["x-goog-request-params"].replace("%2F", "/") == f"write_stream={server.streams[0]}"


def test_no_rows_need_no_warehouse(make_row: MakeRow, write_server: Served) -> None:
    server, warehouse = write_server
    assert StorageWriter(warehouse).append([]) == []
    append_all(warehouse, [])
    assert server.requests == []


def test_append_all_raises_when_a_row_is_refused(write_server: Served, make_row: MakeRow) -> None:
    server, warehouse = write_server
    server.answer = lambda sent: row_errors(0)
    with pytest.raises(UserError, match="embedding_event_v1 refused a row") as caught:
        append_all(warehouse, [make_row(event_id=SECRET)])
    assert SECRET not in "".join(traceback.format_exception(caught.value))
