"""Time the digest over a million rows of 384 dimensions, which BigQuery computes without sending a vector."""

from benchmarks.figures import Figure, figure, seconds
from benchmarks.throughput import bench_warehouse
from rawless.datasets.snapshot_tables import create, drop, table_id
from rawless.datasets.snapshots import summarise
from rawless.warehouse.client import Warehouse

ROWS, DIMENSION = 1_000_000, 384
_ID = "d" * 24
_VECTORS = 1000
"""Different vectors of a statement; every row has an id of its own."""
_ROWS_OF_PART = 50_000


def measure(count: int) -> list[Figure]:
    """Seconds of the digest by the stored hashes, as in a build, and by hashing every row again, as to verify it."""
    warehouse = bench_warehouse()
    create(warehouse, _ID)
    try:
        _fill(warehouse)
        stored = [seconds(lambda: _digest(warehouse, hash_again=False)) for _ in range(count)]
        again = [seconds(lambda: _digest(warehouse, hash_again=True)) for _ in range(count)]
    finally:
        drop(warehouse, _ID)
    what = f"{ROWS:,} rows of {DIMENSION}"
    return [
        figure("digest", what, "of the stored hashes", stored, "seconds"),
        figure("digest", what, "hashed again", again, "seconds"),
    ]


def _digest(warehouse: Warehouse, *, hash_again: bool) -> None:
    summary = summarise(warehouse, _ID, hash_again=hash_again)
    if (summary.rows, summary.least_dimension, summary.most_dimension) != (ROWS, DIMENSION, DIMENSION):
        raise SystemExit("The benchmark is invalid: rows are missing.")


def _fill(warehouse: Warehouse) -> None:
    """Write rows that are made where they are stored, some at a time, since each statement is in memory."""
    for part in range(max(1, ROWS // _ROWS_OF_PART)):
        warehouse.query(_insert(warehouse, part, min(ROWS, _ROWS_OF_PART)))


def _insert(warehouse: Warehouse, part: int, rows: int) -> str:
    return f"""
        INSERT INTO `{table_id(warehouse, _ID)}` (
          event_id, stream, occurred_at, logged_at, label, split, person_key, encoder_fingerprint, dimension, embedding,
          right_embedding, attributes, features, row_hash
        )
        WITH made AS (
          SELECT vector, ARRAY_AGG(RAND() - 0.5) AS embedding
          FROM UNNEST(GENERATE_ARRAY(1, {_VECTORS})) AS vector, UNNEST(GENERATE_ARRAY(1, {DIMENSION})) AS position
          GROUP BY vector
        )
        SELECT
          CONCAT('e-', {part}, '-', vector, '-', number), 'bench', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 'a',
          'train', 'p', 'f', {DIMENSION}, embedding, CAST([] AS ARRAY<FLOAT64>),
          CAST([] AS ARRAY<STRUCT<key STRING, value STRING>>),
          CAST([] AS ARRAY<STRUCT<name STRING, value FLOAT64, category STRING>>),
          TO_HEX(SHA256(CONCAT({part}, '-', vector, '-', number)))
        FROM made, UNNEST(GENERATE_ARRAY(1, {rows // _VECTORS})) AS number
    """  # noqa: S608
