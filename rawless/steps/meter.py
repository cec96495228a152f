"""`Meter`: where a step records what it does."""

from typing import Protocol

READ, DROPPED = "read", "dropped_attributes"
"""Counters of deliveries, and of attributes and fields that no stream allows."""
EMBEDDINGS = "embeddings"
"""The counter of rows that were written."""
UNCHANGED, NEW = "content.unchanged", "content.new"
"""Counters of a stream that remembers contents: events that need not be encoded, and the others."""


class Meter(Protocol):
    """Counts, and distributions of measured values. `encoder` is a reference (name@version); None means of the job.

    Names and references are all that a meter is given beside numbers: nothing of an event.
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
