"""Measure the peak memory of a job over few and over many events of 100 KB, with a trivial encoder.

Each job runs in a separate process, which reports its peak; the local BigQuery and Pub/Sub are other processes.
"""

import random
import string
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import rawless.steps.encode
from benchmarks import throughput
from benchmarks.figures import Figure, figure, peak_memory
from benchmarks.trivial import Trivial
from benchmarks.work import Work

COUNTS = (1_000, 20_000)
EVENT_BYTES = 100_000
REQUIRED, REQUIRED_GROWTH = "<= 3000", "<= 1.1"


def measure(_: int) -> list[Figure]:
    """Peaks in MB. Each job runs once, because the peaks vary little between runs."""
    figures = []
    for source in ("lines", "messages"):
        peaks = [_measure_job(source, count) for count in COUNTS]
        figures += [
            figure("memory", f"ingest, {source}", f"{count:,} events of 100 KB", [peak], "MB", REQUIRED)
            for count, peak in zip(COUNTS, peaks, strict=True)
        ]
        figures.append(
            figure("memory", f"ingest, {source}", "many / few", [peaks[1] / peaks[0]], "ratio", REQUIRED_GROWTH)
        )
    return figures


def _measure_job(source: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", source, str(count)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _run_job(source: str, count: int) -> float:
    """Run a job over `count` events and return the peak memory of this process in MB."""
    encoder = Trivial()
    rng = random.Random(1)  # noqa: S311
    payload = "".join(rng.choices(string.ascii_letters, k=EVENT_BYTES)).encode()
    patch.object(rawless.steps.encode, "load", lambda *_: encoder).start()
    with tempfile.TemporaryDirectory() as folder:
        job = throughput.job(Work(f"memory_{source}", encoder.spec, [payload] * count), Path(folder) / "job")
        (throughput.time_messages if source == "messages" else throughput.time_lines)(job, count)
    return peak_memory()


if __name__ == "__main__":
    print(_run_job(sys.argv[1], int(sys.argv[2])))
