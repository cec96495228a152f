"""How many of the nearest neighbours that native vectors have are found by mapped ones (recall@k)."""

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.heads.metrics import Array

K = 10
_BLOCK = 256
"""Queries that are searched at a time."""


class NativeNeighbours:
    """An index of the native vectors of events, by cosine, and the neighbours of some of these events in it.

    An event is not its own neighbour.
    """

    def __init__(self, index: Vector, queries: npt.NDArray[np.intp], k: int = K) -> None:
        """`queries` are the rows of the index whose `k` nearest neighbours are wanted."""
        self._index, self._queries, self._k = unit(index), queries, k
        self._expected = self._search(self._index[queries], self._index)

    def found(self, vectors: Vector, index: Vector | None = None) -> Array:
        """Return the share of the neighbours of each query that its vector finds.

        In `index`, if it is given: other vectors of the same events.
        """
        found = self._search(unit(vectors), self._index if index is None else unit(index))
        shares: Array = (found[:, :, None] == self._expected[:, None, :]).any(axis=2).mean(axis=1)
        return shares

    def _search(self, vectors: Vector, index: Vector) -> npt.NDArray[np.intp]:
        found = np.empty((len(vectors), self._k), np.intp)
        for start in range(0, len(vectors), _BLOCK):
            similarities = vectors[start : start + _BLOCK] @ index.T
            similarities[np.arange(len(similarities)), self._queries[start : start + _BLOCK]] = -np.inf
            found[start : start + _BLOCK] = np.argpartition(-similarities, self._k, axis=1)[:, : self._k]
        return found


def unit(vectors: Vector) -> Vector:
    """Return vectors scaled to length one."""
    scaled: Vector = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled
