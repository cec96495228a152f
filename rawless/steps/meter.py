"""`Meter`: where a step records what it does."""

from typing import Protocol

from rawless.metering import table
from rawless.metering.labels import ENCODER
from rawless.metering.metric import Count, Distribution, Metric

READ, DROPPED = table.READ.name, table.DROPPED_ATTRIBUTES.name
"""Counters of deliveries, and of attributes and fields that no stream allows."""
EMBEDDINGS = table.EMBEDDINGS.name
"""The counter of rows that were written."""
PREDICTIONS, ABSTAINED = table.PREDICTIONS.name, table.ABSTAINED.name
"""Counters of rows of predictions that were written, and of the abstentions among them."""
UNCHANGED, NEW = table.CONTENT_UNCHANGED.name, table.CONTENT_NEW.name
"""Counters of a stream that remembers contents: events that need not be encoded, and the others."""
FETCH, FETCHED_BYTES = table.FETCH.name, table.FETCHED_BYTES.name
"""Distributions of how long the objects of an event took to read, and of their size."""
LAG = table.LAG.name
"""The distribution of how late events are encoded."""
_COUNTS = {each.name: each for each in table.METRICS if isinstance(each, Count)}
_DISTRIBUTIONS = {each.name: each for each in table.METRICS if isinstance(each, Distribution)}


class Meter(Protocol):
    """Counts, and distributions of measured values. `encoder` is a reference (name@version); None means of the job.

    A name is one of `rawless.metering.table`, followed by the values of its other labels, each after a dot. Names and
    references are all that a meter is given beside numbers: nothing of an event.
    """

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        """Add a value to a distribution. Names end with the unit."""


class NoMeter:
    """A meter that records nothing."""

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """See `Meter.count`."""

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        """See `Meter.observe`."""


class ProcessMeter:
    """Records for Prometheus what the steps of this process do."""

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """See `Meter.count`."""
        name, *values = name.split(".")
        metric = _COUNTS[name]
        metric.expose(amount, *_labels(metric, encoder, values))

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        """See `Meter.observe`."""
        name, *values = name.split(".")
        metric = _DISTRIBUTIONS[name]
        metric.expose(value, *_labels(metric, encoder, values))


def _labels(metric: Metric, encoder: str | None, values: list[str]) -> list[str]:
    return [encoder or "", *values] if ENCODER in metric.labels else values
