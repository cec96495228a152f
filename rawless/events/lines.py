"""Files with one event on each line that is not blank, cut into shards and read in constant memory.

The number of a line, from 1, is the message id of its event.
"""

import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rawless.errors import Unavailable, UserError
from rawless.events.event import Delivery
from rawless.events.file_format import open_text, skip
from rawless.privacy import Raw, Reason, guarded

LINES_PER_SHARD = 500
MAX_COMPRESSED_SHARDS = 16
"""Shards of a compressed file, each of which decompresses what is before it."""
BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
Fields = Callable[[bytes], Raw[Mapping[str, object]]]
"""Turns a line into the producer's fields. Raises Rejected."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive lines of a file: `lines` of them from a byte offset, the first with the number `first` (from 1).

    The offset in a compressed file is that in its content.
    """

    offset: int
    first: int
    lines: int


@dataclass(frozen=True)
class LineReader:
    """Reads a file of lines; see `rawless.events.source.Reader`."""

    path: Path
    limit: int
    """The longest line that is parsed, in bytes."""
    fields: Fields

    def shards(self) -> Iterator[Shard]:
        """Yield the shards of the file."""
        return shards(self.path)

    def read(self, shard: Shard) -> Iterator[Delivery]:
        """Yield the deliveries of a shard."""
        return read(self.path, shard, self.limit, self.fields)


def shards(path: Path, lines: int = LINES_PER_SHARD) -> Iterator[Shard]:
    """Cut a file at line ends into shards of `lines` lines, in one pass over its bytes and in constant memory.

    Those of a compressed file are yielded at the end of the pass, joined to MAX_COMPRESSED_SHARDS. Raises UserError if
    it is damaged, before anything of it is delivered.
    """
    with open_text(path) as file:
        every = cut_lines(file, lines)
        yield from every if file.seekable() else join(list(every))


def join(every: Sequence[Shard]) -> Iterator[Shard]:
    """Join consecutive shards so that MAX_COMPRESSED_SHARDS are left at most."""
    step = math.ceil(len(every) / MAX_COMPRESSED_SHARDS)
    for start in range(0, len(every), step or 1):
        part = every[start : start + step]
        yield Shard(part[0].offset, part[0].first, sum(shard.lines for shard in part))


def cut_lines(
    file: BinaryIO, lines: int, stop_at: bytes | None = None
) -> Generator[Shard, None, tuple[int, int] | None]:
    """Yield the shards of an open file, up to the one that contains `stop_at`; return its offset and first line."""
    start, first, seen, position, complete = 0, 1, 0, 0, True
    while chunk := file.read(_CHUNK):
        if stop_at is not None and stop_at in chunk:
            return start, first
        end = -1
        while (end := chunk.find(b"\n", end + 1)) >= 0:
            seen += 1
            if seen == lines:
                yield Shard(start, first, seen)
                start, first, seen = position + end + 1, first + seen, 0
        position, complete = position + len(chunk), chunk.endswith(b"\n")
    if position > start:
        yield Shard(start, first, seen if complete else seen + 1)
    return None


def read(path: Path, shard: Shard, limit: int, fields: Fields) -> Iterator[Delivery]:
    """Yield the deliveries of a shard.

    A line over `limit` bytes is skipped in constant memory and delivered as payload_too_large. A line of white space
    only, as editors and concatenation leave them, is no delivery.
    """
    with open_text(path) as file:
        skip(file, shard.offset)
        for number in range(shard.first, shard.first + shard.lines):
            delivery = next_delivery(file, str(number), limit, fields, is_first=number == 1)
            if delivery is None:
                raise Unavailable(f"The source {path} changed or could not be read at line {number}; run again.")
            if isinstance(delivery, Delivery):
                yield delivery


def check_readable(path: str, option: str) -> None:
    """Raise UserError, which names the option, unless `path` is a file that can be opened."""
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, false for a path that is too long
        raise UserError(f"{option} names {path}, but there is no such file: check the path.")
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise UserError(f"{option} names {path}, but it cannot be read ({type(error).__name__}).") from None


def next_delivery(
    file: BinaryIO, message_id: str, limit: int, fields: Fields, *, is_first: bool
) -> Delivery | int | None:
    """Return the next line of a file as a delivery, the size of a blank line, or None if no line could be read.

    Raises UserError if the file is damaged, and Unavailable if it cannot be read now.
    """
    # Inside the boundary from the first byte: a line in this frame would be part of a traceback.
    outcome = guarded(_delivery, file, message_id, limit, fields, is_first)
    if isinstance(outcome, UserError):
        raise outcome
    return None if isinstance(outcome, Reason) else outcome


def _delivery(
    file: BinaryIO, message_id: str, limit: int, fields: Fields, is_first: bool
) -> Delivery | int | UserError | None:
    try:
        line = file.readline(limit + 1)
        skipped = skip_line(file) if len(line) > limit and not line.endswith(b"\n") else 0
    except UserError as error:  # of the file, while the boundary returns reasons of events
        return UserError(str(error))
    if not line:
        return None
    if len(line) > limit:
        return Delivery(message_id, Reason.PAYLOAD_TOO_LARGE, len(line) + skipped)
    content = line.removeprefix(BOM) if is_first else line
    return Delivery(message_id, guarded(fields, content), len(line)) if content.strip() else len(line)


def skip_line(file: BinaryIO) -> int:
    """Read to the end of the line and return the number of bytes."""
    skipped = 0
    while part := file.readline(_CHUNK):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
