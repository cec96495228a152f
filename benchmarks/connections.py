"""Compare the sink with a warehouse that takes 0.3 seconds to open a connection and with one that takes none.

Google's client says that BigQuery takes 0.25 to 0.4 seconds. Bundles of one and of three rows are appended by 48
threads, as a streaming worker has them; a server in another process answers every request at once.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from benchmarks.append_server import OPEN_SECONDS, append_server
from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.rows import make_rows
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse

THREADS = 48
BUNDLES = 3_000
"""Bundles of each thread: ten seconds, in which the start, when the first connection opens, is a small part."""
REQUIRED = ">= 0.95"


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

    with append_server(0.0) as at_once, append_server(OPEN_SECONDS) as slow:
        sides = {
            "connections open at once": lambda: seconds(lambda: append(at_once)),
            f"connections open in {OPEN_SECONDS} s": lambda: seconds(lambda: append(slow)),
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
