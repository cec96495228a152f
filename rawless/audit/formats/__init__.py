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

    recognises: Callable[[bytes], bool]
    parts: Callable[[Source, Budget], Iterator[Part]]


FORMATS = (
    Format(databases.is_duckdb, databases.duckdb_parts),
    Format(databases.is_sqlite, databases.sqlite_parts),
    Format(columns.is_parquet, columns.parquet_parts),
    Format(columns.is_arrow_file, columns.arrow_file_parts),
    Format(columns.is_arrow_stream, columns.arrow_stream_parts),
    Format(archives.is_zip, archives.zip_parts),
    Format(archives.is_tar, archives.tar_parts),
    Format(streams.recognises, streams.parts),
)
