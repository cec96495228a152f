"""How far some work is, in words: what is done of how much, the rate, and the time that is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

_JUDGED_AFTER_SECONDS = 1.0
"""No time is told that is left before so much work was seen."""


class Done(NamedTuple):
    """How much is done of how much, in bytes, rows or whatever `unit` says."""

    done: int
    total: int
    unit: str


@dataclass
class Work:
    """What a command does, and how far it is."""

    title: str
    describe: Callable[[], str] | None = None
    measure: Callable[[], Done | None] | None = None
    started: float = field(default_factory=time.monotonic)
    _first: tuple[float, int] | None = None
    """When something was first done, and how much then: starting takes time that the rest does not."""

    def line(self, now: float) -> str:
        """Return what is told of the work at a time of the monotonic clock."""
        step = self.describe() if self.describe else ""
        parts = [*self._measured(now), *([step] if step else []), f"after {duration(now - self.started)}"]
        return f"{self.title}: {', '.join(parts)}"

    def share(self) -> float | None:
        """Return which part of the work is done, from 0 to 1, None if that is unknown."""
        measured = self.measure() if self.measure else None
        return min(1.0, measured.done / measured.total) if measured and measured.total and measured.done else None

    def _measured(self, now: float) -> list[str]:
        measured = self.measure() if self.measure else None
        if measured is None or not measured.total or not measured.done:
            return []  # it has not begun, or what does it cannot be seen from here
        done = min(measured.done, measured.total)
        told = [f"{done / measured.total:.0%}", amount(done, measured.total, measured.unit)]
        if self._first is None:
            self._first = (now, done)
        if now - self._first[0] < _JUDGED_AFTER_SECONDS or done <= self._first[1]:
            return told
        rate = (done - self._first[1]) / (now - self._first[0])
        left = f"{duration((measured.total - done) / rate)} left"
        return [told[0], left, told[1], f"{_rate(rate, measured.unit)} a second"]


def duration(seconds: float) -> str:
    """Return a time in words, such as 45 s, 3 min 20 s or 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600:,} h {whole % 3_600 // 60:02} min"


def amount(done: int, total: int, unit: str) -> str:
    """Return how much is done of how much, such as 12 of 40 MB."""
    if unit != "bytes":
        return f"{done:,} of {total:,} {unit}"
    name, factor = _size(total)
    digits = 0 if factor == 1 else 1
    return f"{done / factor:,.{digits}f} of {total / factor:,.{digits}f} {name}"


def _rate(rate: float, unit: str) -> str:
    if unit != "bytes":
        return f"{rate:,.0f} {unit}" if rate >= 10 else f"{rate:,.1f} {unit}"
    name, factor = _size(rate)
    return f"{rate / factor:,.1f} {name}"


def _size(size: float) -> tuple[str, int]:
    """Return the unit in which a number of bytes is written, and its size."""
    return next(
        ((name, factor) for name, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)) if size >= factor),
        ("bytes", 1),
    )
