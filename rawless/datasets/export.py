"""Exports: a snapshot as one Parquet file, told in `export_v1` before it is written."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from rawless.datasets.snapshots import SCHEMA, Manifest, RowDigest, batches
from rawless.errors import UserError
from rawless.files import atomic_write
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

GROUP_BYTES = 32_000_000
"""About what a row group holds, and what is held in memory."""
_RECORD = FOLDER / "export_v1" / "record.sql"
_VECTORS = ("embedding", "right_embedding")


def export(
    warehouse: Warehouse, manifest: Manifest, path: Path, told: Callable[[int], None], *, overwrite: bool = False
) -> int:
    """Write the rows of a snapshot to a Parquet file, vectors as the float64 that are stored; returns their number.

    `told` hears of the rows written by now. The file gets its name when it is whole, and only its owner may read it.
    Its metadata hold `snapshot_id`, `dataset`, `encoder_fingerprint`, `row_digest` over the rows in it, and
    `snapshot_row_digest`, the manifest's, which differs once rows were erased. Raises UserError for a file that is
    there and may not be overwritten, and for one that cannot be written.
    """
    target = path.absolute()
    _check(target, overwrite)
    record(warehouse, manifest.snapshot_id, target)
    with _written(target) as file:
        return _write(file, batches(warehouse, manifest.snapshot_id), manifest, told)


def record(warehouse: Warehouse, snapshot_id: str, path: Path) -> None:
    """Tell in `export_v1` that a copy is made, as a URI that names this machine."""
    place = f"file://{socket.gethostname()}{quote(path.as_posix())}"
    values = {"snapshot_id": snapshot_id, "path": place, "made_at": datetime.now(UTC)}
    warehouse.query(warehouse.render(_RECORD), parameters(values))


def _check(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise UserError(f"The path {path} is a folder: name a file in it.")
    if path.exists() and not overwrite:
        raise UserError(f"The file {path} exists: name another, or say that it may be overwritten.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"The folder {path.parent} does not exist or cannot be written to: make it, or name another.")


@contextlib.contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when all of it was written. Raises UserError."""
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(_sentence(path, error)) from None


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"There is no room for {path}: free some, or name a file on another disk."
    return f"The file {path} cannot be written ({type(error).__name__}): name another."


def _write(file: BinaryIO, rows: Iterator[pa.RecordBatch], manifest: Manifest, told: Callable[[int], None]) -> int:
    taken = RowDigest()
    scalars = [field.name for field in SCHEMA if field.name not in _VECTORS]
    with pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=scalars) as writer:
        for group in _groups(rows):
            for batch in group:
                taken.add(batch)
            writer.write_table(pa.Table.from_batches(group, SCHEMA))
            told(taken.rows)
        writer.add_key_value_metadata(
            {
                "snapshot_id": manifest.snapshot_id,
                "dataset": manifest.dataset,
                "encoder_fingerprint": manifest.fingerprint,
                "row_digest": taken.hexdigest(),
                "snapshot_row_digest": manifest.row_digest,
            }
        )
    return taken.rows


def _groups(rows: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches, so many together as make a row group."""
    group: list[pa.RecordBatch] = []
    for batch in rows:
        group.append(batch)
        if sum(each.nbytes for each in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
