"""A folder with the packages of an image, as links to those that are installed here."""

from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

_DEEPEST = 5
"""Folders that packages share are not deeper."""


def link_packages(names: set[str], site: Path, folder: Path) -> None:
    """Link what the packages with some names have in `site`, and nothing of others, into a folder.

    Several packages share a folder such as `google`; one of which all are wanted is linked as a whole.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for found in distributions(path=[str(site)]):
        for place in _places(found.read_text("RECORD") or ""):
            owners[place].add(canonicalize_name(found.metadata["Name"]))
    folder.mkdir()
    linked: set[str] = set()
    for place in sorted(owners, key=lambda each: each.count("/")):
        above = place.rpartition("/")[0]
        if above in linked:
            linked.add(place)
        elif owners[place] <= names:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).symlink_to(site / place)
            linked.add(place)


def _places(record: str) -> set[str]:
    """Return the files of a package and the folders above them, without the deepest."""
    found = set()
    for line in record.splitlines():
        parts = line.split(",", 1)[0].split("/")
        if ".." not in parts:
            found.update("/".join(parts[:depth]) for depth in range(1, min(len(parts), _DEEPEST) + 1))
    return found
