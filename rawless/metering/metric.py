"""Kinds of metrics. All are of the process and thread-safe, and to record a value takes about a microsecond."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rawless.metering.labels import ENCODER, Label

PREFIX = "rawless_"
SAMPLE_SECONDS = 1.0
"""How often the levels of a process are sampled for a runner that knows counts and distributions only."""
_MAX_UNSENT = 10_000
"""Values that are kept for a job's runner until a bundle ends."""
_UNITS = {"_seconds": ("_milliseconds", 1000), "_ratio": ("_percent", 100)}
"""Units of Prometheus, and what they are where values are whole numbers."""
T = TypeVar("T")
_Values = tuple[str, ...]

disable_created_metrics()  # type: ignore[no-untyped-call] # a series of its own for each, which nobody reads
registry = CollectorRegistry()
"""Everything that this process exposes to Prometheus."""
ProcessCollector(registry=registry)


class Metric:
    """A metric. `name` is that of Prometheus without prefix and suffix; it ends with the unit."""

    kind: ClassVar[str]

    def __init__(self, name: str, help: str, *labels: Label) -> None:
        self.name, self.help, self.labels = name, help, labels

    @property
    def exposed_name(self) -> str:
        """The name in Prometheus."""
        return f"{PREFIX}{self.name}"

    def checked(self, values: _Values) -> _Values:
        """Return values of the labels, in order."""
        return tuple(label.checked(value) for label, value in zip(self.labels, values, strict=True))


class Count(Metric):
    """A number of events that only rises."""

    kind = "counter"

    def __init__(self, name: str, help: str, *labels: Label) -> None:
        super().__init__(name, help, *labels)
        self._counter = Counter(self.exposed_name, help, [label.name for label in labels], registry=registry)
        self._children: dict[_Values, Counter] = {}

    @property
    def exposed_name(self) -> str:
        """See `Metric.exposed_name`."""
        return f"{super().exposed_name}_total"

    def add(self, amount: int, *values: str) -> None:
        """Add to the counter, and keep the amount for the runner of a job."""
        self.expose(amount, *values)
        _keep(self, values, amount)

    def expose(self, amount: int, *values: str) -> None:
        """Add to the counter that Prometheus reads: a step gives the amount to its runner itself."""
        child = self._children.get(values)
        if child is None:
            checked = self.checked(values)
            child = self._children[checked] = self._counter.labels(*checked) if checked else self._counter
        child.inc(amount)


class Distribution(Metric):
    """Measured values."""

    kind = "histogram"

    def __init__(self, name: str, help: str, buckets: Iterable[float], *labels: Label) -> None:
        super().__init__(name, help, *labels)
        names = [label.name for label in labels]
        self._histogram = Histogram(self.exposed_name, help, names, buckets=tuple(buckets), registry=registry)
        self._children: dict[_Values, Histogram] = {}

    def observe(self, value: float, *values: str) -> None:
        """Record a value, and keep it for the runner of a job."""
        self.expose(value, *values)
        _keep(self, values, value)

    def expose(self, value: float, *values: str) -> None:
        """Record a value for Prometheus: a step gives it to its runner itself."""
        child = self._children.get(values)
        if child is None:
            checked = self.checked(values)
            child = self._children[checked] = self._histogram.labels(*checked) if checked else self._histogram
        child.observe(value)

    def total(self, *values: str) -> tuple[float, int]:
        """Return the sum and the number of all values of this process."""
        labels = dict(zip((label.name for label in self.labels), values, strict=True))
        amount, number = (registry.get_sample_value(f"{self.exposed_name}_{of}", labels) for of in ("sum", "count"))
        return amount or 0.0, int(number or 0)


