"""Figures of several rounds: medians, ratios of sides that were timed one after the other, and what must hold."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Side = Callable[[], float]
"""Does its work once and returns its seconds."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    part: str
    of: str
    what: str
    median: float
    lowest: float
    highest: float
    unit: str
    must: str = ""
    """The bound, as in `>= 0.9`."""
    holds: bool | None = None


def figure(part: str, of: str, what: str, values: Sequence[float], unit: str, must: str = "") -> Figure:
    """The median, the lowest and the highest of a measure; `must` bounds the median, as in `>= 0.9`."""
    median = statistics.median(values)
    sign, bound = must.split() if must else ("", "nan")
    holds = None if not must else median >= float(bound) if sign == ">=" else median <= float(bound)
    low, middle, high = (round(value, 3 if value < 10 else 1) for value in (min(values), median, max(values)))
    return Figure(part, of, what, middle, low, high, unit, must, holds)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def rounds(sides: Mapping[str, Side], count: int) -> dict[str, list[float]]:
    """Seconds of every side, one after the other in each round, so that a slow moment of the machine hits all.

    One round more is run before, which warms up; every second round goes the other way round.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(count + 1):
        for name in list(sides) if number % 2 else reversed(list(sides)):
            taken = sides[name]()
            if number:
                found[name].append(taken)
    return found


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(over, under, strict=True)]


def peak() -> float:
    """The most memory that this process ever had, in MB. Not by getrusage: it would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
