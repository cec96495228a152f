"""Wait until jobs reach a state, with a limit."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rawless.deploy.jobs import Job, Jobs
from rawless.errors import RawlessError, Unavailable

INTERVAL_SECONDS = 5.0


class JobNotReady(RawlessError):
    """A job failed, or a command waited for it up to its limit. The sentence says how to go on."""


@dataclass(frozen=True)
class Patience:
    """How long a command waits, and how it says what it waits for."""

    seconds: float
    report: Callable[[str], object] = field(default=lambda _: None)
    """Called with a line before each wait."""
    interval: float = INTERVAL_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


def wait_for(
    jobs: Jobs,
    waiting: Sequence[Job],
    is_done: Callable[[Job], bool],
    patience: Patience,
    act: Callable[[Job], object] = lambda _: None,
) -> list[Job]:
    """Return the jobs as they are when `is_done` is true for each, or when the patience has ended.

    `act` is called with each job whenever it was looked at again. Dataflow may be unavailable meanwhile.
    """
    end = patience.clock() + patience.seconds
    latest = list(waiting)
    while not all(map(is_done, latest)) and (left := end - patience.clock()) > 0:
        patience.report(", ".join(f"{job.name} is {job.condition}" for job in latest))
        patience.sleep(min(patience.interval, left))
        for index, job in enumerate(latest):
            with suppress(Unavailable):
                latest[index] = jobs.find(job.job_id) or job
                act(latest[index])
    return latest
