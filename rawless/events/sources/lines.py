"""Files of lines, one event a line, its line number the message id: cut into shards and read in constant memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rawless.errors import Unavailable
from rawless.events.event import Delivery
from rawless.privacy import Raw, Reason, guarded

LINES_A_SHARD = 500
_CHUNK = 1 << 20
BOM = b"\xef\xbb\xbf"
Fields = Callable[[bytes], Raw[Mapping[str, object]]]
"""Makes the producer's fields of a line. Raises Rejected."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Lines of a file: from a byte offset, `lines` of them, the first with number `first` (from 1)."""

    offset: int
    first: int
    lines: int


def shards(path: Path, lines: int = LINES_A_SHARD) -> Iterator[Shard]:
    """Cut a file at line ends, `lines` at a time, in one pass over its bytes and in constant memory."""
    start, first, seen, position, complete = 0, 1, 0, 0, True
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            end = -1
            while (end := chunk.find(b"\n", end + 1)) >= 0:
                seen += 1
                if seen == lines:
                    yield Shard(start, first, seen)
                    start, first, seen = position + end + 1, first + seen, 0
            position, complete = position + len(chunk), chunk.endswith(b"\n")
    if position > start:
        yield Shard(start, first, seen if complete else seen + 1)


def read(path: Path, shard: Shard, limit: int, fields: Fields) -> Iterator[Delivery]:
    """The deliveries of a shard. A line over `limit` bytes is skipped in constant memory and told as too large."""
    with opened(path) as file:
        file.seek(shard.offset)
        for number in range(shard.first, shard.first + shard.lines):
            # Inside the boundary from the first byte: a line in this frame would be part of a traceback.
            delivery = guarded(_delivery, file, number, limit, fields)
            if delivery is None or isinstance(delivery, Reason):
                raise Unavailable(f"The source {path} changed or could not be read at line {number}; run again.")
            yield delivery


def _delivery(file: BinaryIO, number: int, limit: int, fields: Fields) -> Delivery | None:
    line = file.readline(limit + 1)
    if not line:
        return None
    if len(line) <= limit:
        content = line.removeprefix(BOM) if number == 1 else line
        return Delivery(str(number), guarded(fields, content), len(line))
    skipped = 0 if line.endswith(b"\n") else _skip_line(file)
    return Delivery(str(number), Reason.PAYLOAD_TOO_LARGE, len(line) + skipped)


def opened(path: Path) -> BinaryIO:
    """The file, to be read. Raises Unavailable when it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Unavailable(f"The source {path} could not be opened ({type(error).__name__}); run again.") from None


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while part := file.readline(_CHUNK):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