class Level(Metric):
    """A value that rises and falls. It is read when it is asked for, so what it is read from pays nothing for it."""

    kind = "gauge"

    def __init__(self, name: str, help: str, *labels: Label, combine: Callable[[Iterable[float]], float] = sum) -> None:
        super().__init__(name, help, *labels)
        self._combine = combine
        self._sources: dict[_Values, WeakKeyDictionary[Any, Callable[[Any], float]]] = {}
        self._changing = threading.Lock()
        registry.register(_LevelCollector(self))

    def watch(self, owner: T, read: Callable[[T], float], *values: str) -> None:
        """Read the level of `owner`, which must not be a part of `read`, for as long as it exists."""
        with self._changing:
            self._sources.setdefault(self.checked(values), WeakKeyDictionary())[owner] = read

    def values(self) -> dict[_Values, float]:
        """Return the level of all owners together, by the values of the labels."""
        with self._changing:
            sources = {values: list(readers.items()) for values, readers in self._sources.items()}
        read = {values: list(_read_all(readers)) for values, readers in sources.items()}
        return {values: self._combine(levels) for values, levels in read.items() if levels}


def _read_all(readers: Iterable[tuple[Any, Callable[[Any], float]]]) -> Iterator[float]:
    for owner, read in readers:
        try:
            yield read(owner)
        except Exception:  # noqa: BLE001, S112 - what cannot be read, as on a broken GPU, must not hide the rest
            continue


def age_of_oldest(times: Sequence[float]) -> float:
    """Return how many seconds ago the earliest of times of the monotonic clock was, 0 if there is none."""
    return time.monotonic() - min(times) if times else 0.0


class _LevelCollector(Collector):
    def __init__(self, level: Level) -> None:
        self._level = level

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        for values, level in self._level.values().items():
            family.add_metric(values, level)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            self._level.exposed_name, self._level.help, labels=[label.name for label in self._level.labels]
        )


class Value(NamedTuple):
    """A value for the runner of a job, which has counters and distributions of whole numbers."""

    name: str
    encoder: str | None
    amount: int
    is_count: bool


class _Unsent:
    """The values of this process that no bundle has taken yet."""

    def __init__(self) -> None:
        self.is_kept = False
        self.values: deque[tuple[Metric, _Values, float]] = deque(maxlen=_MAX_UNSENT)
        self.taking = threading.Lock()
        self.sampled_at = 0.0
        self.left: dict[tuple[str, str | None], float] = {}
        """What rounding has left of the values of each name and encoder, which the next one gets."""

    def taken(self, metric: Metric, values: _Values, amount: float) -> Value:
        """Return a value for the runner. An encoder is no part of the name, since it has a namespace."""
        labels = dict(zip((label.name for label in metric.labels), metric.checked(values), strict=True))
        encoder = labels.pop(ENCODER.name, "") or None
        name, exact = in_smaller_unit(metric.name, amount)
        key = (".".join([name, *labels.values()]), encoder)
        exact += self.left.get(key, 0.0)
        self.left[key] = exact - round(exact)
        return Value(*key, round(exact), isinstance(metric, Count))


_unsent = _Unsent()


def keep_for_runner() -> bool:
    """Keep values from now on, for `take`. Returns whether this is the first call in this process."""
    is_first, _unsent.is_kept = not _unsent.is_kept, True
    return is_first


def take(levels: Sequence[Level] = ()) -> list[Value]:
    """Return what was recorded since the last call, by any thread; and once a second, the levels.

    Values are rounded so that their sum is exact, since a text takes less than a millisecond.
    """
    with _unsent.taking:
        now = time.monotonic()
        taken = []
        if levels and now - _unsent.sampled_at >= SAMPLE_SECONDS:
            _unsent.sampled_at = now
            taken = [_unsent.taken(level, *each) for level in levels for each in level.values().items()]
        with suppress(IndexError):
            while True:
                taken.append(_unsent.taken(*_unsent.values.popleft()))
        return taken


def in_smaller_unit(name: str, amount: float = 0.0) -> tuple[str, float]:
    """Return a name and a value as milliseconds or percent if they are of seconds or a share."""
    for unit, (smaller, factor) in _UNITS.items():
        if name.endswith(unit):
            return name.removesuffix(unit) + smaller, amount * factor
    return name, amount


def _keep(metric: Metric, values: _Values, amount: float) -> None:
    if _unsent.is_kept:
        _unsent.values.append((metric, values, amount))
