"""`files:GLOB`: one event a file, what is known of it in a CSV. Every row and every file is accounted for."""

import csv
import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rawless.errors import Unavailable, UserError
from rawless.events.event import Delivery
from rawless.events.objects import Place, read_file
from rawless.events.sources import lines
from rawless.events.sources.glob_walk import matching
from rawless.events.sources.jsonl import check_readable
from rawless.events.sources.lines import Shard
from rawless.privacy import Raw, Reason, Rejected, guarded

_NEEDED = ("file", "event_id", "occurred_at")
_OWN = {*_NEEDED, "subject_id"}
_LINE_LIMIT = 1 << 20
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The shard of all files that no row names."""


@dataclass(frozen=True)
class FilesSource:
    """Files, and a CSV with the columns file, event_id, occurred_at, subject_id and the stream's attributes.

    `file` is the path from the folder in which the pattern's first wildcard stands. A row whose file the pattern does
    not match is object_not_found; a file that no row names is missing_event_id, its place in the order of such files
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
        if twice := [name for name, count in Counter(columns).items() if count > 1]:
            name = ascii(twice[0])[:_LONGEST_SHOWN]
            raise UserError(f"--metadata names {self.metadata}, but it has the column {name} twice: rename one.")
        if not Path(self._root).is_dir() or not self._names:
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
        parts = Path(self.pattern).relative_to(self._root).parts
        try:
            return frozenset(matching(self._root, parts))
        except OSError as error:
            kind = type(error).__name__
        raise Unavailable(f"The folder {self._root} cannot be listed ({kind}); run again when it can.")

    @cached_property
    def _columns(self) -> list[str]:
        with lines.opened(Path(self.metadata)) as file:
            line = file.readline(_LINE_LIMIT).removeprefix(lines.BOM)
        return _row(line) or []

    def _fields(self, line: bytes) -> Raw[Mapping[str, object]]:
        values = self._values(line)
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
            raise Rejected(Reason.OBJECT_NOT_FOUND)
        return read_file(Place("file", self._root, tuple(path.split("/"))), self.max_bytes)

    def _unlisted(self) -> Iterator[Delivery]:
        listed = set()
        for shard in lines.shards(Path(self.metadata)):
            for row in lines.read(Path(self.metadata), shard, _LINE_LIMIT, lambda line: Raw(self._values(line))):
                if row.message_id != "1" and isinstance(row.fields, Raw):
                    listed.add(os.path.normpath(str(row.fields.reveal()["file"])))
        for number, _ in enumerate(sorted(self._names - listed), start=1):
            yield Delivery(f"file-{number}", Raw({"stream": self.stream}), 0)

    def _values(self, line: bytes) -> dict[str, str]:
        """The values of a line by their columns. Raises Rejected when it is no row of them."""
        row = _row(line)
        if row is None or len(row) != len(self._columns):
            raise Rejected(Reason.MALFORMED_EVENT)
        return dict(zip(self._columns, row, strict=True))


def _row(line: bytes) -> list[str] | None:
    """The values of a line, None when it is no line of a CSV."""
    try:
        # As file names are decoded, so that a name in any encoding can be found.
        return next(csv.reader([os.fsdecode(line).rstrip("\r\n")], strict=True), None)
    except csv.Error:
        return None
