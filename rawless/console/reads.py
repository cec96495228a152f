"""Reading the parts of pages: each at most once a minute, whatever happens to the others, with what it was billed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from rawless.datasets.metered import metered
from rawless.errors import RawlessError, Unavailable
from rawless.warehouse.client import Warehouse

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
FRESH_SECONDS = 60.0
"""For how long a part is shown again without being read."""
FAILED_SECONDS = 5.0
"""For how long a failure is, so that one page does not wait for the same part again and again."""
RETRY_SECONDS = 10.0
"""For how long a part of a page waits for a warehouse that does not answer."""
WINDOWS = (7, 30, 90, 365)
"""The numbers of days that a page can show."""
DEFAULT_DAYS = 30
_UNAVAILABLE = (
    "BigQuery does not answer: reload the page, or start the console again if the local servers were started again."
)
_AT_A_TIME = 8
"""Statements that run at the same time."""


@dataclass(frozen=True)
class Window:
    """The days that a page shows: whole days in UTC, of which today is the last."""

    days: int
    start_at: datetime
    end_at: datetime
    """Exclusive."""

    @property
    def dates(self) -> list[datetime]:
        """The start of each day, the first first."""
        return [self.start_at + timedelta(days=number) for number in range(self.days)]


def window(days: int, now: datetime) -> Window:
    """Return the window of so many days that ends with the day of `now`."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(days, today - timedelta(days=days - 1), today + timedelta(days=1))


@dataclass(frozen=True)
class Part(Generic[T_co]):
    """A part of a page: its value, or one sentence why it could not be read."""

    value: T_co
    problem: str | None
    read_at: datetime
    billed_bytes: int
    """What BigQuery billed for it; the local BigQuery bills nothing."""


class Reads:
    """Reads parts from a warehouse, and remembers each for a minute."""

    def __init__(self, warehouse: Warehouse, clock: Callable[[], float] = time.monotonic) -> None:
        self._warehouse = replace(warehouse, retry_seconds=RETRY_SECONDS)
        self._clock = clock
        self._known: dict[str, tuple[float, Part[Any]]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_A_TIME)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse, for its names."""
        return self._warehouse

    def start(
        self, read: Callable[Concatenate["Reads", P], Part[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[Part[T]]:
        """Call a function that reads a part in another thread, so that a page waits for the slowest part only.

        Whoever calls the same function afterwards waits for that part, or gets it.
        """
        return self._pool.submit(read, self, *args, **kwargs)

    def part(self, key: str, read: Callable[[Warehouse], T], otherwise: T) -> Part[T]:
        """Return what `read` returns, or returned in the last minute; `otherwise` with a sentence if it fails.

        Requests for a part that is being read wait for it.
        """
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            until, known = self._known.get(key, (0.0, None))
            if known is not None and self._clock() < until:
                return known
            part = self._read(read, otherwise)
            self._remember(key, part, FAILED_SECONDS if part.problem else FRESH_SECONDS)
            return part

    def _remember(self, key: str, part: Part[Any], seconds: float) -> None:
        now = self._clock()
        with self._lock:
            kept = {each: known for each, known in self._known.items() if now < known[0]}
            self._known = {**kept, key: (now + seconds, part)}

    def _read(self, read: Callable[[Warehouse], T], otherwise: T) -> Part[T]:
        now, counted = datetime.now(UTC), metered(self._warehouse, None)
        try:
            vars(counted)["client"] = self._warehouse.client  # one connection for all parts
            value, problem = read(counted), None
        except Unavailable:
            value, problem = otherwise, _UNAVAILABLE
        except RawlessError as error:
            value, problem = otherwise, str(error)
        except Exception as error:  # noqa: BLE001 - one part must not break the others, and its text may quote a row
            value, problem = otherwise, f"This part could not be made ({type(error).__name__}); please report it."
        return Part(value, problem, now, counted.meter.bytes)
