"""Find the files that match a pattern, without following links under `**`, however deep the folders are."""

import fnmatch
import glob
import os
import unicodedata
from collections.abc import Iterator, Sequence


def find_files(root: str, pattern: Sequence[str]) -> Iterator[str]:
    """Yield the paths, relative to `root`, of everything but folders that matches the parts of a shell pattern.

    `**` matches any number of folders except hidden ones; links to folders are followed only where a part of the
    pattern names them. Names match in their normal form too. Raises OSError if a folder cannot be listed.
    """
    waiting = [("", tuple(pattern))]
    while waiting:
        folder, (first, *rest) = waiting.pop()
        if first == "**" and rest:
            waiting.append((folder, tuple(rest)))
        with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118 - names in any encoding
            for entry in entries:
                name = f"{folder}{entry.name}"
                if not _part_matches(entry.name, first):
                    continue
                if first == "**" and entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{name}/", (first, *rest)))
                elif not os.path.isdir(entry.path):  # noqa: PTH112 - false for a loop of links
                    if not rest:
                        yield name
                elif first != "**" and rest:
                    waiting.append((f"{name}/", tuple(rest)))


def normal_form(name: str) -> str:
    """Return a name in the form in which it equals the same name on systems that store accents differently (NFC)."""
    return unicodedata.normalize("NFC", name)


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern contains `*`, `?` or `[`."""
    return glob.has_magic(pattern)


def matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, as `find_files` matches them."""
    if not pattern:
        return not path
    if pattern[0] == "**" and len(pattern) > 1 and matches(path, pattern[1:]):
        return True
    if not path or not _part_matches(path[0], pattern[0]):
        return False
    return matches(path[1:], pattern if pattern[0] == "**" and len(path) > 1 else pattern[1:])


def _part_matches(name: str, part: str) -> bool:
    if name.startswith(".") and not part.startswith("."):
        return False
    if part == "**" or fnmatch.fnmatchcase(name, part):
        return True
    return not (name.isascii() and part.isascii()) and fnmatch.fnmatchcase(normal_form(name), normal_form(part))
