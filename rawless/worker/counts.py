"""`Counts`: what the steps of a worker have counted since it started, which is also what Prometheus reads."""

import threading
from collections import Counter

from rawless.steps.meter import ProcessMeter


class Counts(ProcessMeter):
    """A `Meter` for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str | None, Counter[str]] = {}

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """See `Meter.count`."""
        super().count(name, amount, encoder)
        with self._lock:
            self._counters.setdefault(encoder, Counter())[name] += amount

    def all(self) -> dict[str | None, Counter[str]]:
        """Return the counters so far, of the job (None) and of each encoder."""
        with self._lock:
            return {encoder: Counter(counters) for encoder, counters in self._counters.items()}
