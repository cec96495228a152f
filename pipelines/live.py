"""How far the jobs of this process are, for a line of progress: Beam's own metrics tell it only at the end."""

from collections import Counter

_counts: Counter[str] = Counter()


def add(what: str) -> None:
    """One more event that was `read`, or row of `embeddings`."""
    _counts[what] += 1


def told() -> str:
    """The counts so far, in words."""
    return f"{_counts['read']:,} read, {_counts['embeddings']:,} embeddings written" if _counts else "getting ready"
