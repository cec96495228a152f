"""The names that values have as classes of a label, which are letters, digits, `_`, `.` and `-`."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

MAX_CLASSES = 1000
"""More different values are no label that a file would list by hand."""
_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 64
_LONG_NUMBER = re.compile(r"\d{5}")


def class_names(values: Iterable[str]) -> Mapping[str, str]:
    """Return the name of each value as a class: accents are left out, and other characters become `_`.

    There are none if the values are too few or too many, if one has no name or a long one, or looks like a customer's
    number, or if two have the same name.
    """
    distinct = sorted(set(values))
    if not 2 <= len(distinct) <= MAX_CLASSES:
        return {}
    names = {value: _name(value) for value in distinct}
    fits = all(name and len(name) <= _LONGEST and not _LONG_NUMBER.search(name) for name in names.values())
    return names if fits and len({*names.values()}) == len(names) else {}


def _name(value: str) -> str:
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    return _OTHER.sub("_", plain).strip("_")
