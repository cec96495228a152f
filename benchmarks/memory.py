"""How much memory a job takes, over few and over many events of 100 KB, with an encoder of next to no cost.

Each job has a process of its own, which says the most it ever had; the local BigQuery and Pub/Sub are other processes.
"""

import random
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import pipelines.encode
from benchmarks import throughput
from benchmarks.figures import Figure, figure, peak
from benchmarks.trivial import Trivial
from benchmarks.work import Work

COUNTS = (1_000, 20_000)
EVENT_BYTES = 100_000
MUST, MUST_BE_FLAT = "<= 3000", "<= 1.1"


def measure(_: int) -> list[Figure]:
    """Peaks in MB, once each: they differ little from run to run."""
    found = []
    for source in ("lines", "messages"):
        peaks = [_apart(source, count) for count in COUNTS]
        found += [
            figure("memory", f"ingest, {source}", f"{count:,} events of 100 KB", [peak], "MB", MUST)
            for count, peak in zip(COUNTS, peaks, strict=True)
        ]
        found.append(figure("memory", f"ingest, {source}", "many / few", [peaks[1] / peaks[0]], "ratio", MUST_BE_FLAT))
    return found


def _apart(source: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", source, str(count)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _peak(source: str, count: int) -> float:
    """MB, after a job over so many events."""
    encoder = Trivial()
    choose = random.Random(1)  # noqa: S311
    payload = "".join(choose.choices(string.ascii_letters, k=EVENT_BYTES)).encode()
    vars(pipelines.encode)["load"] = lambda *_: encoder
    with tempfile.TemporaryDirectory() as folder:
        job = throughput.job(Work(f"memory_{source}", encoder.spec, [payload] * count), Path(folder) / "job")
        (throughput.messages if source == "messages" else throughput.lines)(job, count)
    return peak()


if __name__ == "__main__":
    print(_peak(sys.argv[1], int(sys.argv[2])))
