"""Figures computed from several rounds of timing, and the bounds that they must meet."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Side = Callable[[], float]
"""A function that does its work once and returns the seconds it took."""


@dataclass(frozen=True)
class Figure:
    """One row of a table of results."""

    part: str
    of: str
    what: str
    median: float
    lowest: float
    highest: float
    unit: str
    must: str = ""
    """The bound that the median must meet, such as `>= 0.9`; empty if there is none."""
    holds: bool | None = None
    """Whether the median meets the bound."""


def figure(part: str, of: str, what: str, values: Sequence[float], unit: str, must: str = "") -> Figure:
    """Return the median, the lowest and the highest of `values`; `must` is a bound on the median, such as `>= 0.9`."""
    median = statistics.median(values)
    sign, bound = must.split() if must else ("", "nan")
    holds = None if not must else median >= float(bound) if sign == ">=" else median <= float(bound)
    low, middle, high = (round(value, 3 if value < 10 else 1) for value in (min(values), median, max(values)))
    return Figure(part, of, what, middle, low, high, unit, must, holds)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a call of `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def rounds(sides: Mapping[str, Side], count: int) -> dict[str, list[float]]:
    """Return the seconds of every side in each round.

    All sides run one after another in every round, so that a slow phase of the machine affects all of them. An
    additional first round warms up and is not counted; every second round runs the sides in reverse order.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(count + 1):
        for name in list(sides) if number % 2 else reversed(list(sides)):
            duration = sides[name]()
            if number:
                times[name].append(duration)
    return times


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the quotients round by round."""
    return [numerator / denominator for numerator, denominator in zip(over, under, strict=True)]


def peak_memory() -> float:
    """Return the peak memory of this process in MB. getrusage is not used, because it would include the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
