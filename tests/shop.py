"""A small business: uploads, what customers confirmed of them, and who closed an account."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rawless.datasets.build import BuildResult, build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import Dataset, open_dataset
from rawless.datasets.snapshot_tables import PREFIX, table_id
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.rows import EmbeddingRow

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
LABEL = """/*
says: What was confirmed.
kind: event
*/
SELECT confirmed.event_id, confirmed.value AS label, confirmed.known_at AS labelled_at FROM confirmed
"""
SPEC: dict[str, Any] = {
    "dataset": "uploads",
    "stream": "upload",
    "encoder": "tiny@1.0.0",
    "sources": [
        {"table": "confirmed", "known_at": "confirmed_at"},
        {"table": "account_closed", "known_at": "closed_at"},
    ],
    "label": {"query": "confirmed_upload", "classes": ["cat", "dog"]},
    "rules": ["exclude_closed_accounts", {"occurred_within": {"days": 60}}],
    "split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"},
    "as_of": AS_OF.isoformat(),
}
EVENTS = 120


class Shop:
    """A warehouse with events, and a folder with dataset files."""

    as_of = AS_OF

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse, self.folder = warehouse, folder
        (folder / "labels").mkdir()
        (folder / "labels" / "confirmed_upload.sql").write_text(LABEL)

    def upload(self, numbers: range, **fields: Any) -> None:
        """Append events of 40 persons, one every twelve hours back from the as-of."""
        append_all(self.warehouse, [make_row(number, fields) for number in numbers])

    def load(self, name: str, columns: dict[str, Any]) -> None:
        """Replace the rows of a business table."""
        file = self.folder / f"{name}.parquet"
        times = pa.timestamp("us", "UTC")
        arrays = {key: pa.array(each, times if key.endswith("_at") else None) for key, each in columns.items()}
        pq.write_table(pa.table(arrays), file)
        load_file(self.warehouse, name, file, existing="replace")

    def dataset(self, **fields: Any) -> Dataset:
        """Return the dataset of `SPEC` with `fields` overridden; fields that are None are left out."""
        spec = {name: value for name, value in (SPEC | fields).items() if value is not None}
        (self.folder / "dataset.yaml").write_text(yaml.safe_dump(spec))
        return open_dataset(self.folder / "dataset.yaml")

    def build(self, on_step: Callable[[str], None] = lambda _: None, **fields: Any) -> BuildResult:
        """Build the snapshot of that dataset."""
        return build(compile_dataset(self.warehouse, self.dataset(**fields)), timedelta(0), on_step)

    def rows(self, snapshot_id: str) -> dict[str, dict[str, Any]]:
        """Return the rows of a snapshot by event id."""
        found = self.warehouse.query(f"SELECT * FROM `{table_id(self.warehouse, snapshot_id)}`")
        return {row["event_id"]: row for row in found}

    def left(self) -> tuple[int, int, list[str]]:
        """Return the numbers of rows and of manifests, and the working tables of builds."""
        snapshots = self.warehouse.client.list_tables(self.warehouse.dataset_id("snapshots"))
        matches = [re.fullmatch(f"{PREFIX}([0-9a-f]+)", each.table_id) for each in snapshots]
        rows = sum(len(self.rows(match[1])) for match in matches if match)
        (manifests,) = self.warehouse.query(
            f"SELECT COUNT(*) AS n FROM `{self.warehouse.table_id('snapshot_manifest_v1')}`"
        )
        tables = self.warehouse.client.list_tables(self.warehouse.dataset_id("builds"))
        return rows, manifests["n"], [each.table_id for each in tables if each.table_id.startswith("build_")]


def make_row(number: int, fields: dict[str, Any]) -> EmbeddingRow:
    """Return an upload of one of 40 persons, with `fields` overridden."""
    at = AS_OF - timedelta(hours=12 * number + 1)
    vector = np.random.default_rng(number).standard_normal(8, np.float32)
    defaults: dict[str, Any] = {
        "stream": "upload",
        "event_id": f"e-{number}",
        "subject_key": f"person-{number % 40}",
        "subject_key_id": "k1",
        "occurred_at": at,
        "logged_at": at,
        "origin": "ingest",
        "caller_key": None,
        "modality": "image",
        "encoder": "tiny",
        "encoder_version": "1.0.0",
        "encoder_fingerprint": "f" * 64,
        "embedding": vector,
        "truncated": False,
        "attributes": (("channel", "chat" if number % 3 else "email"),),
    }
    return EmbeddingRow(**(defaults | fields))


def open_shop(warehouse: Warehouse, folder: Path) -> Shop:
    """Return a shop with 120 uploads of 40 persons, all confirmed, and two closed accounts."""
    shop = Shop(warehouse, folder)
    shop.upload(range(EVENTS))
    ids = [f"e-{number}" for number in range(EVENTS)]
    values = ["cat" if number % 2 else "dog" for number in range(EVENTS)]
    shop.load("confirmed", {"event_id": ids, "value": values, "confirmed_at": [AS_OF - timedelta(minutes=5)] * EVENTS})
    closed = [AS_OF - timedelta(days=1), AS_OF - timedelta(days=2)]
    shop.load("account_closed", {"subject_key": ["person-3", "person-4"], "closed_at": closed})
    return shop
