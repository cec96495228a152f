"""`jsonl:PATH`: a file with one JSON object on each line, which may be compressed; or many, also in a bucket."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rawless.errors import UserError
from rawless.events.cloud_objects import SCHEME as CLOUD
from rawless.events.cloud_objects import parse_pattern
from rawless.events.file_format import check_line_ends, check_text, check_text_head
from rawless.events.file_set import FileSet
from rawless.events.find_files import has_wildcard
from rawless.events.json_object import json_object
from rawless.events.line_ranges import RangeReader, open_content
from rawless.events.lines import BOM, LineReader, check_readable
from rawless.events.source import Scheme, SourceOptions
from rawless.privacy import Raw

_WANTED = "JSON Lines"


@dataclass(frozen=True)
class JsonlSource:
    """A file of JSON lines."""

    is_bounded: ClassVar[Literal[True]] = True

    path: str
    max_bytes: int
    """The stream's limit on a payload in bytes, from which the limit on a line follows."""

    def check(self) -> None:
        """See `BoundedSource.check`."""
        check_readable(self.path, "--source")
        _check_head(check_text(self.path, "--source", _WANTED), self.path)

    def reader(self) -> LineReader:
        """See `BoundedSource.reader`."""
        return LineReader(Path(self.path), line_limit(self.max_bytes), _fields)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return f"a file on this machine ({self.path})"


@dataclass(frozen=True)
class JsonlFiles:
    """Files of JSON lines that a pattern names, on this machine or in a bucket."""

    is_bounded: ClassVar[Literal[True]] = True

    files: FileSet
    max_bytes: int
    """As of `JsonlSource`."""

    def check(self) -> None:
        """See `BoundedSource.check`. Only the first file is looked into; each other one is when it is read."""
        file = self.files.first("--source")
        with file.open() as stored:
            open_content(stored, file, _check)

    def reader(self) -> RangeReader:
        """See `BoundedSource.reader`."""
        return RangeReader(self.files, line_limit(self.max_bytes), _fields, _check)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return self.files.only_here()


def _check(head: bytes, where: str) -> None:
    check_text_head(head, where, "--source", _WANTED)
    _check_head(head, where)


def _check_head(head: bytes, where: str) -> None:
    """Raise UserError unless text with these first bytes can have a JSON object on each line."""
    first, _, rest = head.removeprefix(BOM).lstrip().partition(b"\n")
    if first.startswith(b"["):
        raise UserError(
            f"--source names {where}, but that is a JSON array: write each event on a line, as in `jq -c '.[]'`."
        )
    if first.strip() == b"{" and rest:
        raise UserError(
            f"--source names {where}, but its JSON objects are on several lines each: write each event on a line, as "
            "in `jq -c .`."
        )
    check_line_ends(where, "--source", head)


def line_limit(max_bytes: int) -> int:
    """Return the longest line that is parsed, in bytes: JSON may write a byte as six, and ids need room."""
    return max(6 * max_bytes + (1 << 16), 1 << 24)


def _fields(line: bytes) -> Raw[Mapping[str, object]]:
    return Raw(json_object(line))


def _open(location: str, options: SourceOptions) -> JsonlSource | JsonlFiles:
    if location.startswith(CLOUD):
        parse_pattern(location, "--source")
        return JsonlFiles(FileSet(location), options.max_bytes)
    path = str(Path(location).absolute())
    if has_wildcard(path) and not os.path.isfile(path):  # noqa: PTH113 - false for a path that is too long
        return JsonlFiles(FileSet(path), options.max_bytes)
    return JsonlSource(path, options.max_bytes)


SCHEME = Scheme("jsonl", "jsonl:PATH", _open)
