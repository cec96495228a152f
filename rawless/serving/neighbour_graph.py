"""Graphs that find the nearest vectors without comparing all: HNSW (Malkov and Yashunin, 2016), by usearch."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

CONNECTIVITY = 16
EXPANSION_BUILD = 128
EXPANSIONS = (256, 384, 512, 768, 1024, 1536, 2048)
"""How many rows a search looks at. The first one that finds enough is used."""
MINIMUM_ALIKE, MINIMUM_UNLIKE = 0.95, 0.9
OVERSAMPLED = 2
"""How many candidates are compared exactly, for each that is wanted: the graph has rounded vectors."""
SAMPLE = 64
"""Queries of each kind by which the recall is measured."""
GRAPH_BYTES = 700
"""Of a row in a graph, beside its vector of bfloat16; 640 were measured."""
_ADDED = 64
"""Rows that are added at once: other threads of the process run in between."""
_COMPARED_BYTES = 64_000_000
"""Of the exact cosines that are in memory at once while the recall is measured."""


class Recall(NamedTuple):
    """The share of the nearest rows that a search finds."""

    alike: float
    """For queries that are rows."""
    unlike: float
    """For queries that are unlike any row, of which a graph finds less."""

    @property
    def is_enough(self) -> bool:
        """Whether a graph may be used."""
        return self.alike >= MINIMUM_ALIKE and self.unlike >= MINIMUM_UNLIKE


EXACT = Recall(1.0, 1.0)


class NeighbourGraph:
    """A graph over the rows of a matrix. Equal matrices have equal graphs, since one thread builds them."""

    def __init__(self, vectors: Matrix, lengths: Matrix) -> None:
        """Build the graph, which takes a third of a millisecond a row. `lengths` are those of the vectors."""
        from usearch.index import Index

        self._vectors, self._lengths = vectors, lengths
        self._index: Any = Index(
            ndim=vectors.shape[1], metric="cos", dtype="bf16", connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_BUILD, expansion_search=EXPANSIONS[0],
        )  # fmt: skip
        for start in range(0, len(vectors), _ADDED):
            rows = np.arange(start, min(start + _ADDED, len(vectors)))
            self._index.add(rows, vectors[rows] / lengths[rows, None], threads=1)

    @property
    def bytes(self) -> int:
        """The memory of the graph, without the matrix."""
        return int(self._index.memory_usage)

    def candidates(self, direction: Matrix, count: int) -> Rows:
        """Return rows, among which are most of the `count` nearest to a vector of length 1. Any thread may call it."""
        found = self._index.search(direction, min(OVERSAMPLED * count, len(self._vectors)), threads=1)
        return np.asarray(found.keys, np.int64)

    def tune(self, count: int) -> Recall:
        """Look at more rows until enough of the `count` nearest are found, and return the recall."""
        samples = [(queries, self._last_cosines(queries, count)) for queries in self._samples()]
        recall = Recall(0.0, 0.0)
        for expansion in EXPANSIONS:
            self._index.expansion_search = expansion
            recall = Recall(*(self._recall(queries, bounds, count) for queries, bounds in samples))
            if recall.is_enough:
                break
        return recall

    def _recall(self, queries: Matrix, bounds: Matrix, count: int) -> float:
        """Return the share of the nearest rows that are found. One as near as the last of them counts as it."""
        found = 0
        for query, bound in zip(queries, bounds, strict=True):
            rows = self.candidates(query, count)
            found += min(count, int((self._vectors[rows] @ query / self._lengths[rows] >= bound - 1e-6).sum()))
        return found / (len(queries) * min(count, len(self._vectors)))

    def _samples(self) -> tuple[Matrix, Matrix]:
        """Return directions of rows, and directions whose components are of different rows: queries unlike any row."""
        chance = np.random.default_rng(0)
        rows = chance.choice(len(self._vectors), min(SAMPLE, len(self._vectors)), replace=False)
        alike = self._vectors[rows] / self._lengths[rows, None]
        mixed = chance.permuted(alike, axis=0)
        return alike, mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), np.float32(1e-12))

    def _last_cosines(self, queries: Matrix, count: int) -> Matrix:
        """Return for each direction the cosine of the last of its `count` nearest rows."""
        size = max(1, _COMPARED_BYTES // (4 * len(self._vectors)))
        parts = (queries[start : start + size] for start in range(0, len(queries), size))
        return np.concatenate([self._bounds(part, count) for part in parts])

    def _bounds(self, queries: Matrix, count: int) -> Matrix:
        cosines = queries @ self._vectors.T / self._lengths
        place = max(0, len(self._vectors) - count)
        return np.partition(cosines, place, axis=1)[:, place]
