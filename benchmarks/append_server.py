"""A server of the Storage Write API on this machine that accepts all rows, after the latencies of a real one."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue

import grpc
from google.cloud.bigquery_storage_v1 import types

from rawless.connect import LOCAL_CONFIG
from rawless.warehouse import append
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator

OPEN_SECONDS = 0.3
"""Google's client says that BigQuery takes 0.25 to 0.4 seconds to open a connection."""
_METHOD = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
_CONNECTIONS = 100


@contextmanager
def append_server(open_seconds: float, answer_seconds: float = 0.0) -> Iterator[Warehouse]:
    """Serve the API in another process and yield a warehouse there, which takes so long to open and to answer."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, open_seconds, answer_seconds), daemon=True)
    process.start()
    theirs.close()
    try:
        port = ours.recv()
        yield Warehouse(LOCAL_CONFIG, Emulator("http://127.0.0.1:9", f"127.0.0.1:{port}"), retry_seconds=60.0)
    finally:
        ours.close()
        process.join()
        append._storage_writer.cache_clear()  # another server may get the port, and the writer's channel is closed


def _serve(pipe: Connection, open_seconds: float, answer_seconds: float) -> None:
    def append_rows(requests: Iterator[object], _: grpc.ServicerContext) -> Iterator[types.AppendRowsResponse]:
        time.sleep(open_seconds)
        due: SimpleQueue[float | None] = SimpleQueue()
        threading.Thread(target=_receive, args=(requests, answer_seconds, due), daemon=True).start()
        while (at := due.get()) is not None:
            time.sleep(max(0.0, at - time.monotonic()))
            yield types.AppendRowsResponse(append_result={})

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if handler_call_details.method != _METHOD:
                return None
            return grpc.stream_stream_rpc_method_handler(append_rows, None, types.AppendRowsResponse.serialize)

    server = grpc.server(ThreadPoolExecutor(_CONNECTIONS), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Handler(),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    try:
        pipe.recv()  # until the other end is closed
    except EOFError:
        server.stop(None).wait()


def _receive(requests: Iterator[object], answer_seconds: float, due: "SimpleQueue[float | None]") -> None:
    """Note when each request has to be answered, while others are on their way."""
    try:
        for _ in requests:
            due.put(time.monotonic() + answer_seconds)
    except grpc.RpcError:  # the call was cancelled
        pass
    due.put(None)
