"""Rows to append, and a write server whose responses a test defines."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.rows import EmbeddingRow

AppendRows = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
Answer = Callable[[list[str]], types.AppendRowsResponse | grpc.StatusCode | None]
"""Maps the event ids of a request to a response, a status to fail with, or no response."""


@pytest.fixture
def make_row() -> Callable[..., EmbeddingRow]:
    """A complete embedding row; any field can be overridden."""

    def make(**fields: Any) -> EmbeddingRow:
        whole: dict[str, Any] = {
            "stream": "message",
            "event_id": "event-1",
            "subject_key": "a" * 64,
            "subject_key_id": "k123",
            "occurred_at": datetime(2026, 1, 10, 12, 30, 15, 123456, tzinfo=UTC),
            "logged_at": datetime(2026, 1, 10, 12, 31, tzinfo=UTC),
            "origin": "ingest",
            "caller_key": None,
            "modality": "text",
            "encoder": "minilm",
            "encoder_version": "1.0.0",
            "encoder_fingerprint": "f" * 64,
            "embedding": np.array([0.1, -0.2, 1e-38, 3.4e38], dtype=np.float32),
            "truncated": False,
            "attributes": (("channel", "chat"), ("app", "1.2")),
        }
        return EmbeddingRow(**(whole | fields))

    return make


@dataclass
class WriteServer:
    """The Storage Write API on loopback: it records requests, and responds as the test defines."""

    answer: Answer = lambda ids: types.AppendRowsResponse(append_result={})
    requests: list[list[str]] = field(default_factory=list)
    """The event ids of each request."""
    taken: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    """Whether a client has closed a connection."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != AppendRows:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._append,
            request_deserializer=types.AppendRowsRequest.deserialize,
            response_serializer=types.AppendRowsResponse.serialize,
        )

    def _append(
        self, requests: Iterator[types.AppendRowsRequest], context: grpc.ServicerContext
    ) -> Iterator[types.AppendRowsResponse]:
        # The client adds an empty routing header behind ours, as Google's own writer has it too.
        sent = context.invocation_metadata()
        self.metadata.append({key: value for key, value in sent if isinstance(value, str) and value})
        for request in requests:
            ids = event_ids(request)
            self.requests.append(ids)
            self.sizes.append(types.AppendRowsRequest.pb(request).ByteSize())
            self.streams.append(request.write_stream)
            answer = self.answer(ids)
            if isinstance(answer, grpc.StatusCode):
                context.abort(answer, f"refused, and quotes {ids}")
            if answer is not None:
                if not answer.row_errors and not answer.error.code:
                    self.taken += ids
                yield answer
        self.closed.set()


def event_ids(request: types.AppendRowsRequest) -> list[str]:
    schema = pa.ipc.read_schema(pa.py_buffer(request.arrow_rows.writer_schema.serialized_schema))
    batch = pa.ipc.read_record_batch(pa.py_buffer(request.arrow_rows.rows.serialized_record_batch), schema)
    return [str(each) for each in batch.column("event_id").to_pylist()]


@pytest.fixture
def write_server() -> Iterator[tuple[WriteServer, Warehouse]]:
    """A write server, and a warehouse that appends to it."""
    writes = WriteServer()

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            return writes.service(handler_call_details)

    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    config = WarehouseConfig(
        project="local-dev", events="events", snapshots="snapshots", builds="builds", subjects="subjects", audit="audit"
    )
    yield writes, Warehouse(config, Emulator("http://127.0.0.1:9", f"127.0.0.1:{port}"), retry_seconds=5.0)
    server.stop(None).wait(10)


@pytest.fixture
def within() -> Callable[[float, Callable[[], object]], BaseException]:
    """Return what a call raises. A call that takes too long is abandoned and fails the test."""

    def raised(seconds: float, call: Callable[[], object]) -> BaseException:
        caught: list[BaseException] = []

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                caught.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(seconds)
        assert not thread.is_alive(), f"no answer within {seconds} seconds"
        assert caught, "nothing was raised"
        return caught[0]

    return raised
