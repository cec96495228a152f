"""Write docs/near-duplicates.md: how many pairs the search for near duplicates compares, its time and its recall.

Run it with `python -m benchmarks.near_duplicates`. It compares the search with fixed buckets of all splits, which
Rawless used before, on the local BigQuery, and computes the pairs for numbers of rows that a machine cannot hold.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figures import seconds
from benchmarks.throughput import bench_warehouse
from benchmarks.work import temporary_home
from rawless.cli.output import echo
from rawless.datasets.near_duplicates import expected_recall, hashing, search_values
from rawless.datasets.rendering import render_template
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.parameters import Parameters, parameters

PAGE = Path(__file__).parent.parent / "docs" / "near-duplicates.md"
COUNTS = (5_000, 20_000, 40_000)
COMPUTED = (10**7, 10**8)
COSINE, DIMENSION, SHARES, MEAN_LENGTH = 0.98, 384, {"train": 0.8, "validation": 0.1, "test": 0.1}, 0.7
BANDS, BITS = 10, 12
"""Of the fixed buckets."""
TIMED_PAIRS = 2 * 10**6
"""With more pairs the fixed buckets are not timed, since their vectors would be compared for many minutes."""
_FIXED = f"""
plane AS (
  SELECT band, bit, ARRAY_AGG(
    IF(MOD(FARM_FINGERPRINT(CONCAT('plane:', band, ':', bit, ':', coordinate)), 2) = 0, 1.0, -1.0) ORDER BY coordinate
  ) AS normal
  FROM UNNEST(GENERATE_ARRAY(1, {BANDS})) AS band, UNNEST(GENERATE_ARRAY(1, {BITS})) AS bit,
    UNNEST(GENERATE_ARRAY(1, {DIMENSION})) AS coordinate
  GROUP BY band, bit
),
place AS (
  SELECT vector.event_id, vector.split, plane.band,
    SUM(IF(COSINE_DISTANCE(vector.embedding, plane.normal) < 1, 1 << plane.bit, 0)) AS bucket
  FROM vector CROSS JOIN plane
  GROUP BY vector.event_id, vector.split, plane.band
),
met AS (
  SELECT DISTINCT later.event_id, earlier.event_id AS neighbour_id
  FROM place AS later INNER JOIN place AS earlier ON later.band = earlier.band AND later.bucket = earlier.bucket
  WHERE later.split != earlier.split AND earlier.event_id < later.event_id
),
near_duplicate AS (
  SELECT DISTINCT met.event_id
  FROM met
  INNER JOIN vector ON met.event_id = vector.event_id
  INNER JOIN vector AS neighbour ON met.neighbour_id = neighbour.event_id
  WHERE 1 - COSINE_DISTANCE(vector.embedding, neighbour.embedding) >= @cosine
)"""  # noqa: S608 - numbers of this module
_SIZES = """SELECT COUNTIF(split = 'train') AS train, COUNTIF(split = 'validation') AS validation,
  COUNTIF(split = 'test') AS test FROM place GROUP BY band, bucket"""
_PAIRS = {
    "fixed": f"SELECT SUM(train * validation + train * test + validation * test) AS pairs FROM ({_SIZES})",  # noqa: S608
    "chosen": f"SELECT SUM(train * (validation + test)) AS pairs FROM ({_SIZES})",  # noqa: S608
}
_NAMES = {"fixed": f"{BANDS} bands of {BITS} hyperplanes, all splits", "chosen": "chosen by rows, against train"}
_TEXT = f"""# Finding near duplicates

Written by `python -m benchmarks.near_duplicates`: rows of {DIMENSION} dimensions around a mean of length {MEAN_LENGTH},
80% of them in train, and near duplicates of a cosine of at least {COSINE} planted among them. Compared are the buckets
of [near_duplicates.sql](../sql/templates/near_duplicates.sql), whose number follows the rows of train, with
fixed buckets in which all splits meet. Pairs are counted in each band in which they meet. The recall is the share of
pairs of train and another split, by comparing all, of which a row was found. The times are of one run on the local
BigQuery and depend on the machine, on which other programs may run; fixed buckets in which more than {TIMED_PAIRS:,}
pairs meet are counted, but not run.

"""
_UNIFORM = """
Computed for vectors in all directions alike, of which each pair is in one bucket with the probability 2^-hyperplanes
for each band. Vectors of real encoders are less even, so that more pairs meet: their buckets are capped.

