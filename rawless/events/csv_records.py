"""Records of a CSV file (RFC 4180), in which a quoted value may contain line ends, cut into shards in constant memory.

The number of a record's first line, from 1, is the message id of its event. A record that is not valid ends with its
first line, so an open quote cannot hide the records that follow it.
"""

import csv
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rawless.errors import Unavailable
from rawless.events.file_format import open_text, skip
from rawless.events.lines import BOM, LINES_PER_SHARD, Shard, cut_lines, join, skip_line
from rawless.privacy import Raw, Reason, guarded

RECORD_LIMIT = 1 << 20
"""The longest record that is parsed, in bytes."""
_DELIMITERS = ",;\t|"
_DECLARATION = re.compile(rb'"?sep=([,;\t|])"?\r?\n')
_LONGEST_DECLARATION = 16


@dataclass(frozen=True, slots=True)
class Record:
    """A record: the number of its first line, how many lines it has, its size in bytes, and its values."""

    number: int
    lines: int
    size: int
    values: Raw[list[str]] | Reason


class Header(NamedTuple):
    """The delimiter of a file, the names of its columns, and the number of the line that they begin on."""

    delimiter: str
    columns: list[str]
    line: int


def header(path: Path, required: Collection[str]) -> Header:
    """Return the header of a file: its first record, or the one after a line such as `sep=;`, as Excel takes it.

    The delimiter is the declared one, or else that by which the record has the most of the required columns. There are
    no columns if the record is not valid.
    """
    return header_of(lambda: open_text(path), required)


def header_of(open_file: Callable[[], BinaryIO], required: Collection[str]) -> Header:
    """Return the header of what `open_file` opens, as `header` does."""
    with open_file() as file:
        declared = guarded(lambda: declared_delimiter(file.readline(_LONGEST_DECLARATION)))
    delimiters, line = (declared, 2) if declared and not isinstance(declared, Reason) else (_DELIMITERS, 1)
    headers = [Header(delimiter, _columns(open_file, delimiter, line), line) for delimiter in delimiters]
    return max(headers, key=lambda each: len({*each.columns} & {*required}))


def declared_delimiter(line: bytes) -> str | None:
    """Return the delimiter that the first line of a file declares, or None if it is another line."""
    match = _DECLARATION.fullmatch(line.removeprefix(BOM))
    return match[1].decode() if match else None


def _columns(open_file: Callable[[], BinaryIO], delimiter: str, line: int) -> list[str]:
    with open_file() as file:
        records = Records(file, 1, delimiter)
        for _ in range(line):
            record = guarded(records.next)
    return record.values.reveal() if isinstance(record, Record) and isinstance(record.values, Raw) else []


def shards(path: Path, delimiter: str, lines: int = LINES_PER_SHARD) -> Iterator[Shard]:
    """Cut a file at the ends of records into shards of about `lines` lines; see `rawless.events.lines.shards`."""
    with open_text(path) as file:
        yield from cut(file, delimiter, lines)


def cut(file: BinaryIO, delimiter: str, lines: int = LINES_PER_SHARD) -> Iterator[Shard]:
    """Cut an open file, as `shards` does."""
    if not file.seekable():
        yield from join(list(_cut(Records(file, 1, delimiter), 0, lines)))
        return
    # A line is a record as long as no value is quoted, so most files are cut without parsing them.
    stopped = yield from cut_lines(file, lines, stop_at=b'"')
    if stopped is not None:
        start, first = stopped
        file.seek(start)
        yield from _cut(Records(file, first, delimiter), start, lines)


def read(path: Path, shard: Shard, delimiter: str) -> Iterator[Record]:
    """Yield the records of a shard."""
    with open_text(path) as file:
        skip(file, shard.offset)
        yield from read_open(file, shard, delimiter, f"The source {path}")


def read_open(file: BinaryIO, shard: Shard, delimiter: str, where: str) -> Iterator[Record]:
    """Yield the records of a shard from an open file that is positioned at its offset. Errors call it `where`."""
    records = Records(file, shard.first, delimiter)
    while records.number < shard.first + shard.lines:
        # Inside the boundary from the first byte: a line in this frame would be part of a traceback.
        record = guarded(records.next)
        if record is None or isinstance(record, Reason):
            raise Unavailable(f"{where} changed or could not be read at line {records.number}; run again.")
        yield record


class Records:
    """The records of an open file, from the line with the number `number`."""

    def __init__(self, file: BinaryIO, number: int, delimiter: str) -> None:
        self.number = number
        self._file = file
        self._delimiter = delimiter
        self._ahead: deque[bytes] = deque()
        """Lines that were read to find the end of a record."""
        self._open_until = 0
        """The line that a quote before it, which nothing closes, was followed to."""

    def next(self) -> Record | None:
        """Return the next record, or None at the end of the file."""
        line = self._ahead.popleft() if self._ahead else self._file.readline(RECORD_LIMIT + 1)
        if not line:
            return None
        number, lines, size = self.number, 1, len(line)
        values: Raw[list[str]] | Reason
        if size > RECORD_LIMIT:
            size += 0 if line.endswith(b"\n") else skip_line(self._file)
            values = Reason.PAYLOAD_TOO_LARGE
        else:
            values, lines = self._parse(line.removeprefix(BOM) if number == 1 else line)
            size += sum(len(self._ahead.popleft()) for _ in range(lines - 1))
        self.number += lines
        return Record(number, lines, size, values)

    @property
    def is_after_a_record(self) -> bool:
        """Whether reading can begin at the next line and find the same records."""
        return self.number >= self._open_until

    def _parse(self, line: bytes) -> tuple[Raw[list[str]] | Reason, int]:
        """Return the values of the record that begins with a line, and how many lines it has."""
        reader = csv.reader(self._lines(line), delimiter=self._delimiter, strict=True)
        try:
            return Raw(next(reader)), reader.line_num
        except csv.Error:
            # What a quote opened on one of the lines that were just read ends in the same way, so none is read twice.
            self._open_until = max(self._open_until, self.number + reader.line_num - 1)
            return Reason.MALFORMED_EVENT, 1

    def _lines(self, first: bytes) -> Iterator[str]:
        """Yield the first line of a record and those after it, as far as they may belong to the record."""
        # Decoded as the system decodes file names, so that a name in any encoding can be found.
        yield os.fsdecode(first)
        if self.number < self._open_until:
            return
        size, index = len(first), 0
        while True:
            if index == len(self._ahead):
                self._ahead.append(self._file.readline(RECORD_LIMIT + 1))
            line = self._ahead[index]
            size, index = size + len(line), index + 1
            if not line or size > RECORD_LIMIT:
                return
            yield os.fsdecode(line)


def _cut(records: Records, start: int, lines: int) -> Iterator[Shard]:
    first, position = records.number, start
    while record := records.next():
        position += record.size
        if records.number - first >= lines and records.is_after_a_record:
            yield Shard(start, first, records.number - first)
            first, start = records.number, position
    if records.number > first:
        yield Shard(start, first, records.number - first)
