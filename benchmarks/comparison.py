"""Time comparing two encoders on 50,000 events that carry both, from reading the rows to the last interval."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, peak_memory, seconds
from benchmarks.rows import make_rows
from benchmarks.throughput import bench_warehouse
from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.lifecycle.encoder_comparison import compare
from rawless.lifecycle.paired_vectors import PairedVectors, paired_vectors
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse

ROWS, DIMENSION = 50_000, 384
REQUIRED = "<= 120"
_STREAM = "bench_compared"
_START = datetime(2026, 10, 1, tzinfo=UTC)
_REQUEST_ROWS = 500


def measure(count: int) -> list[Figure]:
    """Seconds of reading and of the whole comparison without heads, and the peak memory of the process."""
    warehouse = bench_warehouse()
    first = lookup("minilm@1.0.0")
    second = first.model_copy(update={"version": "1.1.0", "pooling": "cls"})
    _fill(warehouse, first, second)
    reading, whole = [], []
    for _ in range(count):
        found: list[PairedVectors] = []
        reading.append(seconds(lambda: found.append(paired_vectors(warehouse, _STREAM, first, second))))  # noqa: B023
        compared = seconds(lambda: compare(warehouse, Path(), first, second, found[0]))  # noqa: B023
        whole.append(reading[-1] + compared)
    of = f"{ROWS:,} events of {DIMENSION}"
    return [
        figure("comparison", of, "reading both vectors", reading, "seconds"),
        figure("comparison", of, "encoder compare", whole, "seconds", REQUIRED),
        figure("comparison", of, "peak memory", [peak_memory()], "MB"),
    ]


def _fill(warehouse: Warehouse, first: EncoderSpec, second: EncoderSpec) -> None:
    """Append vectors by both encoders: the second ones are the first ones, turned, with noise."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
    persons = [f"person-{number // 5}" for number in range(ROWS)]
    rows = make_rows(_STREAM, persons, [_START + timedelta(minutes=number) for number in range(ROWS)], DIMENSION)
    writer = StorageWriter(warehouse)
    for at in range(0, ROWS, _REQUEST_ROWS):
        for spec, map_ in ((first, np.eye(DIMENSION, dtype=np.float32)), (second, turn)):
            part = [
                replace(
                    row,
                    encoder=spec.name,
                    encoder_version=spec.version,
                    encoder_fingerprint=spec.fingerprint,
                    embedding=row.embedding @ map_ + 0.3 * rng.standard_normal(DIMENSION, np.float32),
                )
                for row in rows[at : at + _REQUEST_ROWS]
            ]
            if writer.append(part):
                raise SystemExit("The benchmark is invalid: rows were rejected.")
