"""What a format reads, and how much of it."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

RATIO = 100
"""How many times its size a file may have when it is unpacked."""
SMALLEST_BUDGET = 1 << 26
"""Bytes to which any file may be unpacked."""
LARGEST_PART = 1 << 28
"""Bytes of an unpacked part, which is kept in memory."""
_COPIES = 3


class Incomplete(Exception):
    """A file could not be read to its end; the message says why, without any of its content."""


class Part(NamedTuple):
    """A piece of a file, unpacked."""

    name: str
    data: bytes | memoryview


class Reader(Protocol):
    """A stream of unpacked bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


@dataclass
class Budget:
    """The bytes to which a file may still be unpacked, with everything in it."""

    size: int
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = max(SMALLEST_BUDGET, RATIO * self.size)

    def take(self, data: bytes | memoryview) -> None:
        """Count unpacked bytes. Raises Incomplete if they are too many."""
        self.left -= len(data)
        if self.left < 0:
            raise Incomplete(f"unpacks to more than {RATIO} times its size")

    def read(self, name: str, stream: Reader) -> Iterator[Part]:
        """Yield what a stream contains, as far as the budget allows. Raises Incomplete if that is not all."""
        limit = min(self.left, LARGEST_PART)
        data = stream.read(limit + 1)
        yield Part(name, data[:limit])
        if len(data) > limit:
            raise Incomplete(f"unpacks to more than {limit:,} bytes")
        self.take(data)


@dataclass(frozen=True)
class Source:
    """A file, or a part of one, that a format reads."""

    file: BinaryIO
    path: Path | None = None
    """Where the file is, unless it is a part of another."""

    @contextmanager
    def copied(self, *companions: str) -> Iterator[Path]:
        """Copy a database together with the files that its name and these suffixes name, so that opening it is safe.

        Raises Incomplete if its server does not stop writing to it.
        """
        with tempfile.TemporaryDirectory(prefix="rawless-search-") as folder:
            copy = Path(folder) / "database"
            if self.path is None:
                self.file.seek(0)
                with copy.open("wb") as target:
                    shutil.copyfileobj(self.file, target)
            else:
                _copy({Path(f"{self.path}{suffix}"): Path(f"{copy}{suffix}") for suffix in ("", *companions)})
            yield copy


def _copy(files: dict[Path, Path]) -> None:
    for _ in range(_COPIES):
        before = _states(files)
        for original, copy in files.items():
            copy.unlink(missing_ok=True)
            if original.exists():
                shutil.copyfile(original, copy)
        if before == _states(files):
            return
    raise Incomplete("changes while it is read")


def _states(files: Iterable[Path]) -> list[tuple[int, int]]:
    found = [path.stat() for path in files if path.exists()]
    return [(each.st_mtime_ns, each.st_size) for each in found]
