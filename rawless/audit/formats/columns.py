"""Columns of values: Parquet files, Arrow files and streams, and the batches that databases answer with."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from rawless.audit.formats.source import Budget, Part, Source

_BYTES = 256
_LARGEST_SCHEMA = 1 << 20


def is_parquet(head: bytes) -> bool:
    """Return whether a file is a Parquet file."""
    return head.startswith(b"PAR1")


def parquet_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the schema, the metadata and the columns of a Parquet file."""
    file = pa.parquet.ParquetFile(source.file)
    yield from schema_parts(file.schema_arrow)
    yield from batch_parts(file.iter_batches(), budget)


def is_arrow_file(head: bytes) -> bool:
    """Return whether a file is an Arrow file (Feather)."""
    return head.startswith(b"ARROW1")


def arrow_file_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the schema, the metadata and the columns of an Arrow file."""
    reader = pa.ipc.open_file(source.file)
    yield from schema_parts(reader.schema)
    yield from batch_parts(map(reader.get_batch, range(reader.num_record_batches)), budget)


def is_arrow_stream(head: bytes) -> bool:
    """Return whether a file is a stream of Arrow messages, as Hugging Face's datasets are.

    A column of truth values that begins with 32 true ones has the same first bytes, but neither a length that is padded
    to eight bytes nor a root within it.
    """
    length, root = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8))
    return head.startswith(b"\xff" * 4) and 0 < root < length < _LARGEST_SCHEMA and length % 8 == 0


def arrow_stream_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the schema, the metadata and the columns of a stream of Arrow messages."""
    reader = pa.ipc.open_stream(source.file)
    yield from schema_parts(reader.schema)
    yield from batch_parts(reader, budget)


def schema_parts(schema: pa.Schema) -> Iterator[Part]:
    """Yield names, types and metadata."""
    yield Part("schema", schema.to_string(truncate_metadata=False).encode())
    for key, value in (schema.metadata or {}).items():
        yield Part("metadata", key + b"\n" + value)


def batch_parts(batches: Iterable[pa.RecordBatch], budget: Budget) -> Iterator[Part]:
    """Yield each column of each batch, its values one after the other."""
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            for leaf in _leaves(column):
                for data in _contents(leaf):
                    budget.take(data)
                    yield Part(name, data)


def _leaves(array: Any) -> Iterator[Any]:
    """Yield the arrays of plain values of which a nested array consists."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _leaves(array.storage)
    elif pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_struct(kind) or pa.types.is_union(kind):
        for position in range(kind.num_fields):
            yield from _leaves(array.field(position))
    elif hasattr(array, "values") and pa.types.is_nested(kind):  # all kinds of lists, and runs of equal values
        yield from _leaves(array.values)
    else:
        yield array


def _contents(leaf: Any) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the values; for numbers that could be bytes also these bytes."""
    for buffer in leaf.buffers()[1:]:  # the first says which values are null
        if buffer is not None:
            yield memoryview(buffer)
    if pa.types.is_integer(leaf.type) or pa.types.is_floating(leaf.type):
        numbers = leaf.drop_null().to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            small = numbers[(numbers > -_BYTES) & (numbers < _BYTES) & (numbers == np.rint(numbers))]
        yield small.astype(np.int16).astype(np.uint8).tobytes()
