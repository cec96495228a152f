"""`files:GLOB`: one event for each file, with the other fields in a CSV. Every row and every file is accounted for."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from rawless.errors import Unavailable, UserError
from rawless.events import csv_records
from rawless.events.csv_records import Header, Record
from rawless.events.event import Delivery
from rawless.events.file_format import check_line_ends, check_text
from rawless.events.find_files import find_files, normal_form
from rawless.events.lines import Shard, check_readable
from rawless.events.objects import ObjectLocation, read_file
from rawless.events.source import Scheme, SourceOptions
from rawless.privacy import Raw, Reason, Rejected, guarded

_REQUIRED = ("file", "event_id", "occurred_at")
_FIELDS = {*_REQUIRED, "subject_id"}
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Unlisted:
    """The shard of all files that no row names."""


@dataclass(frozen=True)
class FilesSource:
    """Files, and a CSV with the columns file, event_id, occurred_at, subject_id and the stream's attributes.

    `file` is the path from the folder that contains the pattern's first wildcard. It names a file exactly, or else the
    only one with the same normal form. A row whose file the pattern does not match is object_not_found. A file that no
    row names is missing_event_id, and its position in the order of such files is the message id. File names are never
    stored or logged.
    """

    is_bounded: ClassVar[Literal[True]] = True

    pattern: str
    metadata: str
    stream: str
    max_bytes: int
    subject: str

    def check(self) -> None:
        """See `BoundedSource.check`."""
        check_readable(self.metadata, "--metadata")
        head = check_text(self.metadata, "--metadata", "CSV")
        check_line_ends(self.metadata, "--metadata", head)
        reader = self.reader()
        required = (*_REQUIRED, "subject_id") if self.subject == "required" else _REQUIRED
        if missing := [name for name in required if name not in reader.columns]:
            raise UserError(f"--metadata names {self.metadata}, but its first line has no column {missing[0]}: add it.")
        if repeated := [name for name, count in Counter(reader.columns).items() if count > 1]:
            name = ascii(repeated[0])[:_LONGEST_QUOTE]
            raise UserError(f"--metadata names {self.metadata}, but it has the column {name} twice: rename one.")
        if not Path(reader.root).is_dir() or not reader.files:
            raise UserError(f"--source names files:{self.pattern}, but that matches no file: check the pattern.")

    def reader(self) -> "FilesReader":
        """See `BoundedSource.reader`."""
        return FilesReader(self)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return f"files on this machine ({self.pattern})"


class FilesReader:
    """Reads the rows of the CSV, and with each row its file; see `rawless.events.source.Reader`."""

    def __init__(self, source: FilesSource) -> None:
        self._source = source
        self._metadata = Path(source.metadata)

    def shards(self) -> Iterator[Shard | Unlisted]:
        """See `Reader.shards`."""
        yield from csv_records.shards(self._metadata, self.delimiter)
        yield Unlisted()

    def read(self, shard: Shard | Unlisted) -> Iterator[Delivery]:
        """See `Reader.read`."""
        if isinstance(shard, Unlisted):
            yield from self._unlisted()
            return
        for record in self._rows(shard):
            row = record.values
            yield Delivery(
                str(record.number), row if isinstance(row, Reason) else guarded(self._fields, row), record.size
            )

    def _rows(self, shard: Shard) -> Iterator[Record]:
        for record in csv_records.read(self._metadata, shard, self.delimiter):
            if record.number > self._header.line and not _is_blank(record):
                yield record

    @cached_property
    def root(self) -> str:
        """The folder that contains the pattern's first wildcard."""
        parts = Path(self._source.pattern).parts
        plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        return str(Path(*parts[:plain]))

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that the pattern matches, from the root. Raises Unavailable if a folder cannot be listed."""
        parts = Path(self._source.pattern).relative_to(self.root).parts
        try:
            return frozenset(find_files(self.root, parts))
        except OSError as error:
            kind = type(error).__name__
        raise Unavailable(f"The folder {self.root} cannot be listed ({kind}); run again when it can.")

    @property
    def columns(self) -> list[str]:
        """The names in the first record of the CSV."""
        return self._header.columns

    @property
    def delimiter(self) -> str:
        """What separates the values of the CSV."""
        return self._header.delimiter

    @cached_property
    def _header(self) -> Header:
        return csv_records.header(self._metadata, _REQUIRED)

    @cached_property
    def _by_normal_form(self) -> dict[str, str | None]:
        """The file with each normal form of a name; None if there are several."""
        names: dict[str, str | None] = {}
        for name in self.files:
            form = normal_form(name)
            names[form] = None if form in names else name
        return names

    def _fields(self, row: Raw[list[str]]) -> Raw[Mapping[str, object]]:
        values = self._values(row)
        return Raw(
            {
                "event_id": values["event_id"],
                "occurred_at": values["occurred_at"],
                "subject_id": values.get("subject_id"),
                "stream": self._source.stream,
                "attributes": {name: value for name, value in values.items() if name not in _FIELDS and value},
                "payload": guarded(self._content, values["file"]),
            }
        )

    def _content(self, name: str) -> bytes:
        path = self._file(name)
        if path is None:
            raise Rejected(Reason.OBJECT_NOT_FOUND)
        return read_file(ObjectLocation("file", self.root, tuple(path.split("/"))), self._source.max_bytes)

    def _file(self, name: str) -> str | None:
        """Return the file that a row names, or None if there is no such file or the name fits several."""
        path = os.path.normpath(name)
        return path if path in self.files else self._by_normal_form.get(normal_form(path))

    def _unlisted(self) -> Iterator[Delivery]:
        listed = set()
        for shard in csv_records.shards(self._metadata, self.delimiter):
            for record in self._rows(shard):
                if isinstance(record.values, Raw):
                    listed.add(guarded(self._listed, record.values))
        for number, _ in enumerate(sorted(self.files - listed), start=1):
            yield Delivery(f"file-{number}", Raw({"stream": self._source.stream}), 0)

    def _listed(self, row: Raw[list[str]]) -> str | None:
        return self._file(self._values(row)["file"])

    def _values(self, row: Raw[list[str]]) -> dict[str, str]:
        """Return the values of a row by column. Raises Rejected if their number is wrong."""
        values = row.reveal()
        if len(values) != len(self.columns):
            raise Rejected(Reason.MALFORMED_EVENT)
        return dict(zip(self.columns, values, strict=True))


def _is_blank(record: Record) -> bool:
    """Return whether a record is a line of white space only, as editors leave them."""
    return isinstance(record.values, Raw) and guarded(_has_no_value, record.values) is True


def _has_no_value(row: Raw[list[str]]) -> bool:
    values = row.reveal()
    return len(values) < 2 and not "".join(values).strip()


def _open(location: str, options: SourceOptions) -> FilesSource:
    if location.startswith("gs://"):
        raise UserError(
            "files: reads local files only; for objects, name them in JSON lines, as in "
            '{"uri": "gs://bucket/name", …}, and add their prefix to the stream\'s uri_prefixes.'
        )
    if options.metadata is None:
        raise UserError(
            "files: needs --metadata FILE.csv, with the columns file, event_id, occurred_at, subject_id and the "
            "stream's attributes."
        )
    path, metadata, stream = Path(location).absolute(), options.metadata.absolute(), options.stream
    return FilesSource(str(path), str(metadata), stream.stream, options.max_bytes, stream.subject)


SCHEME = Scheme("files", "files:GLOB", _open, takes_metadata=True)
