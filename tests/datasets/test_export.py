"""Exports: the same rows in a Parquet file, recorded before they are written, and never a partial file."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawless.datasets import export as exporting
from rawless.datasets.export import export
from rawless.datasets.row_digest import digest
from rawless.datasets.snapshots import SCHEMA, Manifest
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from tests.shop import Shop


@pytest.fixture
def manifest(shop: Shop) -> Manifest:
    return shop.build().manifest


def _recorded(warehouse: Warehouse) -> list[dict[str, Any]]:
    return warehouse.query(f"SELECT snapshot_id, path, made_at FROM `{warehouse.table_id('export_v1')}`")


def test_the_file_contains_the_rows_of_the_snapshot_and_its_ids(shop: Shop, manifest: Manifest, tmp_path: Path) -> None:
    progress: list[int] = []
    rows = export(shop.warehouse, manifest, tmp_path / "snapshot.parquet", progress.append)
    file = pq.ParquetFile(tmp_path / "snapshot.parquet")

    assert rows == progress[-1] == manifest.rows
    assert file.schema_arrow.remove_metadata() == SCHEMA
    assert digest(file.iter_batches()) == (manifest.row_digest, manifest.rows)
    metadata = file.metadata.metadata
    assert metadata[b"snapshot_id"].decode() == manifest.snapshot_id
    assert metadata[b"encoder_fingerprint"].decode() == "f" * 64
    assert metadata[b"row_digest"] == metadata[b"snapshot_row_digest"] == manifest.row_digest.encode()
    assert (tmp_path / "snapshot.parquet").stat().st_mode & 0o777 == 0o600


def test_the_copy_is_recorded_before_it_is_written(
    shop: Shop, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Iterator[pa.RecordBatch]:
        assert len(_recorded(shop.warehouse)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "batches", fail)
    with pytest.raises(KeyboardInterrupt):
        export(shop.warehouse, manifest, tmp_path / "a file.parquet", lambda _: None)

    (record,) = _recorded(shop.warehouse)
    assert record["snapshot_id"] == manifest.snapshot_id
    assert record["path"].startswith("file://")
    assert record["path"].endswith("/a%20file.parquet")
    assert [path for path in tmp_path.iterdir() if "file" in path.name] == []


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(shop: Shop, manifest: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.parquet"
    file.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists"):
        export(shop.warehouse, manifest, file, lambda _: None)

    assert file.read_bytes() == b"mine"
    assert _recorded(shop.warehouse) == []
    assert export(shop.warehouse, manifest, file, lambda _: None, overwrite=True) == manifest.rows


@pytest.mark.parametrize("place", ["", "no/such/folder/snapshot.parquet", "snapshot.csv", "snapshot"])
def test_a_path_that_cannot_be_written_is_refused_first(
    shop: Shop, manifest: Manifest, tmp_path: Path, place: str
) -> None:
    with pytest.raises(UserError, match=r"folder|end.* in \.parquet"):
        export(shop.warehouse, manifest, tmp_path / place, lambda _: None)

    assert _recorded(shop.warehouse) == []


def test_a_full_disk_leaves_no_partial_file(
    shop: Shop, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "secret words")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left") as raised:
        export(shop.warehouse, manifest, tmp_path / "snapshot.parquet", lambda _: None)

    assert "secret" not in str(raised.value)
    assert [path for path in tmp_path.iterdir() if "snapshot.parquet" in path.name] == []


def test_memory_does_not_grow_with_the_rows(
    shop: Shop, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One group of rows is in memory at a time, however many there are."""
    held: list[int] = []
    monkeypatch.setattr(exporting, "GROUP_BYTES", 1000)
    whole = next(iter(exporting.batches(shop.warehouse, manifest.snapshot_id)))

    def many(*_: object) -> Iterator[pa.RecordBatch]:
        for _number in range(50):
            yield whole
            held.append(pa.total_allocated_bytes())

    monkeypatch.setattr(exporting, "batches", many)
    with contextlib.closing(many()):
        export(shop.warehouse, manifest, tmp_path / "snapshot.parquet", lambda _: None)

    assert pq.read_metadata(tmp_path / "snapshot.parquet").num_row_groups == 50
    assert max(held) < 3 * max(held[:5])
