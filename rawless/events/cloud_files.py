"""Objects in a bucket, one event for each, with the other fields in CSV files: `files:gs://BUCKET/GLOB`.

Rows are read by the workers, and no worker lists the objects, except the one that finds those that no row names.
"""

import io
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from rawless.errors import Unavailable, UserError
from rawless.events import csv_records
from rawless.events.cloud_objects import SCHEME, ObjectPattern, list_objects
from rawless.events.csv_records import RECORD_LIMIT, Header, Record
from rawless.events.event import Delivery
from rawless.events.file_format import check_line_ends, check_text_head, skip
from rawless.events.file_rows import REQUIRED, Unlisted, check_columns, event_fields, is_blank, row_values
from rawless.events.file_set import FileSet, ListedFile
from rawless.events.line_ranges import open_content
from rawless.events.lines import Shard
from rawless.events.objects import ObjectLocation
from rawless.loopback import is_storage_emulated
from rawless.privacy import Raw, Reason, Rejected, guarded

_LONGEST_HEADER = 2 * RECORD_LIMIT


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of one CSV file, which is named by its place, see `FileSet.find`."""

    position: int
    version: str
    lines: Shard
    size: int | None
    """The number of its bytes; None in a compressed file."""


@dataclass(frozen=True)
class CloudFilesSource:
    """Objects of a bucket, and CSV files with the columns file, event_id, occurred_at, subject_id and attributes.

    `file` is the name from the folder that contains the pattern's first wildcard, or the whole `gs://BUCKET/NAME`, and
    names an object exactly. A row whose object the pattern does not match, or that does not exist, is object_not_found.
    An object that no row names is missing_event_id, and its position in the order of such objects is the message id.
    """

    is_bounded: ClassVar[Literal[True]] = True

    pattern: ObjectPattern
    metadata: FileSet
    stream: str
    subject: str

    @property
    def where(self) -> str:
        """What the user wrote after `files:`."""
        return f"{SCHEME}{self.pattern.bucket}/{self.pattern.name}"

    def check(self) -> None:
        """See `BoundedSource.check`. Only the first CSV file is looked into; each other one is when it is read."""
        self.reader().header(self.metadata.first("--metadata"))
        if next(list_objects(self.pattern, self.where), None) is None:
            raise UserError(f"--source names files:{self.where}, but that matches no file: check the pattern.")

    def reader(self) -> "CloudFilesReader":
        """See `BoundedSource.reader`."""
        return CloudFilesReader(self)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        if not self.metadata.is_in_cloud:
            return f"metadata on this machine ({self.metadata.pattern})"
        return f"objects of an emulator on this machine ({self.where})" if is_storage_emulated() else None


class CloudFilesReader:
    """Reads the rows of the CSV files, and names with each row its object; see `rawless.events.source.Reader`."""

    def __init__(self, source: CloudFilesSource) -> None:
        self._source = source
        self._headers: dict[str, Header] = {}

    def shards(self) -> Iterator[Rows | Unlisted]:
        """See `Reader.shards`. Each CSV file is read once, because a quoted value may contain line ends."""
        for file in self._source.metadata.files():
            yield from self._parts(file)
        yield Unlisted()

    def read(self, shard: Rows | Unlisted) -> Iterator[Delivery]:
        """See `Reader.read`."""
        if isinstance(shard, Unlisted):
            yield from self._unlisted()
            return
        file = self._source.metadata.find(shard.position, shard.version)
        columns = self.header(file).columns
        for record in self._rows(file, shard):
            row = record.values
            fields = row if isinstance(row, Reason) else guarded(self._fields, row, columns)
            yield Delivery(self._message_id(file, record), fields, record.size)

    def header(self, file: ListedFile) -> Header:
        """Return the header of a CSV file. Raises UserError if it is no CSV file or a column is missing."""
        if file.version not in self._headers:
            self._headers[file.version] = self._read_header(file)
        return self._headers[file.version]

    def _read_header(self, file: ListedFile) -> Header:
        with file.open(0, _LONGEST_HEADER) as stored:
            content = open_content(stored, file, _check_head)
            beginning = guarded(lambda: Raw(content.read(_LONGEST_HEADER)))
        if isinstance(beginning, Reason):
            raise UserError(f"--metadata names {file.where}, but that cannot be read as a CSV file.")
        header = csv_records.header_of(lambda: io.BytesIO(beginning.reveal()), REQUIRED)
        check_columns(header.columns, file.where, self._source.subject)
        return header

    def _parts(self, file: ListedFile) -> Iterator[Rows]:
        delimiter = self.header(file).delimiter
        with file.open() as stored:
            content = open_content(stored, file, _check_head)
            before: Shard | None = None
            for part in csv_records.cut(content, delimiter):
                if before is not None:
                    yield self._part(file, before, part.offset, content)
                before = part
            if before is not None:
                yield self._part(file, before, file.size, content)

    def _part(self, file: ListedFile, part: Shard, end: int, content: BinaryIO) -> Rows:
        return Rows(file.position, file.version, part, end - part.offset if content.seekable() else None)

    def _rows(self, file: ListedFile, shard: Rows) -> Iterator[Record]:
        header = self.header(file)
        plain = shard.size is not None
        with file.open(shard.lines.offset if plain else 0, shard.size) as stored:
            content = stored
            if not plain:
                content = open_content(stored, file, _check_head)
                guarded(skip, content, shard.lines.offset)
            for record in csv_records.read_open(content, shard.lines, header.delimiter, file.where):
                if record.number > header.line and not is_blank(record):
                    yield record

    def _message_id(self, file: ListedFile, record: Record) -> str:
        """Return the number of the row's first line, after the position of its file if there may be several."""
        is_one = file.where == self._source.metadata.pattern
        return str(record.number) if is_one else f"{file.position}:{record.number}"

    def _fields(self, row: Raw[list[str]], columns: list[str]) -> Raw[Mapping[str, object]]:
        values = row_values(row, columns)
        return event_fields(values, self._source.stream, guarded(self._location, values["file"]))

    def _location(self, file: str) -> ObjectLocation:
        """Return the location of the object that a row names. Raises Rejected if it is none of the source's."""
        folder = self._source.pattern.folder
        parts = tuple(self._name(file).removeprefix(folder).split("/"))
        if not self._name(file).startswith(folder) or not {"", ".", ".."}.isdisjoint(parts):
            raise Rejected(Reason.OBJECT_NOT_FOUND)
        if not self._source.pattern.matches(self._name(file)):
            raise Rejected(Reason.OBJECT_NOT_FOUND)
        return ObjectLocation("gs", f"{self._source.pattern.bucket}/{folder}", parts)

    def _name(self, file: str) -> str:
        """Return the name of the object that a row names, whether or not there is such an object."""
        bucket = f"{SCHEME}{self._source.pattern.bucket}/"
        return file.removeprefix(bucket) if file.startswith(bucket) else self._source.pattern.folder + file

    def _unlisted(self) -> Iterator[Delivery]:
        listed = self._listed()
        number = 0
        for found in list_objects(self._source.pattern, self._source.where):
            digest = hash(found.name)
            place = int(np.searchsorted(listed, digest))
            if place == len(listed) or listed[place] != digest:
                number += 1
                yield Delivery(f"file-{number}", Raw({"stream": self._source.stream}), 0)

    def _listed(self) -> npt.NDArray[np.int64]:
        """Return the hashes, in order, of the names that rows contain: eight bytes a row.

        That two of 100 million names have one hash, so that an object without a row is overlooked, has a chance of one
        in 3,000.
        """
        digests = array("q")
        for file in self._source.metadata.files():
            with file.open() as stored:
                content = open_content(stored, file, _check_head)
                digests.extend(self._digests(content, file))
        ordered = np.frombuffer(digests, dtype=np.int64) if digests else np.empty(0, dtype=np.int64)
        ordered.sort()
        return ordered

    def _digests(self, content: BinaryIO, file: ListedFile) -> Iterator[int]:
        header = self.header(file)
        records = csv_records.Records(content, 1, header.delimiter)
        while record := guarded(records.next):
            if isinstance(record, Reason):
                raise Unavailable(f"{file.where} could not be read at line {records.number}; run again.")
            if record.number > header.line and isinstance(record.values, Raw):
                digest = guarded(self._digest, record.values, header.columns)
                if not isinstance(digest, Reason):
                    yield digest

    def _digest(self, row: Raw[list[str]], columns: list[str]) -> int:
        return hash(self._name(row_values(row, columns)["file"]))


def _check_head(head: bytes, where: str) -> None:
    check_text_head(head, where, "--metadata", "CSV")
    check_line_ends(where, "--metadata", head)
