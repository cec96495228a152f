"""The digest over the rows of a snapshot, computed on the client."""

import hashlib
from collections.abc import Iterable
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rawless.datasets.snapshots import canonical

_VECTORS = ("embedding", "right_embedding")
_HASHED_TEXTS = (
    "event_id", "left_event_id", "right_event_id", "stream", "label", "split", "person_key", "encoder_fingerprint",
)  # fmt: skip
_SCALE = 2.0**48
_MODERATE = 2.0**14
"""Below it, a number times the scale is within the range of an INT64."""


class RowDigest:
    """An incremental digest over rows in any order, equal to the one that the template `digest` computes in SQL.

    A row is hashed by SHA-256 over its columns as the template `canonical` writes them. Rows are divided into groups by
    the first four hexadecimal digits of their hashes, and the digest is the SHA-256 over the hashes of the groups, each
    of which is the SHA-256 over its sorted hashes.
    """

    def __init__(self) -> None:
        self._hashes: list[str] = []

    @property
    def rows(self) -> int:
        """Return the number of rows added."""
        return len(self._hashes)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch with the columns of `SCHEMA`. How rows are divided into batches does not matter."""
        rows = canonical(batch)
        columns = [_texts(rows, name) for name in _HASHED_TEXTS]
        columns += [
            _attributes(rows.column("attributes")),
            _features(rows.column("features")),
            *(_vectors(rows, name) for name in _VECTORS),
        ]
        times = rows.column("occurred_at").cast(pa.int64()).to_pylist()
        numbers = rows.column("label_value").to_pylist()
        for time, number, *texts, attributes, features, left, right in zip(times, numbers, *columns, strict=True):
            parts = ("".join(texts) + str(time), _number(number), attributes, features, left, right)
            self._hashes.append(hashlib.sha256(";".join(parts).encode()).hexdigest())

    def hexdigest(self) -> str:
        """Return the digest of all rows added so far, in hexadecimal."""
        whole = hashlib.sha256()
        for _, group in groupby(sorted(self._hashes), lambda each: each[:4]):
            whole.update(hashlib.sha256("".join(group).encode()).hexdigest().encode())
        return whole.hexdigest()


def digest(rows: Iterable[pa.RecordBatch]) -> tuple[str, int]:
    """Return the digest of rows, in hexadecimal, and their number. See `RowDigest`."""
    row_digest = RowDigest()
    for batch in rows:
        row_digest.add(batch)
    return row_digest.hexdigest(), row_digest.rows


def _texts(rows: pa.RecordBatch, name: str) -> list[str]:
    return [_text(value) for value in rows.column(name).to_pylist()]


def _text(value: str | None) -> str:
    return "-" if value is None else f"{len(value.encode())}:{value}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value + 0.0:.17g}"  # -0.0 + 0.0 is 0.0


def _attributes(column: pa.ListArray) -> list[str]:
    rows = [sorted((each["key"], each["value"]) for each in row) for row in column.to_pylist()]
    return ["".join(_text(key) + _text(value) for key, value in row) for row in rows]


def _features(column: pa.ListArray) -> list[str]:
    rows = [sorted((each["name"], each["value"], each["category"]) for each in row) for row in column.to_pylist()]
    return ["".join(_text(name) + _number(value) + _text(category) for name, value, category in row) for row in rows]


def _vectors(rows: pa.RecordBatch, name: str) -> list[str]:
    column = rows.column(name)
    offsets = column.offsets.to_numpy()
    elements = _elements(column.values[offsets[0] : offsets[-1]].to_numpy(zero_copy_only=False))
    cuts = (offsets - offsets[0]).tolist()
    return [",".join(elements[start:end]) for start, end in pairwise(cuts)]


def _elements(numbers: NDArray[np.float64]) -> list[str]:
    """Return each number as a multiple of 2^-48 if it is one of moderate size, else with 17 digits."""
    is_moderate = np.abs(numbers) < _MODERATE
    scaled = np.where(is_moderate, numbers, 0.0) * _SCALE
    integers = scaled.astype(np.int64)
    elements = list(map(str, integers.tolist()))
    for position in np.flatnonzero(~is_moderate | (integers != scaled)).tolist():
        elements[position] = f"f{numbers[position]:.17g}"
    return elements
