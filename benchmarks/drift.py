"""Simulate days without a change, and with planted ones: how often `rawless drift` is wrong, and what it finds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.figures import Figure, figure
from rawless.lifecycle.drift.compare import Reference, Window
from rawless.lifecycle.drift.frame import Array
from rawless.lifecycle.drift.windows import REFERENCE_SAMPLE, WINDOW_SAMPLE

DIMENSION, CLUSTERS, DAILY, DAYS = 64, 20, 1_000, 28
UNCHANGED_DAYS, HABIT_DAYS, CHANGED_DAYS = 200, 100, 20
_START = datetime(2026, 1, 5, tzinfo=UTC)
Change = Callable[[Array], Array]


class Stream:
    """Draws the days of a stream: clusters that are longer in some directions than in others."""

    def __init__(self, habit: float = 0.0) -> None:
        self.chance = np.random.default_rng(0)
        lengths = np.linspace(0.45, 0.015, DIMENSION)
        self._shape = self.chance.standard_normal((DIMENSION, DIMENSION)) * lengths
        self._centres = self.chance.standard_normal((CLUSTERS, DIMENSION))
        self._habit = habit
        self._number = 0

    def rows(self, count: int, weights: Array | None = None) -> Array:
        """Return vectors of so many rows."""
        chosen = self.chance.choice(CLUSTERS, count, p=weights)
        noise: Array = self.chance.standard_normal((count, DIMENSION)) @ self._shape.T
        return self._centres[chosen] + noise

    def day(self, sample: float, change: Change | None = None, rejected: float = 0.02, rows: int = DAILY) -> Window:
        """Return the next day; with a habit its clusters are mixed otherwise each day, and at the weekend once more."""
        start = _START + timedelta(days=self._number)
        self._number += 1
        weights = np.exp(self._habit * self.chance.standard_normal(CLUSTERS))
        if self._habit and start.weekday() >= 5:
            weights[:5] *= 1.5
            rows = int(0.6 * rows)
        vectors = self.rows(self.chance.poisson(rows), weights / weights.sum())
        if change is not None:
            vectors = change(vectors)
        norms = np.linalg.norm(vectors, axis=1)
        count = self.chance.binomial(len(vectors), rejected)
        empty = self.chance.binomial(count, 0.7)
        return Window(
            start, start + timedelta(days=1), len(vectors), vectors.mean(0), float(norms.mean()),
            float((norms**2).mean()), vectors[self.chance.random(len(vectors)) < sample / len(vectors)],
            {"empty_text": int(empty), "invalid_utf8": int(count - empty)},
        )  # fmt: skip

    def reference(self) -> Reference:
        """Return the reference of the next four weeks."""
        return Reference([self.day(REFERENCE_SAMPLE / DAYS) for _ in range(DAYS)])


def measure(_: int) -> list[Figure]:
    """Days with an alarm among those without a change, and the share of changed days that were found."""
    stream, habitual = Stream(), Stream(habit=0.2)
    reference, usual = stream.reference(), habitual.reference()
    figures = [
        _false_alarms("no change", stream, reference, UNCHANGED_DAYS, "<= 4"),
        _false_alarms("no change, days and weekends differ", habitual, usual, HABIT_DAYS, "<= 2"),
    ]
    for name, change, rejected in _changes(stream):
        days = [stream.day(WINDOW_SAMPLE, change, rejected) for _ in range(CHANGED_DAYS)]
        found = sum(_has_alarm(reference, day) for day in days) / CHANGED_DAYS
        figures.append(figure("drift", name, f"found, of {CHANGED_DAYS} days", [found], "share", ">= 0.9"))
    return figures


def _false_alarms(name: str, stream: Stream, reference: Reference, days: int, bound: str) -> Figure:
    alarms = sum(_has_alarm(reference, stream.day(WINDOW_SAMPLE)) for _ in range(days))
    return figure("drift", name, f"false alarms in {days} days", [alarms], "days", bound)


def _has_alarm(reference: Reference, day: Window) -> bool:
    return any(finding.is_alarm for finding in reference.compare(day))


def _changes(stream: Stream) -> list[tuple[str, Change | None, float]]:
    """Return planted changes with the share of rejected deliveries."""
    values, directions = np.linalg.eigh(np.cov(stream.rows(5_000).T))
    middle = 0.5 * np.sqrt(values[DIMENSION // 2]) * directions[:, DIMENSION // 2]
    first = 0.5 * np.sqrt(values[-1]) * directions[:, -1]
    centre = stream.chance.standard_normal(DIMENSION)
    turned, _ = np.linalg.qr(stream.chance.standard_normal((DIMENSION, DIMENSION)))

    def with_cluster(vectors: Array) -> Array:
        new = stream.chance.random(len(vectors)) < 0.1
        return np.where(new[:, None], stream.rows(len(vectors)) * 0.3 + centre, vectors)

    return [
        ("mean shifted by 0.5 sd, first direction", lambda vectors: vectors + first, 0.02),
        ("mean shifted by 0.5 sd, a middle direction", lambda vectors: vectors + middle, 0.02),
        ("a new cluster of 10%", with_cluster, 0.02),
        (
            "a quarter of each vector is another's, as by another preprocessing",
            lambda v: 0.75 * v + 0.25 * v @ turned,
            0.02,
        ),
        ("twice as many rejections, 4% after 2%", None, 0.04),
    ]
