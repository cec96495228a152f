"""Time `rawless ingest` of one event, from the command line to its end."""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.figures import Figure, Side, figure, rounds, seconds
from benchmarks.throughput import write_events
from benchmarks.work import Work, minilm, resnet18
from rawless.local import home, stack

REQUIRED = "<= 15"


def measure(count: int) -> list[Figure]:
    """Seconds until the command has ended and its row is in the local BigQuery, which was started before."""
    stack.up(home.folder())
    with tempfile.TemporaryDirectory() as folder:
        sides = {work.label: _command(work, Path(folder) / work.label) for work in (resnet18(1), minilm(1))}
        times = rounds(sides, count)
    return [figure("start-up", of, "to the first row", values, "seconds", REQUIRED) for of, values in times.items()]


def _command(work: Work, folder: Path) -> Side:
    lines = write_events(work, folder)
    stream = folder / "stream.yaml"
    fields = {
        "stream": work.stream.stream,
        "modality": work.spec.modality,
        "encoders": [work.spec.ref],
        "event_id": {"pattern": r"e-\d+"},
    }
    stream.write_text(yaml.safe_dump(fields))
    rawless = Path(sys.executable).parent / "rawless"
    command: list[str | Path] = [rawless, "ingest", "--stream", stream, "--source", f"jsonl:{lines}"]
    return lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))
