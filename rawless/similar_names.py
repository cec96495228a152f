"""Names that a user probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to another, whatever its case; None if none is."""
    by_lower = {each.lower(): each for each in sorted(known, reverse=True)}
    matches = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a clause that names the most similar known name, to follow what is unknown; empty if none is similar."""
    found = similar(name, known)
    return f" (did you mean {found}?)" if found else ""
