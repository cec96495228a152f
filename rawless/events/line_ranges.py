"""Many files with one event on each line that is not blank, read in byte ranges that need no pass before.

A range delivers the lines that begin in it; the last one is read to its end. So each line belongs to exactly one
range, whatever its length. The message id of an event is `FILE:OFFSET`: the position of its file, from 1, and the
offset of its line in the content of the file, from 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, cast

from rawless.errors import Unavailable, UserError
from rawless.events.cloud_objects import CHUNK
from rawless.events.event import Delivery
from rawless.events.file_format import HEAD, decompressed, is_compressed
from rawless.events.file_set import FileSet, ListedFile
from rawless.events.lines import Fields, next_delivery
from rawless.privacy import Reason, guarded

_REST = 1 << 18
RANGE = CHUNK - _REST
"""The size of a range in bytes: one request reads it, mostly with the rest of its last line."""
_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".lz4")
CheckHead = Callable[[bytes, str], None]
"""Raises UserError, which names the second argument, unless content with these first bytes can be read."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes of a file from `start` to before `end`. It names the file by its place, see `FileSet.find`."""

    position: int
    version: str
    start: int
    end: int


@dataclass(frozen=True)
class RangeReader:
    """Reads files of lines; see `rawless.events.source.Reader`.

    A compressed file is one range. One whose name does not say so is found by its first bytes: its first range reads
    all of it, and the others nothing.
    """

    files: FileSet
    limit: int
    """The longest line that is parsed, in bytes."""
    fields: Fields
    check: CheckHead
    """Called with the first bytes of each file."""
    size: int = RANGE

    def shards(self) -> Iterator[ByteRange]:
        """Yield the ranges of the files, by listing them only."""
        for file in self.files.files():
            size = file.size if file.name.lower().endswith(_SUFFIXES) else self.size
            for start in range(0, file.size, size or 1):
                yield ByteRange(file.position, file.version, start, min(start + size, file.size))

    def read(self, shard: ByteRange) -> Iterator[Delivery]:
        """Yield the deliveries of a range. Raises UserError if the file is damaged or of a wrong kind."""
        file = self.files.find(shard.position, shard.version)
        if shard.start == 0:
            with file.open(0, shard.end + _REST) as stored:
                content = open_content(stored, file, self.check)
                yield from self._lines(content, file, 0, shard.end if content.seekable() else None)
            return
        with file.open(0, HEAD) as stored:
            if guarded(lambda: is_compressed(stored.read(HEAD))) is True:
                return
        with file.open(shard.start - 1, shard.end - shard.start + 1 + _REST) as stored:
            offset = guarded(_first_line, stored, shard.start, shard.end)
            if isinstance(offset, Reason):
                raise _unreadable(file, shard.start)
            yield from self._lines(stored, file, offset, shard.end)

    def _lines(self, content: BinaryIO, file: ListedFile, offset: int, end: int | None) -> Iterator[Delivery]:
        """Yield the lines of an open file that begin before `end`, or all if that is None, from one at `offset`."""
        while end is None or offset < end:
            message_id = f"{file.position}:{offset}"
            line = next_delivery(content, message_id, self.limit, self.fields, is_first=offset == 0)
            if line is None:
                if end is None:
                    return
                raise _unreadable(file, offset)
            if isinstance(line, Delivery):
                yield line
                offset += line.size
            else:
                offset += line


def open_content(stored: BinaryIO, file: ListedFile, check: CheckHead) -> BinaryIO:
    """Return the content of a newly opened file: decompressed, and then not seekable, if it is compressed.

    Raises UserError if the content is of a wrong kind, or damaged at the beginning.
    """
    content = guarded(_content, stored, file, check)
    if isinstance(content, UserError):
        raise content
    if isinstance(content, Reason):
        raise _unreadable(file, 0)
    return content


def _content(stored: BinaryIO, file: ListedFile, check: CheckHead) -> BinaryIO | UserError:
    head = stored.read(HEAD)
    stored.seek(0)
    content = decompressed(stored, head, file.where, file.size)
    try:
        check(cast(BufferedReader, content).peek(HEAD)[:HEAD], file.where)
    except UserError as error:  # of the file, while the boundary returns reasons of events
        return UserError(str(error))
    return content


def _first_line(stored: BinaryIO, start: int, end: int) -> int:
    """Return the offset of the first line that begins at `start` or later; `end` if none does before that.

    The file is positioned at the byte before `start`, which ends a line if one begins at `start`.
    """
    offset = start - 1
    while offset < end - 1:
        part = stored.readline(min(_REST, end - 1 - offset))
        if not part:
            return offset  # where reading the next line fails
        offset += len(part)
        if part.endswith(b"\n"):
            return offset
    return end


def _unreadable(file: ListedFile, offset: int) -> Unavailable:
    return Unavailable(f"{file.where} changed or could not be read at byte {offset}; run again.")
