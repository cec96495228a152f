"""`jsonl:PATH`: a file with one JSON object on each line, which may be compressed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rawless.errors import UserError
from rawless.events.file_format import check_line_ends, check_text
from rawless.events.json_object import json_object
from rawless.events.lines import BOM, LineReader, check_readable
from rawless.events.source import Scheme, SourceOptions
from rawless.privacy import Raw


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
        head = check_text(self.path, "--source", "JSON Lines")
        first, _, rest = head.removeprefix(BOM).lstrip().partition(b"\n")
        if first.startswith(b"["):
            raise UserError(
                f"--source names {self.path}, but that is a JSON array: write each event on a line, as in "
                "`jq -c '.[]'`."
            )
        if first.strip() == b"{" and rest:
            raise UserError(
                f"--source names {self.path}, but its JSON objects are on several lines each: write each event on a "
                "line, as in `jq -c .`."
            )
        check_line_ends(self.path, "--source", head)

    def reader(self) -> LineReader:
        """See `BoundedSource.reader`."""
        return LineReader(Path(self.path), line_limit(self.max_bytes), _fields)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return f"a file on this machine ({self.path})"


def line_limit(max_bytes: int) -> int:
    """Return the longest line that is parsed, in bytes: JSON may write a byte as six, and ids need room."""
    return max(6 * max_bytes + (1 << 16), 1 << 24)


def _fields(line: bytes) -> Raw[Mapping[str, object]]:
    return Raw(json_object(line))


def _open(location: str, options: SourceOptions) -> JsonlSource:
    return JsonlSource(str(Path(location).absolute()), options.max_bytes)


SCHEME = Scheme("jsonl", "jsonl:PATH", _open)
