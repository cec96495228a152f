"""Comparing one window with a reference: the value of each metric, and the threshold above which it is an alarm.

A threshold is the largest of three values: the metric's floor, below which a change is too small to matter; the value
that permuting the rows of both sides exceeds with the probability `ALPHA` / number of metrics (Bonferroni); and the
upper prediction limit, at the same probability, of the reference's own windows, each compared with the others, so that
the habits of a stream, such as its weekends, are no alarms.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from scipy.stats import hypergeom, t

from rawless.errors import UserError
from rawless.lifecycle.drift.frame import Array, Frame, learn_frame
from rawless.lifecycle.drift.metrics import METRICS, OF_EMBEDDINGS, Side, permuted, psi, statistics

ALPHA = 0.01
"""The probability that a window without any change has an alarm."""
DRAWS = 2_000
MIN_ROWS, MIN_REFERENCE_ROWS, MIN_REJECTIONS, MIN_WINDOWS = 30, 200, 20, 5
"""With fewer rows, rejections or windows nothing is said of embeddings, reasons or habits."""
_OF_ALL_ROWS = ("mean_shift", "norm_mean", "norm_spread")
"""Metrics of sums over all rows; those of the other metrics of embeddings are over a sample."""
_SHARES = ("far_share",)
"""Metrics whose deviation decreases with the root of the number of rows; those of the others with the number."""


@dataclass(frozen=True)
class Window:
    """What is known of one window of a stream."""

    start_at: datetime
    end_at: datetime
    row_count: int
    mean: Array
    """The mean vector of all rows."""
    norm: float
    """The mean norm of all rows."""
    squared_norm: float
    sample: Array
    """Vectors of some of the rows, of shape (n, dimension)."""
    rejected: Mapping[str, int]
    """Rejected deliveries by reason."""

    @property
    def rejections(self) -> int:
        """The number of rejected deliveries."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class Finding:
    """One metric of one window."""

    metric: str
    value: float
    threshold: float
    p_value: float | None
    """By permutation, before the correction for several metrics; None for the volume, which has no rows to permute."""

    @property
    def is_alarm(self) -> bool:
        """Whether the value is above its threshold."""
        return self.value > self.threshold


