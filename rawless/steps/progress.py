"""Counts of what the jobs of this process have done so far; Beam's own metrics are complete only at the end."""

import threading
from collections import Counter

_counts: dict[str, Counter[str]] = {}
_lock = threading.Lock()


def add(stream: str, kind: str, number: int = 1) -> None:
    """Count events of a stream that were `read`, their `bytes`, or rows of what was written.

    These are `embeddings`, `predictions` and `rejections`.
    """
    with _lock:
        _counts.setdefault(stream, Counter())[kind] += number


def counts(stream: str) -> Counter[str]:
    """Return the counts of a stream so far."""
    return _counts.get(stream, Counter())


def describe(stream: str) -> str:
    """Return the counts of a stream so far, in words."""
    seen = counts(stream)
    if not seen:
        return "starting"
    rejected = f", {seen['rejections']:,} rejected" if seen["rejections"] else ""
    kind = "predictions" if seen["predictions"] else "embeddings"
    return f"{seen['read']:,} read, {seen[kind]:,} {kind} written{rejected}"
