"""Garbage collection in processes that run for long."""

import gc
from functools import lru_cache


@lru_cache(maxsize=1)
def exempt_loaded() -> None:
    """Exempt everything that exists now from all later collections: call it once a process has loaded its encoders.

    The libraries of an encoder consist of more than a million objects that live as long as the process. Each full
    collection looked at all of them, for a third of a second in which no other thread ran (`python -m benchmarks
    worker` has the p99).
    """
    gc.collect()
    gc.freeze()
