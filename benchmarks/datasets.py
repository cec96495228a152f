"""Time building a snapshot of several sizes, and the same joins by pandas on frames in memory."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.figures import Figure, figure, seconds
from benchmarks.rows import make_rows
from benchmarks.throughput import bench_warehouse
from rawless.datasets.build import build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import Dataset, open_dataset
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.rows import EmbeddingRow

COUNTS = (5_000, 20_000, 40_000)
DIMENSION = 384
REQUIRED_GROWTH = "<= 1.5"
_AS_OF = datetime(2026, 11, 1, tzinfo=UTC)
_REQUEST_ROWS = 500
_LABEL = """/*
says: What was confirmed.
kind: event
*/
SELECT confirmed.event_id, confirmed.value AS label, confirmed.known_at AS labelled_at FROM confirmed
"""


def measure(count: int) -> list[Figure]:
    """Seconds of a build and of pandas, and the growth of the seconds per event from the smallest to the largest."""
    warehouse, figures = bench_warehouse(), []
    build_times: dict[int, list[float]] = {}
    for size in COUNTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = _rows(size)
            facts = _facts(size)
            _fill(warehouse, folder, rows, facts)
            frame = _frame(rows)
            build_times[size] = [_build(warehouse, folder, size, number) for number in range(count)]
            pandas_times = [seconds(lambda: _in_pandas(frame, facts)) for _ in range(count)]  # noqa: B023
        figures += [
            figure("datasets", f"{size:,} events of {DIMENSION}", "build", build_times[size], "seconds"),
            figure("datasets", f"{size:,} events of {DIMENSION}", "pandas, in memory", pandas_times, "seconds"),
        ]
    few, many = COUNTS[0], COUNTS[-1]
    growth = [after / many / (before / few) for before, after in zip(build_times[few], build_times[many], strict=True)]
    return [
        *figures,
        figure("datasets", f"{many:,} / {few:,} events", "seconds an event", growth, "ratio", REQUIRED_GROWTH),
    ]


def _rows(count: int) -> list[EmbeddingRow]:
    """Return embedding rows, ten events per person, in a separate stream for each count."""
    subjects = [f"person-{number % (count // 10)}" for number in range(count)]
    times = [_AS_OF - timedelta(minutes=number % 200_000) for number in range(count)]
    return make_rows(f"bench_{count}", subjects, times, DIMENSION)


def _facts(count: int) -> dict[str, pa.Table]:
    at = pa.scalar(_AS_OF - timedelta(days=1), pa.timestamp("us", "UTC"))
    ids, closed = (
        [f"e-{number}" for number in range(count)],
        [f"person-{number}" for number in range(0, count // 10, 7)],
    )
    return {
        "confirmed": pa.table(
            {"event_id": ids, "value": [str(n % 3) for n in range(count)], "confirmed_at": pa.repeat(at, count)}
        ),
        "account_closed": pa.table({"subject_key": closed, "closed_at": pa.repeat(at, len(closed))}),
    }


def _fill(warehouse: Warehouse, folder: Path, rows: list[EmbeddingRow], facts: dict[str, pa.Table]) -> None:
    writer = StorageWriter(warehouse)
    for at in range(0, len(rows), _REQUEST_ROWS):
        if writer.append(rows[at : at + _REQUEST_ROWS]):
            raise SystemExit("The benchmark is invalid: rows were rejected.")
    for name, table in facts.items():
        pq.write_table(table, folder / f"{name}.parquet")
        load_file(warehouse, name, folder / f"{name}.parquet", existing="replace")


def _build(warehouse: Warehouse, folder: Path, size: int, number: int) -> float:
    """Build with a new salt, because the same dataset would be found instead of built again."""
    dataset = _dataset(folder, size, f"salt-{number}")
    return seconds(lambda: build(compile_dataset(warehouse, dataset), timedelta(0), lambda _: None))


def _dataset(folder: Path, size: int, salt: str) -> Dataset:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "confirmed_bench.sql").write_text(_LABEL)
    spec = {
        "dataset": "bench",
        "stream": f"bench_{size}",
        "encoder": "bench@1.0.0",
        "sources": [
            {"table": "confirmed", "known_at": "confirmed_at"},
            {"table": "account_closed", "known_at": "closed_at"},
        ],
        "label": {"query": "confirmed_bench", "classes": ["0", "1", "2"]},
        "rules": ["exclude_closed_accounts", {"cap_per_subject": {"events": 8}}],
        "split": {"by": "person", "train": 0.8, "validation": 0.1, "test": 0.1, "salt": salt},
        "as_of": _AS_OF.isoformat(),
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(spec))
    return open_dataset(folder / "dataset.yaml")


def _frame(rows: list[EmbeddingRow]) -> pd.DataFrame:
    names = ("event_id", "subject_key", "occurred_at", "logged_at", "embedding")
    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names})


def _in_pandas(events: pd.DataFrame, facts: dict[str, pa.Table]) -> pd.DataFrame:
    """First deliveries, latest labels, no closed accounts, at most eight events per person, a split by hash."""
    first = events.sort_values("logged_at").drop_duplicates("event_id")
    labels = facts["confirmed"].to_pandas().sort_values("confirmed_at").drop_duplicates("event_id", keep="last")
    labelled = first.merge(labels, on="event_id")
    closed = set(facts["account_closed"].to_pandas()["subject_key"])
    kept = labelled[~labelled["subject_key"].isin(closed)].copy()
    kept["bucket"] = pd.util.hash_pandas_object(kept["subject_key"], index=False) % 1_000_000
    kept["order"] = pd.util.hash_pandas_object(kept["event_id"], index=False)
    capped = kept[kept.sort_values("order").groupby("subject_key").cumcount() < 8]
    return capped.assign(embedding=[vector.astype(np.float64) for vector in capped["embedding"]])
