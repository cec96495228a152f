"""Group the sampled rows of a snapshot by their vectors, and name rows that are typical of each group.

The groups are those of k-means (Lloyd, 1982) over unit vectors, reduced to their first principal components. There are
as many as labels, so that a label which has no group of its own is seen: the number with the largest silhouette
(Rousseeuw, 1987) would be two for most encoders, and clustering by density calls most rows noise. The seed is fixed.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SEED = 0
MIN_ROWS = 30
TYPICAL = 3
"""Rows of a cluster that are named."""
MAX_CLUSTERS = 30
_OF_NUMBERS = 10
"""Clusters where labels are numbers."""
_LEAST_MEAN_ROWS = 10
_COMPONENTS = 50
_LEAST_SPREAD = 1e-6
_LABELS_SHOWN = 3


class Cluster(NamedTuple):
    """A group of rows with similar vectors."""

    name: str
    rows: int
    contents: str
    """Its most frequent labels with their shares, or the mean of its labels if they are numbers."""
    typical: Sequence[str]
    """The ids of the rows nearest to its mean, the nearest first."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of sampled rows, the largest first."""

    of_rows: Sequence[str]
    """The name of each row's cluster."""
    found: Sequence[Cluster]
    silhouette: float
    """Between 0, where clusters overlap, and 1, where they are far from each other."""


def clusters(vectors: npt.NDArray[np.float64], ids: Sequence[str], labels: Sequence[Any]) -> Clusters | None:
    """Return the clusters of rows, or None where there are too few or all are equal."""
    if len(vectors) < MIN_ROWS:
        return None
    places = _places(vectors)
    if np.ptp(places, axis=0).max() < _LEAST_SPREAD:
        return None
    numbers, silhouette = _grouped(places, _OF_NUMBERS if isinstance(labels[0], float) else len(set(labels)))
    order = [number for number, _ in Counter(numbers.tolist()).most_common()]
    names = {number: f"cluster {rank}" for rank, number in enumerate(order, 1)}
    found = [_described(names[number], np.flatnonzero(numbers == number), places, ids, labels) for number in order]
    return Clusters([names[number] for number in numbers.tolist()], found, silhouette)


def _places(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from sklearn.decomposition import PCA

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    reduced = PCA(min(_COMPONENTS, *units.shape), svd_solver="randomized", random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about zero variance; readers of a report cannot use them
        return np.asarray(reduced.fit_transform(units))


def _grouped(places: npt.NDArray[np.float64], wanted: int) -> tuple[npt.NDArray[np.int_], float]:
    """Return the number of each row's group, and the silhouette."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    number = max(2, min(wanted, MAX_CLUSTERS, len(places) // _LEAST_MEAN_ROWS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fewer distinct points than clusters
        numbers = KMeans(number, n_init=3, random_state=SEED).fit_predict(places)
    return numbers, float(silhouette_score(places, numbers))


def _described(
    name: str, rows: npt.NDArray[np.int_], places: npt.NDArray[np.float64], ids: Sequence[str], labels: Sequence[Any]
) -> Cluster:
    distances = np.linalg.norm(places[rows] - places[rows].mean(0), axis=1)
    nearest = rows[np.argsort(distances, kind="stable")[:TYPICAL]]
    own = [labels[row] for row in rows.tolist()]
    return Cluster(name, len(rows), _contents(own), [ids[row] for row in nearest.tolist()])


def _contents(labels: Sequence[Any]) -> str:
    if isinstance(labels[0], float):
        return f"mean {np.mean(labels):.4g}"
    counted = Counter(labels)
    shown = ", ".join(f"{label} {count / len(labels):.0%}" for label, count in counted.most_common(_LABELS_SHOWN))
    more = len(counted) - _LABELS_SHOWN
    return shown + (f" and {more:,} more" if more > 0 else "")
