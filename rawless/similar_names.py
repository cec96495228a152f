"""Names that a user probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

SURE = 0.8
"""The similarity above which a name is a misspelling of another, and not just alike; `LIKELY` is difflib's own."""
LIKELY = 0.6


def similar(name: str, known: Iterable[str], cutoff: float = LIKELY) -> str | None:
    """Return the known name that is most similar to another, whatever its case; None if none is."""
    by_lower = {each.lower(): each for each in sorted(known, reverse=True)}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = LIKELY) -> str:
    """Return a clause that names the most similar known name, to follow what is unknown; empty if none is similar."""
    found = similar(name, known, cutoff)
    return f" (did you mean {found}?)" if found else ""
