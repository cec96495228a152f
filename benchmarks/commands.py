"""Measure the processor time of commands that only ask the local warehouse, or nothing."""

import resource
import subprocess
import sys

from benchmarks.figures import Figure, Side, figure, rounds
from rawless.local import home, stack

COMMANDS = {
    "--help": ("--help",),
    "sql": ("sql", "SELECT 1"),
    "head list": ("head", "list"),
    "dataset list": ("dataset", "list"),
}
REQUIRED = "<= 1"


def measure(count: int) -> list[Figure]:
    """Return the processor seconds of each command, from its start to its end, while the local servers run."""
    stack.up(home.folder())
    times = rounds({name: _command(words) for name, words in COMMANDS.items()}, count)
    return [figure("commands", name, "start to end", values, "CPU seconds", REQUIRED) for name, values in times.items()]


def _command(words: tuple[str, ...]) -> Side:
    def run() -> float:
        before = _spent()
        subprocess.run([sys.executable, "-P", "-m", "rawless", *words], check=True, capture_output=True)
        return _spent() - before

    return run


def _spent() -> float:
    """Return the processor seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
