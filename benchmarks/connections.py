"""Compare the sink with a warehouse that takes 0.3 seconds to open a connection and with one that takes none.

Google's client says that BigQuery takes 0.25 to 0.4 seconds. Bundles of one and of three rows are appended by 48
threads, as a streaming worker has them; a server on this machine answers every request at once.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
from google.cloud.bigquery_storage_v1 import types

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.rows import make_rows
from rawless.connect import LOCAL_CONFIG
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator

THREADS = 48
BUNDLES = 100
"""Bundles of each thread."""
LATENCY_SECONDS = 0.3
REQUIRED = ">= 0.95"
_METHOD = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"


def measure(count: int) -> list[Figure]:
    """Rows per second with and without the latency, for each size of bundles."""
    return [each for size in (1, 3) for each in _measure(size, count)]


def _measure(size: int, count: int) -> list[Figure]:
    rows = make_rows("bench_connections", ["0" * 64] * size, [datetime.now(UTC)] * size, 384)

    def append(warehouse: Warehouse) -> None:
        writer = StorageWriter(warehouse)  # so that each round opens connections

        def run(_: int) -> int:
            return sum(len(writer.append(rows)) for _ in range(BUNDLES))

        with ThreadPoolExecutor(THREADS) as pool:
            if any(pool.map(run, range(THREADS))):
                raise SystemExit("The benchmark is invalid: rows were rejected.")

    with _server(0.0) as at_once, _server(LATENCY_SECONDS) as slow:
        sides = {
            "connections open at once": lambda: seconds(lambda: append(at_once)),
            f"connections open in {LATENCY_SECONDS} s": lambda: seconds(lambda: append(slow)),
        }
        times = rounds(sides, count)
    total, label = size * BUNDLES * THREADS, f"bundles of {size}"
    quick, late = times.values()
    return [
        *(
            figure("connections", label, name, [total / each for each in values], "rows a second")
            for name, values in times.items()
        ),
        figure("connections", label, "with latency / without", ratios(quick, late), "ratio", REQUIRED),
    ]


@contextmanager
def _server(latency: float) -> Iterator[Warehouse]:
    """Serve the Storage Write API on loopback, with a latency of each connection, and yield a warehouse there."""

    def append(requests: Iterator[object], _: grpc.ServicerContext) -> Iterator[types.AppendRowsResponse]:
        time.sleep(latency)
        for _request in requests:
            yield types.AppendRowsResponse(append_result={})

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if handler_call_details.method != _METHOD:
                return None
            return grpc.stream_stream_rpc_method_handler(append, None, types.AppendRowsResponse.serialize)

    server = grpc.server(ThreadPoolExecutor(2 * THREADS), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Warehouse(LOCAL_CONFIG, Emulator("http://127.0.0.1:9", f"127.0.0.1:{port}"), retry_seconds=60.0)
    server.stop(None).wait()
