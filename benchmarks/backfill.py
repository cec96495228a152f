"""Measure whether a backfill is linear in its events, and flat in memory, on several worker processes.

Many small files of tiny events pass the steps of a job with a trivial encoder. Rows are counted instead of written,
since the local BigQuery would be the limit; the part `sink` measures writing. Each job runs in a separate process.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics

import pipelines.ingest
import rawless.steps.encode
from benchmarks.figures import Figure, figure, peak_memory
from benchmarks.trivial import Trivial
from pipelines import options
from pipelines.ingest import Ingest
from rawless.connect import LOCAL_CONFIG
from rawless.events.sources import open_source
from rawless.events.stream import IdPattern, Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.elements import EncodedEvent
from rawless.steps.encode import Encode
from rawless.steps.meter import Meter
from rawless.steps.step import Step
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import RejectionRow

FEW, MANY = 20_000, 200_000
EVENTS_PER_FILE = 100
WORKERS = (1, 2, 4)
REQUIRED_GROWTH = "<= 1.1"
_ROOT = Path(__file__).parent.parent
_PROGRAM = "from benchmarks import backfill; backfill.run_job()"
"""Imports this module under its own name, by which workers find the steps."""


def measure(_: int) -> list[Figure]:
    """CPU time of the workers for each event, their peaks of memory, and speeds. Each job runs once."""
    figures: list[Figure] = []
    for source in ("jsonl", "parquet"):
        with tempfile.TemporaryDirectory() as folder:
            few = _run(_write(source, FEW, Path(folder) / "few"), 1)
            many = _write(source, MANY, Path(folder) / "many")
            runs = {workers: _run(many, workers) for workers in WORKERS}
        figures += _figures(source, few, runs)
    return figures


def _figures(source: str, few: dict[str, float], runs: dict[int, dict[str, float]]) -> Iterator[Figure]:
    costs = [few["cpu_milliseconds"] / FEW, *(run["cpu_milliseconds"] / MANY for run in runs.values())]
    sizes = [(FEW, 1), *((MANY, workers) for workers in runs)]
    for (events, workers), cost, run in zip(sizes, costs, [few, *runs.values()], strict=True):
        what = f"{events:,} events in {events // EVENTS_PER_FILE:,} files, {workers} processes"
        yield figure("backfill", f"{source}, CPU", what, [cost], "ms an event")
        yield figure("backfill", f"{source}, peak of a process", what, [run["peak_megabytes"]], "MB")
        yield figure("backfill", f"{source}, speed", what, [events / run["seconds"]], "a second")
    for name, values in (
        ("CPU of an event, many / few", costs[1] / costs[0]),
        ("CPU of an event, 2 processes / 1", costs[2] / costs[1]),
        ("peak of a process, many / few", runs[1]["peak_megabytes"] / few["peak_megabytes"]),
    ):
        yield figure("backfill", source, name, [values], "ratio", REQUIRED_GROWTH)


def _write(source: str, events: int, folder: Path) -> str:
    """Write events to files, and return what `--source` names them by."""
    folder.mkdir()
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for number in range(events // EVENTS_PER_FILE):
        rows = [
            {"event_id": f"e-{number}-{row}", "occurred_at": at, "stream": "backfill", "text": f"Event {row}."}
            for row in range(EVENTS_PER_FILE)
        ]
        if source == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / f"{number:05}.parquet")
        else:
            (folder / f"{number:05}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return f"{source}:{folder}/*.{source}"


def _run(location: str, workers: int) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-c", _PROGRAM, location, str(workers)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout
    return {name: float(value) for name, value in json.loads(answer.splitlines()[-1]).items()}


_NAMESPACE = "backfill"


@lru_cache(maxsize=1)
def _trivial() -> Trivial:
    return Trivial()


class TrivialEncode(Encode):
    """The encode step with an encoder that computes nothing."""

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        patch.object(rawless.steps.encode, "load", lambda *_: _trivial()).start()
        super().setup(meter)


class Count(Step[EncodedEvent | RejectionRow, EncodedEvent]):
    """In place of `Write`: counts rows, and measures the process after each bundle, by metrics that no job has."""

    output: ClassVar[type[EncodedEvent]] = EncodedEvent
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _used: ClassVar[float | None] = None

    def __init__(self, _: Warehouse) -> None:
        pass

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._measure()

    def process(self, element: EncodedEvent | RejectionRow) -> Iterator[EncodedEvent | RejectionRow]:
        """Count a row of an embedding."""
        if isinstance(element, EncodedEvent):
            Metrics.counter(_NAMESPACE, "rows").inc()
        yield from ()

    def finish(self) -> Iterator[EncodedEvent | RejectionRow]:
        """Record what this process has used."""
        self._measure()
        Metrics.distribution(_NAMESPACE, "peak_megabytes").update(round(peak_memory()))
        yield from ()

    def _measure(self) -> None:
        """Add the CPU time of this process since the last measurement, from when the first step was ready."""
        with Count._lock:
            used = time.process_time()
            if Count._used is not None:
                Metrics.counter(_NAMESPACE, "cpu_milliseconds").inc(round(1000 * (used - Count._used)))
            Count._used = used


def run_job() -> None:
    """Run a job as the arguments of the program say, and print what it used."""
    print(json.dumps(_job(sys.argv[1], int(sys.argv[2]))))


def _job(location: str, workers: int) -> dict[str, float]:
    stream = Stream(
        stream="backfill",
        modality="text",
        encoders=(_trivial().spec.ref,),
        event_id=IdPattern(pattern=r"e-\d+-\d+"),
        subject="none",
    )
    source, key = open_source(location, stream), KeySource(path="unused")
    beam_options = options.parse([f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"])
    pipeline = beam.Pipeline(options=beam_options)
    vars(pipelines.ingest).update(Encode=TrivialEncode, Write=Count)  # workers find the steps by these names
    Ingest(stream, source, (_trivial().spec,), key, Warehouse(LOCAL_CONFIG), "cpu").build(pipeline)
    started = time.perf_counter()
    result = pipeline.run()
    result.wait_until_finish()
    seconds = time.perf_counter() - started
    found = result.metrics().query()
    counters: Counter[str] = Counter()
    for each in found["counters"]:
        counters[each.key.metric.name] += each.result
    if not counters["rows"] == counters["read"] > 0:
        raise RuntimeError("Some events were not encoded.")
    peak = max(each.result.max for each in found["distributions"] if each.key.metric.name == "peak_megabytes")
    cpu = counters["cpu_milliseconds"]
    return {"seconds": seconds, "peak_megabytes": peak, "cpu_milliseconds": cpu}
