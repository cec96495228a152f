"""`Idleness`: for how long nothing has been in progress, now and in total."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Idleness:
    """A clock that runs while no thread works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working = 0
        self._since = time.monotonic()
        self._before = 0.0

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Let the clock rest within the block."""
        with self._lock:
            if not self._working:
                self._before += time.monotonic() - self._since
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                self._since = time.monotonic()

    def restart(self) -> None:
        """Let the idle time begin now, if nothing is in progress."""
        with self._lock:
            self._since = time.monotonic()

    @property
    def current(self) -> float:
        """Seconds since anything was in progress; zero while something is."""
        with self._lock:
            return 0.0 if self._working else time.monotonic() - self._since

    @property
    def total(self) -> float:
        """Seconds in which nothing was in progress."""
        with self._lock:
            return self._before + (0.0 if self._working else time.monotonic() - self._since)
