"""`files:GLOB`: one event for each file, with the other fields in a CSV. Every row and every file is accounted for."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from rawless.errors import Unavailable, UserError
from rawless.events import csv_records
from rawless.events.cloud_files import CloudFilesSource
from rawless.events.cloud_objects import SCHEME as CLOUD
from rawless.events.cloud_objects import parse_pattern
from rawless.events.csv_records import Header, Record
from rawless.events.event import Delivery
from rawless.events.file_format import check_line_ends, check_text
from rawless.events.file_rows import REQUIRED, Unlisted, check_columns, event_fields, is_blank, row_values
from rawless.events.file_set import FileSet, split_pattern
from rawless.events.find_files import find_files, normal_form
from rawless.events.lines import Shard, check_readable
from rawless.events.objects import ObjectLocation, read_file
from rawless.events.source import Scheme, SourceOptions
from rawless.privacy import Raw, Reason, Rejected, guarded


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
        check_columns(reader.columns, self.metadata, self.subject)
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
            if record.number > self._header.line and not is_blank(record):
                yield record

    @cached_property
    def root(self) -> str:
        """The folder that contains the pattern's first wildcard."""
        return split_pattern(self._source.pattern)[0]

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that the pattern matches, from the root. Raises Unavailable if a folder cannot be listed."""
        root, parts = split_pattern(self._source.pattern)
        try:
            return frozenset(find_files(root, parts))
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
        return csv_records.header(self._metadata, REQUIRED)

    @cached_property
    def _by_normal_form(self) -> dict[str, str | None]:
        """The file with each normal form of a name; None if there are several."""
        names: dict[str, str | None] = {}
        for name in self.files:
            form = normal_form(name)
            names[form] = None if form in names else name
        return names

    def _fields(self, row: Raw[list[str]]) -> Raw[Mapping[str, object]]:
        values = row_values(row, self.columns)
        return event_fields(values, self._source.stream, guarded(self._content, values["file"]))

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
        return self._file(row_values(row, self.columns)["file"])


def _open(location: str, options: SourceOptions) -> FilesSource | CloudFilesSource:
    if options.metadata is None:
        raise UserError(
            "files: needs --metadata FILE.csv, with the columns file, event_id, occurred_at, subject_id and the "
            "stream's attributes."
        )
    stream, metadata = options.stream, options.metadata
    if location.startswith(CLOUD):
        if stream.modality == "parts":
            raise UserError(
                f"--source names files in a bucket, but the stream {stream.stream} has events of parts: name the "
                'objects in JSON lines, as in {"parts": {"photo": {"uri": "gs://bucket/name"}}, …}.'
            )
        pattern = parse_pattern(location, "--source")
        if metadata.startswith(CLOUD):
            parse_pattern(metadata, "--metadata")
        rows = FileSet(metadata if metadata.startswith(CLOUD) else str(Path(metadata).absolute()))
        return CloudFilesSource(pattern, rows, stream.stream, stream.subject)
    if metadata.startswith(CLOUD):
        raise UserError(
            "--metadata is in a bucket, but --source names files on this machine: copy one of them to where the other "
            "is."
        )
    path = Path(location).absolute()
    return FilesSource(str(path), str(Path(metadata).absolute()), stream.stream, options.max_bytes, stream.subject)


SCHEME = Scheme("files", "files:GLOB", _open, takes_metadata=True)
