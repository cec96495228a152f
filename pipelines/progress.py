"""How far the jobs of this process are, for a line of progress: Beam's own metrics tell it only at the end."""

from collections import Counter

_counts: dict[str, Counter[str]] = {}


def add(stream: str, what: str, number: int = 1) -> None:
    """More events of a stream that were `read`, or rows of `embeddings` or `rejections` that were written."""
    _counts.setdefault(stream, Counter())[what] += number


def counts(stream: str) -> Counter[str]:
    """The counts of a stream so far."""
    return _counts.get(stream, Counter())


def told(stream: str) -> str:
    """The counts of a stream so far, in words."""
    seen = counts(stream)
    if not seen:
        return "getting ready"
    rejected = f", {seen['rejections']:,} rejected" if seen["rejections"] else ""
    return f"{seen['read']:,} read, {seen['embeddings']:,} embeddings written{rejected}"
