"""Export a snapshot to one Parquet file, recorded in `export_v1` before it is written."""

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

from rawless.datasets.row_digest import RowDigest
from rawless.datasets.snapshots import SCHEMA, Manifest, batches
from rawless.errors import UserError
from rawless.files import atomic_write
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

GROUP_BYTES = 32_000_000
"""The approximate size of a row group, which is also what is kept in memory."""
_RECORD = FOLDER / "export_v1" / "record.sql"
_VECTORS = ("embedding", "right_embedding")


def export(
    warehouse: Warehouse,
    manifest: Manifest,
    path: Path,
    report_progress: Callable[[int], None],
    *,
    overwrite: bool = False,
) -> int:
    """Write the rows of a snapshot to a Parquet file, and return their number. Vectors are float64, as stored.

    `report_progress` is called with the number of rows written so far. The file gets its name when it is complete, and
    only its owner may read it. Its metadata contain `snapshot_id`, `dataset`, `encoder_fingerprint`, `row_digest` over
    its rows, and `snapshot_row_digest` from the manifest, which differs if rows have been erased since. Raises
    UserError for a file that exists, unless `overwrite` is set, for one that cannot be written, and for a name that
    does not end in .parquet.
    """
    target = path.absolute()
    _check_target(target, overwrite)
    record(warehouse, manifest.snapshot_id, target)
    with _open_target(target) as file:
        return _write(file, batches(warehouse, manifest.snapshot_id), manifest, report_progress)


def record(warehouse: Warehouse, snapshot_id: str, path: Path) -> None:
    """Record in `export_v1` that a copy is made; its path is a URI with the name of this machine."""
    uri = f"file://{socket.gethostname()}{quote(path.as_posix())}"
    values = {"snapshot_id": snapshot_id, "path": uri, "made_at": datetime.now(UTC)}
    warehouse.query(warehouse.render(_RECORD), parameters(values))


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise UserError(f"The path {path} is a folder; name a file in it.")
    if path.suffix != ".parquet":
        raise UserError(f"The file {path} would be Parquet, whatever its name says; name one that ends in .parquet.")
    if path.exists() and not overwrite:
        raise UserError(f"The file {path} exists; name another, or allow it to be overwritten.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"The folder {path.parent} does not exist or cannot be written to; create it, or name another.")


@contextlib.contextmanager
def _open_target(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when it is complete. Raises UserError when it cannot be written."""
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(_message(path, error)) from None


def _message(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"There is no space left for {path}; free some, or name a file on another disk."
    return f"The file {path} cannot be written ({type(error).__name__}); name another."


def _write(
    file: BinaryIO, rows: Iterator[pa.RecordBatch], manifest: Manifest, report_progress: Callable[[int], None]
) -> int:
    row_digest = RowDigest()
    scalars = [field.name for field in SCHEMA if field.name not in _VECTORS]
    with pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=scalars) as writer:
        for group in _groups(rows):
            for batch in group:
                row_digest.add(batch)
            writer.write_table(pa.Table.from_batches(group, SCHEMA))
            report_progress(row_digest.rows)
        writer.add_key_value_metadata(
            {
                "snapshot_id": manifest.snapshot_id,
                "dataset": manifest.dataset,
                "encoder_fingerprint": manifest.fingerprint,
                "row_digest": row_digest.hexdigest(),
                "snapshot_row_digest": manifest.row_digest,
            }
        )
    return row_digest.rows


def _groups(rows: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Group batches to row groups of about `GROUP_BYTES`."""
    group: list[pa.RecordBatch] = []
    for batch in rows:
        group.append(batch)
        if sum(member.nbytes for member in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group
