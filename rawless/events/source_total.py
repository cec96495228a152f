"""How much a source has, where that is known without reading it: for telling how much of it is left."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow.parquet as pq

from rawless.events.file_format import HEAD, is_compressed
from rawless.events.file_set import FileSet
from rawless.events.source import Source
from rawless.events.sources.files import FilesSource
from rawless.events.sources.jsonl import JsonlFiles, JsonlSource
from rawless.events.sources.parquet import ParquetSource
from rawless.privacy import guarded

_MAX_FILES = 1_000
"""Files that are opened to find out how much they have."""


class Total(NamedTuple):
    """How much a source has: bytes, which are the sum of the sizes of its deliveries, or events."""

    amount: int
    unit: Literal["bytes", "events"]


def total_of(source: Source) -> Total | None:
    """Return how much a source on this machine has, None if it would have to be read, or listed again, to know."""
    with suppress(OSError):
        match source:
            case JsonlSource():
                return _bytes([source.path])
            case FilesSource():
                return _bytes([source.metadata])
            case JsonlFiles():
                return _bytes(_paths(source.files))
            case ParquetSource():
                return _rows(_paths(source.files))
            case _:
                return None
    return None


def _paths(files: FileSet) -> list[str]:
    return [] if files.is_in_cloud else [str(file.stored) for file in files.files()]


def _bytes(paths: list[str]) -> Total | None:
    """Return the size of text files, None if one of them is compressed."""
    if not 0 < len(paths) <= _MAX_FILES or any(map(_is_compressed, paths)):
        return None
    return Total(sum(os.stat(path).st_size for path in paths), "bytes")  # noqa: PTH116 - names in any encoding


def _is_compressed(path: str) -> bool:
    with Path(path).open("rb") as file:
        return guarded(lambda: is_compressed(file.read(HEAD))) is not False


def _rows(paths: list[str]) -> Total | None:
    """Return the number of rows that the files say they have, None if one cannot be read."""
    if not 0 < len(paths) <= _MAX_FILES:
        return None
    found = guarded(lambda: sum(pq.read_metadata(path).num_rows for path in paths))
    return Total(found, "events") if isinstance(found, int) else None
