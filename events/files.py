"""`files:GLOB`: one event a file, what is known of it in a CSV. Every row and every file is accounted for."""

import csv
import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from events import lines
from events.event import Delivery
from events.jsonl import check_readable
from events.lines import Shard
from events.objects import Place, read_file
from privacy import Raw, Reason, Rejected, UserError, guarded

_NEEDED = ("file", "event_id", "occurred_at")
_OWN = {*_NEEDED, "subject_id"}
_LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The shard of all files that no row names."""


@dataclass(frozen=True)
class FilesSource:
    """Files, and a CSV with the columns file, event_id, occurred_at, subject_id and the stream's attributes.

    `file` is the path from the folder in which the pattern's first wildcard stands. A row whose file the pattern does
    not match is payload_missing; a file that no row names is missing_event_id, its place in the order of such files
    the message id. File names go nowhere.
    """

    pattern: str
    metadata: str
    stream: str
    max_bytes: int
    subject: str

    def __getstate__(self) -> dict[str, Any]:
        # Not the names: they are the producer's, and this travels in the job.
        return {name: getattr(self, name) for name in ("pattern", "metadata", "stream", "max_bytes", "subject")}

    def check(self) -> None:
        """See `Source.check`."""
        check_readable(self.metadata, "--metadata")
        columns = self._columns
        wanted = (*_NEEDED, "subject_id") if self.subject == "required" else _NEEDED
        if missing := [name for name in wanted if name not in columns]:
            raise UserError(f"--metadata names {self.metadata}, but its first line has no column {missing[0]}: add it.")
        if twice := [name for name in columns if columns.count(name) > 1]:
            raise UserError(f"--metadata names {self.metadata}, but it has the column {twice[0]} twice: rename one.")
        if not self._names:
            raise UserError(f"--source names files:{self.pattern}, but that matches no file: check the pattern.")

    def shards(self) -> Iterator[Shard | Unlisted]:
        """See `Source.shards`."""
        yield from lines.shards(Path(self.metadata))
        yield Unlisted()

    def read(self, shard: Shard | Unlisted) -> Iterator[Delivery]:
        """See `Source.read`."""
        if isinstance(shard, Unlisted):
            yield from self._unlisted()
            return
        for delivery in lines.read(Path(self.metadata), shard, _LINE_LIMIT, self._fields):
            if delivery.message_id != "1":  # the columns
                yield delivery

    @cached_property
    def _root(self) -> str:
        parts = Path(self.pattern).parts
        plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        return str(Path(*parts[:plain]))

    @cached_property
    def _names(self) -> frozenset[str]:
        found = glob.iglob(self.pattern, recursive=True)  # noqa: PTH207 - a whole path with wildcards anywhere
        return frozenset(os.path.relpath(path, self._root) for path in found if not Path(path).is_dir())

    @cached_property
    def _columns(self) -> list[str]:
        with Path(self.metadata).open("rb") as file:
            line = file.readline(_LINE_LIMIT).removeprefix(lines.BOM)
        return _row(line) or []

    def _fields(self, line: bytes) -> Raw[Mapping[str, object]]:
        row = _row(line)
        if row is None or len(row) != len(self._columns):
            raise Rejected(Reason.MALFORMED_EVENT)
        values = dict(zip(self._columns, row, strict=True))
        return Raw(
            {
                "event_id": values["event_id"],
                "occurred_at": values["occurred_at"],
                "subject_id": values.get("subject_id"),
                "stream": self.stream,
                "attributes": {name: value for name, value in values.items() if name not in _OWN and value},
                "payload": guarded(self._content, values["file"]),
            }
        )

    def _content(self, name: str) -> bytes:
        path = os.path.normpath(name)
        if path not in self._names:
            raise Rejected(Reason.PAYLOAD_MISSING)
        return read_file(Place("file", self._root, tuple(path.split("/"))), self.max_bytes)

    def _unlisted(self) -> Iterator[Delivery]:
        with Path(self.metadata).open("rb") as file:
            place = self._columns.index("file")
            rows = (_row(line.removeprefix(lines.BOM)) for line in iter(lambda: file.readline(_LINE_LIMIT), b""))
            listed = {os.path.normpath(row[place]) for row in rows if row and len(row) == len(self._columns)}
        for number, _ in enumerate(sorted(self._names - listed), start=1):
            yield Delivery(f"file-{number}", Raw({"stream": self.stream}), 0)


def _row(line: bytes) -> list[str] | None:
    """The values of a line, None when it is no line of a CSV."""
    try:
        # As file names are decoded, so that a name in any encoding can be found.
        return next(csv.reader([os.fsdecode(line).rstrip("\r\n")], strict=True), None)
    except csv.Error:
        return None
