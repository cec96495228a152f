"""The file formats that the search reads."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rawless.audit.formats import archives, columns, databases, streams
from rawless.audit.formats.source import Budget, Part, Source

HEAD = 512
"""Bytes at the start of a file by which its format is recognised."""


class Format(NamedTuple):
    """A file format that is read part by part.

    `recognises` says whether a file that starts with these bytes has the format. `parts` yields what the file contains,
    unpacked; each part is searched like a file. Any exception that it raises means that the rest could not be read.
    """

    name: str
    recognises: Callable[[bytes], bool]
    parts: Callable[[Source, Budget], Iterator[Part]]


FORMATS = (
    Format("DuckDB", databases.is_duckdb, databases.duckdb_parts),
    Format("SQLite", databases.is_sqlite, databases.sqlite_parts),
    Format("Parquet", columns.is_parquet, columns.parquet_parts),
    Format("Arrow", columns.is_arrow_file, columns.arrow_file_parts),
    Format("Arrow stream", columns.is_arrow_stream, columns.arrow_stream_parts),
    Format("zip", archives.is_zip, archives.zip_parts),
    Format("tar", archives.is_tar, archives.tar_parts),
    Format("compressed file", streams.recognises, streams.parts),
)
