"""How many of the nearest neighbours that native vectors have are found by mapped ones (recall@k)."""

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.heads.metrics import Array

K = 10
_BLOCK = 256
"""Queries that are searched at a time."""
_ROUNDING = 1e-6
"""Difference up to which cosines count as equal."""


class NativeNeighbours:
    """An index of the native vectors of events, by cosine, and the neighbours of some of these events in it.

    An event is not its own neighbour.
    """

    def __init__(self, index: Vector, queries: npt.NDArray[np.intp], k: int = K) -> None:
        """`queries` are the rows of the index whose `k` nearest neighbours are wanted."""
        self._index, self._queries, self._k = unit(index), queries, k
        expected = self._search(self._index[queries], self._index)
        self._least = self._native_cosines(expected).min(axis=1, keepdims=True) - _ROUNDING

    def found(self, vectors: Vector, index: Vector | None = None) -> Array:
        """Return the share of the neighbours of each query that its vector finds.

        In `index`, if it is given: other vectors of the same events. Of events that are equally near, such as those of
        the same content, any is a neighbour.
        """
        found = self._search(unit(vectors), self._index if index is None else unit(index))
        shares: Array = (self._native_cosines(found) >= self._least).mean(axis=1)
        return shares

    def _native_cosines(self, found: npt.NDArray[np.intp]) -> Vector:
        """Return the cosine of the native vector of each query with those of the events found for it."""
        cosines = np.empty(found.shape, np.float32)
        for start in range(0, len(found), _BLOCK):
            rows = slice(start, start + _BLOCK)
            native = self._index[self._queries[rows]]
            cosines[rows] = np.einsum("qd,qkd->qk", native, self._index[found[rows]])
        return cosines

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
