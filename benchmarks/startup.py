"""The processor time of `rawless ingest` of one event, from the command line to its end, and what of it is converting.

Processor time, of all threads, depends less on what else the machine does than the time that passes.
"""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from huggingface_hub.constants import HF_HOME

from benchmarks.figures import Figure, Side, figure, rounds
from benchmarks.throughput import write_events
from benchmarks.work import Work, minilm, resnet18
from rawless.local import home, stack

REQUIRED = "<= 5"
"""Of the processor seconds once the encoder has been converted."""
_HUBS = {"HF_HOME": HF_HOME, "TORCH_HOME": str(Path(torch.hub.get_dir()).parent)}
"""Where weights are, which does not follow the cache of the benchmark."""
_FIRST, _LATER = "the first time, with a conversion", "later"


def measure(count: int) -> list[Figure]:
    """Processor seconds until the command has ended and its row is in the local BigQuery, which was started before."""
    stack.up(home.folder())
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for work in (resnet18(1), minilm(1)):
            root = Path(folder) / work.label
            command = _command(work, root)
            caches = (root / f"cache{number}" for number in itertools.count())
            sides = {_FIRST: _side(command, caches), _LATER: _side(command, itertools.repeat(root / "cache"))}
            times = rounds(sides, count)
            figures += [
                figure("start-up", work.label, what, values, "processor seconds", REQUIRED if what == _LATER else "")
                for what, values in times.items()
            ]
    return figures


def _command(work: Work, folder: Path) -> list[str | Path]:
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
    return [rawless, "ingest", "--stream", stream, "--source", f"jsonl:{lines}"]


def _side(command: list[str | Path], caches: Iterator[Path]) -> Side:
    """Return a function that runs the command with the next cache and returns the processor seconds it took."""

    def run() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, **_HUBS, "RAWLESS_CACHE": "", "XDG_CACHE_HOME": str(next(caches))}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return run