"""


class Vectors(NamedTuple):
    """Rows and their splits."""

    ids: tuple[str, ...]
    splits: np.ndarray
    units: np.ndarray


def main() -> None:
    """Write the page."""
    with temporary_home():
        measured = [line for count in COUNTS for line in _measure(bench_warehouse(), count)]
    head = ("rows", "buckets", "pairs that meet", "seconds", "recall")
    computed = [line for count in COMPUTED for line in _compute(count)]
    tables = _table(head, measured), _table(("rows", "buckets", "pairs that meet", "expected recall"), computed)
    PAGE.write_text(_TEXT + _UNIFORM.join(tables))
    echo(f"Wrote docs/{PAGE.name}.")


def _measure(warehouse: Warehouse, count: int) -> list[Sequence[str]]:
    vectors = _draw(count)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.parquet"
        columns = {"event_id": vectors.ids, "split": vectors.splits, "embedding": list(vectors.units)}
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), file)
        load_file(warehouse, "near_duplicates", file, existing="replace")
    ctes = {"fixed": _FIXED, "chosen": render_template(warehouse, "near_duplicates")}
    values = parameters(search_values(COSINE, int((vectors.splits == "train").sum())))
    near = _near_pairs(vectors)
    lines: list[Sequence[str]] = []
    for kind, text in ctes.items():
        vector = f"SELECT * FROM `{warehouse.business_table_id('near_duplicates')}`"  # noqa: S608
        sql = f"WITH vector AS ({vector}), {text}"
        search = f"{sql} SELECT event_id FROM near_duplicate"  # noqa: S608
        pairs = int(warehouse.query(f"{sql} {_PAIRS[kind]}", values)[0]["pairs"])
        time, recall = "not run", "not run"
        if kind == "chosen" or pairs <= TIMED_PAIRS:
            time, recall = _time(warehouse, search, values, near)
        lines.append((f"{count:,}", _NAMES[kind], f"{pairs:,}", time, recall))
        echo(" ".join(lines[-1]))
    return lines


def _time(warehouse: Warehouse, statement: str, values: Parameters, near: Sequence[tuple[str, str]]) -> tuple[str, str]:
    found: set[str] = set()
    time = seconds(lambda: found.update(row["event_id"] for row in warehouse.query(statement, values)))
    recall = sum(one in found or other in found for one, other in near) / len(near)
    return f"{time:.1f}", f"{recall:.1%} of {len(near)}"


def _draw(count: int) -> Vectors:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((count, DIMENSION)) * np.sqrt((1 - MEAN_LENGTH**2) / DIMENSION)
    vectors[:, 0] += MEAN_LENGTH
    copies, originals = random.permutation(count)[: count // 25].reshape(2, -1)
    noise = random.standard_normal((len(copies), DIMENSION)) / np.sqrt(DIMENSION)
    vectors[copies] = vectors[originals] + noise * np.sqrt(2 * (1 - random.uniform(COSINE, 1, (len(copies), 1))))
    splits = random.choice(list(SHARES), count, p=list(SHARES.values()))
    ids = tuple(f"e-{number:06}" for number in random.permutation(count))
    return Vectors(ids, splits, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _near_pairs(vectors: Vectors) -> list[tuple[str, str]]:
    train, others = (np.flatnonzero((vectors.splits == "train") == is_train) for is_train in (True, False))
    pairs: list[tuple[str, str]] = []
    for part in np.array_split(others, 16):
        rows, columns = np.nonzero(vectors.units[part] @ vectors.units[train].T >= COSINE)
        pairs += [
            (vectors.ids[part[row]], vectors.ids[train[column]]) for row, column in zip(rows, columns, strict=True)
        ]
    return pairs


def _compute(count: int) -> list[Sequence[str]]:
    train = int(count * SHARES["train"])
    bits, bands, _ = hashing(COSINE, train)
    across = (1 - sum(share**2 for share in SHARES.values())) / 2 * count**2
    fixed, chosen = across * BANDS / 2**BITS, train * (count - train) * bands / 2**bits
    in_one_band = (1 - np.arccos(COSINE) / np.pi) ** BITS
    recalls = 1 - (1 - in_one_band) ** BANDS, expected_recall(COSINE, train)
    names = _NAMES["fixed"], f"{bands} bands of {bits} hyperplanes, against train"
    return [
        (f"{count:,}", name, f"{pairs:.1e}", f"{recall:.1%}")
        for name, pairs, recall in zip(names, (fixed, chosen), recalls, strict=True)
    ]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *lines)) + "\n"


if __name__ == "__main__":
    main()
