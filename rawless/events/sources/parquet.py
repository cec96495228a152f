"""`parquet:GLOB`: the rows of Parquet files, on this machine or in Cloud Storage."""

import glob
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from rawless.errors import UserError
from rawless.events.cloud_objects import SCHEME as CLOUD
from rawless.events.cloud_objects import CloudObject, read_object
from rawless.events.columns import Columns, Wanted, read_batches
from rawless.events.event import Delivery
from rawless.events.file_set import FileSet, ListedFile
from rawless.events.line_ranges import ByteRange
from rawless.events.source import Scheme, SourceOptions
from rawless.privacy import Raw, Reason, guarded

SHARD_BYTES = 64 << 20
"""Of a file, from which a worker reads the row groups that begin there."""
SMALL = 8 << 20
"""Bytes of an object that is read by one request."""
_BUFFER = 2 << 20
"""Bytes of a column that are read at once."""
_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 256


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files with a row for each event.

    The message id of a row consists of the position of its file, in the order of their names, and its own in the file.
    Both count from 1.
    """

    is_bounded: ClassVar[Literal[True]] = True

    files: FileSet
    wanted: Wanted

    def check(self) -> None:
        """See `BoundedSource.check`. Only the first file is looked into; each other one is when it is read."""
        with _Parquet(self.files.first("--source"), self.wanted):
            pass

    def reader(self) -> "ParquetReader":
        """See `BoundedSource.reader`."""
        return ParquetReader(self)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return self.files.only_here()


@dataclass(frozen=True)
class ParquetReader:
    """Reads the rows of the files; see `rawless.events.source.Reader`."""

    source: ParquetSource

    def shards(self) -> Iterator[ByteRange]:
        """Yield ranges of the files, by listing them only: which row groups begin in a range, its reader finds."""
        for file in self.source.files.files():
            for start in range(0, max(file.size, 1), SHARD_BYTES):
                yield ByteRange(file.position, file.version, start, start + SHARD_BYTES)

    def read(self, shard: ByteRange) -> Iterator[Delivery]:
        """Yield the deliveries of the row groups that begin in a range. Raises UserError for an unreadable file."""
        listed = self.source.files.find(shard.position, shard.version)
        with _Parquet(listed, self.source.wanted) as file:
            yield from file.deliveries(shard)


class _Parquet:
    """An open Parquet file."""

    def __init__(self, listed: ListedFile, wanted: Wanted) -> None:
        self._listed, self._wanted = listed, wanted

    def __enter__(self) -> Self:
        opened = guarded(self._open)
        if isinstance(opened, Reason):
            raise UserError(
                f"--source names {self._listed.where}, but that is no Parquet file that can be read: convert it, or "
                "copy it again."
            )
        self._file: pq.ParquetFile = opened.reveal()
        schema = _with_instants(self._file)
        if fault := self._wanted.explain_bad_columns(schema):
            self._file.close(force=True)
            raise UserError(f"--source names {self._listed.where}, but {fault}.")
        self._columns: Columns = self._wanted.columns(schema)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close(force=True)

    def deliveries(self, part: ByteRange) -> Iterator[Delivery]:
        """Yield the deliveries of the row groups that begin in a range."""
        metadata, row = self._file.metadata, 1
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            if group.num_rows and part.start <= _first_byte(group) < part.end:
                yield from self._group(index, row)
            row += group.num_rows

    def _group(self, index: int, row: int) -> Iterator[Delivery]:
        group = self._file.metadata.row_group(index)
        rows = _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
        batches = self._file.iter_batches(
            max(1, min(rows, _BATCH_ROWS)), row_groups=[index], columns=self._columns.read, use_threads=False
        )
        ids = (f"{self._listed.position}:{number}" for number in itertools.count(row))
        for batch in read_batches(batches, f"The data of {self._listed.where} is damaged: copy the file again."):
            yield from self._columns.deliveries(batch, ids)

    def _open(self) -> Raw[pq.ParquetFile]:
        data = self._data()
        try:
            # Without pre_buffer, which would hold the columns of a whole row group in memory.
            return Raw(pq.ParquetFile(data, buffer_size=_BUFFER, pre_buffer=False, coerce_int96_timestamp_unit="us"))
        except BaseException:
            data.close()
            raise

    def _data(self) -> Any:
        stored, where = self._listed.stored, self._listed.where
        if not isinstance(stored, CloudObject):
            return pa.PythonFile(self._listed.open(), mode="r")
        if stored.size <= SMALL:
            return pa.BufferReader(read_object(stored, where))
        return pa.PythonFile(_Ranges(stored, where), mode="r")


class _Ranges(io.RawIOBase):
    """An object of which each read is one request, since columns are read in turn, each at its own place."""

    def __init__(self, found: CloudObject, where: str) -> None:
        self._object, self._where, self._position = found, where, 0

    def readable(self) -> bool:
        """See `io.RawIOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase.seekable`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase.seek`."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._object.size}[whence]
        return self._position

    def tell(self) -> int:
        """See `io.RawIOBase.tell`."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase.read`. Raises Unavailable."""
        end = self._object.size if size < 0 else self._position + size
        content = read_object(self._object, self._where, self._position, end)
        self._position += len(content)
        return content


def _first_byte(group: pq.RowGroupMetaData) -> int:
    column = group.column(0)
    return int(column.dictionary_page_offset or column.data_page_offset)


def _with_instants(file: pq.ParquetFile) -> pa.Schema:
    """Return the schema of a file. Times of the older type INT96, which Spark writes, are instants in UTC."""
    schema = file.schema_arrow
    instants = {
        column.path for column in map(file.schema.column, range(len(file.schema))) if column.physical_type == "INT96"
    }
    fields = [each.with_type(pa.timestamp("us", "UTC")) if each.name in instants else each for each in schema]
    return pa.schema(fields)


def _open(location: str, options: SourceOptions) -> ParquetSource:
    pattern = location if location.startswith(CLOUD) else str(Path(location).absolute())
    if os.path.isfile(pattern):  # noqa: PTH113 - false for a path that is too long
        pattern = glob.escape(pattern)  # whatever characters its name has
    return ParquetSource(FileSet(pattern), Wanted.by(options.stream))


SCHEME = Scheme("parquet", "parquet:GLOB", _open)