class Reference:
    """Windows that others are compared with."""

    def __init__(self, windows: Sequence[Window], seed: int = 0) -> None:
        self.windows = tuple(windows)
        self.row_count = sum(each.row_count for each in windows)
        self._seed = seed
        sampled = [each for each in windows if len(each.sample)]
        rows = sum(len(each.sample) for each in sampled)
        if rows < MIN_REFERENCE_ROWS:
            raise UserError(
                f"The reference has {self.row_count:,} rows, but at least {MIN_REFERENCE_ROWS} are needed: choose a "
                "longer one by --reference START..END."
            )
        # Every third row of all windows, which may have a single row each.
        starts = np.cumsum([0, *(len(each.sample) for each in sampled)])
        thirds = [np.s_[-start % 3 :: 3] for start in starts[:-1].tolist()]
        third = [each.sample[part] for each, part in zip(sampled, thirds, strict=True)]
        learned = learn_frame(np.concatenate(third), seed)
        kept = [np.delete(each.sample, part, axis=0) for each, part in zip(sampled, thirds, strict=True)]
        self.frame: Frame = learned.with_far_distance(np.concatenate(kept))
        self._columns = self.frame.columns(np.concatenate(kept))
        self._sizes = [len(each) for each in kept]
        self._sampled = sampled

    def compare(self, window: Window) -> list[Finding]:
        """Return a finding of each metric that the window has enough rows for."""
        found = [*self._embeddings(window), *self._rejections(window), *self._volume(window)]
        return sorted(found, key=lambda each: list(METRICS).index(each.metric))

    def _embeddings(self, window: Window) -> list[Finding]:
        size = len(window.sample)
        if size < MIN_ROWS:
            return []
        columns = self.frame.columns(window.sample)
        own = Side(columns.mean(0, dtype=np.float64), size)
        others = Side(self._columns.mean(0, dtype=np.float64), len(self._columns))
        measured = statistics(self.frame, own, others)
        of_all, all_others = self._side([window]), self._side(self.windows)
        measured |= {
            code: each for code, each in statistics(self.frame, of_all, all_others).items() if code in _OF_ALL_ROWS
        }
        chance = statistics(self.frame, *permuted(np.concatenate([columns, self._columns]), size, DRAWS, self._seed))
        noises = {"sample": 1 / size + 1 / len(self._columns), "all": 1 / of_all.rows + 1 / all_others.rows}
        findings = []
        for code in OF_EMBEDDINGS:
            drawn, statistic = np.sort(chance[code]), float(measured[code])
            kind = _kind(code)
            if kind == "all":  # these are squared differences of means, whose distribution scales with the noise
                drawn *= noises["all"] / noises["sample"]
            critical = float(drawn[math.ceil((1 - _alpha()) * DRAWS)])
            habit = self._habit(code, float(drawn.std()), noises[kind])
            metric = METRICS[code]
            threshold = metric.value(max(metric.floor_statistic, critical, habit))
            at_least = int((drawn >= statistic).sum())
            findings.append(Finding(code, metric.value(statistic), threshold, (1 + at_least) / (1 + DRAWS)))
        return findings

    def _habit(self, code: str, deviation: float, noise: float) -> float:
        """Return the prediction limit of the reference's windows. `deviation` is that by chance at `noise`."""
        own, noises = self._own_statistics
        power = 0.5 if code in _SHARES else 1.0
        return _limit(own[code], deviation * (noises[_kind(code)] / noise) ** power, deviation)

    @cached_property
    def _own_statistics(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """The statistics of each window against all others, and how many rows each had: 1/rows + 1/others."""
        found: dict[str, list[float]] = {code: [] for code in OF_EMBEDDINGS}
        noises: dict[str, list[float]] = {"all": [], "sample": []}
        ends = np.cumsum(self._sizes)
        total = self._columns.sum(0, dtype=np.float64)
        for number, (window, size, end) in enumerate(zip(self._sampled, self._sizes, ends, strict=True)):
            left = len(self._columns) - size
            if size < 2 or not left:
                continue
            own = self._columns[end - size : end].sum(0, dtype=np.float64)
            sides = Side(own / size, size), Side((total - own) / left, left)
            rest = [each for each in self._sampled if each is not self._sampled[number]]
            whole = self._side([window]), self._side(rest)
            values = statistics(self.frame, *sides)
            values |= {code: each for code, each in statistics(self.frame, *whole).items() if code in _OF_ALL_ROWS}
            for code in OF_EMBEDDINGS:
                found[code].append(float(values[code]))
            noises["sample"].append(1 / size + 1 / left)
            noises["all"].append(1 / whole[0].rows + 1 / whole[1].rows)
        return _arrays(found), _arrays(noises)

    def _side(self, windows: Sequence[Window]) -> Side:
        """Return the means over all rows of windows, where they are known; those of the sample's columns are 0."""
        kept = [each for each in windows if each.row_count]
        counts = np.array([each.row_count for each in kept], float)
        rows = float(counts.sum())
        mean, norm, square = (
            np.average(np.array([getattr(each, name) for each in kept]), axis=0, weights=counts)
            for name in ("mean", "norm", "squared_norm")
        )
        frame = self.frame
        means = np.zeros(self._columns.shape[1])
        means[: frame.dimension] = frame.whiten(mean)
        at = frame.dimension + frame.edges.size + len(frame.edges) + 1  # the columns of norms follow bins and far
        means[at] = (norm - frame.norm_mean) / frame.norm_scale
        means[at + 1] = (square - 2 * frame.norm_mean * norm + frame.norm_mean**2) / frame.norm_scale**2
        return Side(means, rows)

    def _rejections(self, window: Window) -> list[Finding]:
        total, rejected = window.row_count + window.rejections, window.rejections
        before = Counter[str]()
        for each in self.windows:
            before.update(each.rejected)
        base, base_total = before.total(), before.total() + self.row_count
        if total < MIN_ROWS:
            return []
        share = base / base_total
        metric = METRICS["rejection_share"]
        drawn = hypergeom(total + base_total, rejected + base, total)  # exactly what permuting deliveries results in
        own = [(each.rejections, each.rejections + each.row_count) for each in self.windows]
        shares = np.array([one / of for one, of in own if of])
        deviation = np.sqrt(max(share, 1 / base_total) * (1 - share))
        habit = _limit(shares, deviation / np.sqrt([of for _, of in own if of]), deviation / math.sqrt(total))
        critical = float(drawn.ppf(1 - _alpha())) / total
        threshold = max(metric.floor, 1.5 * share, critical, habit)
        findings = [Finding(metric.code, rejected / total, threshold, float(drawn.sf(rejected - 1)))]
        if min(rejected, base) >= MIN_REJECTIONS and len({*before, *window.rejected}) > 1:
            findings.append(self._mix(window.rejected, before))
        return findings

    def _mix(self, rejected: Mapping[str, int], before: Mapping[str, int]) -> Finding:
        reasons = sorted({*rejected, *before})
        own, base = (np.array([each.get(reason, 0) for reason in reasons]) for each in (rejected, before))
        chance = np.random.default_rng(self._seed)
        drawn = chance.multivariate_hypergeometric(own + base, int(own.sum()), size=DRAWS)
        one, other = float(own.sum()), float(base.sum())
        by_chance = np.sort(psi(drawn / one, (own + base - drawn) / other, one, other))
        statistic = float(psi(own / one, base / other, one, other))
        metric = METRICS["rejection_mix"]
        critical = float(by_chance[math.ceil((1 - _alpha()) * DRAWS)])
        p_value = (1 + int((by_chance >= statistic).sum())) / (1 + DRAWS)
        return Finding(metric.code, metric.value(statistic), max(metric.floor, critical), p_value)

    def _volume(self, window: Window) -> list[Finding]:
        """Compare with the same day of the week, where the reference has three, else with all windows."""
        if not all(each.row_count for each in self.windows) and not window.row_count:
            return []  # windows without rows are usual
        logs = np.log1p([each.row_count for each in self.windows])
        days = [each.start_at.weekday() for each in self.windows]
        is_daily = window.end_at - window.start_at == timedelta(days=1)

        def expected(day: int, without: int | None = None) -> float:
            others = [n for n in range(len(logs)) if n != without]
            alike = [n for n in others if is_daily and days[n] == day]
            return float(np.median(logs[alike if len(alike) >= 3 else others]))

        metric, threshold = METRICS["volume"], METRICS["volume"].floor
        if len(logs) >= MIN_WINDOWS:
            apart = np.array([abs(log - expected(day, n)) for n, (log, day) in enumerate(zip(logs, days, strict=True))])
            threshold = max(threshold, _limit(apart, np.zeros(len(apart)), 0.0))
        value = abs(math.log1p(window.row_count) - expected(window.start_at.weekday()))
        return [Finding(metric.code, value, threshold, None)]


def _kind(code: str) -> str:
    return "all" if code in _OF_ALL_ROWS else "sample"


def _alpha() -> float:
    return ALPHA / len(METRICS)


def _limit(values: Array, by_chance: Array, next_by_chance: float) -> float:
    """Return the upper prediction limit of the next value, whose deviation has a part by chance and one by habit."""
    count = len(values)
    if count < MIN_WINDOWS:
        return -math.inf
    habit = max(0.0, float(values.var(ddof=1)) - float((by_chance**2).mean()))
    deviation = math.sqrt(habit * (1 + 1 / count) + next_by_chance**2)
    return float(values.mean()) + float(t.ppf(1 - _alpha(), count - 1)) * deviation


def _arrays(lists: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    return {name: np.array(each) for name, each in lists.items()}
