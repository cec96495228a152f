"""Rows of a snapshot drawn by a seed, and their vectors as places on a plane: PCA and UMAP."""

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rawless.datasets.snapshots import SCHEMA, Manifest
from rawless.heads.readers import ids_of, matrix

MOST_POINTS = 3000
SEED = 0
LEAST_FOR_UMAP = 15
NEIGHBOURS = 15
"""Of UMAP, as its authors have it."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """Places on a plane: `places` has the shape (rows, 2)."""

    name: str
    note: str
    places: Array


@dataclass(frozen=True)
class Points:
    """Drawn rows: each list has one entry a row. Labels are numbers where the snapshot's are."""

    ids: Sequence[str]
    labels: Sequence[Any]
    splits: Sequence[str]
    encoders: Sequence[str]
    projections: tuple[Projection, ...]
    there: int
    """How many rows the snapshot has now, of which these were drawn."""

    def __len__(self) -> int:
        return len(self.ids)


def points(snapshot: Manifest, rows: Iterable[pa.RecordBatch], most: int = MOST_POINTS) -> Points:
    """The map of a snapshot's rows; pairs are mapped by their left vector."""
    drawn, there = draw(rows, most)
    encoder = str(snapshot.spec.get("spec", snapshot.spec).get("encoder", "?"))
    prints = drawn["encoder_fingerprint"].to_pylist()
    return Points(
        ids_of(drawn),
        drawn["label_value" if snapshot.is_number else "label"].to_pylist(),
        drawn["split"].to_pylist(),
        [encoder if each == snapshot.fingerprint else each[:12] for each in prints],
        tuple(project(matrix(drawn["embedding"]))) if len(drawn) else (),
        there,
    )


def draw(rows: Iterable[pa.RecordBatch], most: int, seed: int = SEED) -> tuple[pa.Table, int]:
    """At most so many rows, and how many there were.

    They are the same in whatever order and batches they come, and no more are held in memory.
    """
    kept, there = SCHEMA.empty_table(), 0
    for batch in rows:
        there += len(batch)
        whole = pa.concat_tables([kept, pa.Table.from_batches([batch], SCHEMA)])
        lots = [hashlib.sha256(f"{seed}:{each}".encode()).digest() for each in ids_of(whole)]
        kept = whole.take(sorted(range(len(whole)), key=lots.__getitem__)[:most])
    return kept, there


def project(vectors: Array) -> list[Projection]:
    """UMAP first, where there are enough rows for it, and PCA. `vectors` has the shape (rows, dimension)."""
    with warnings.catch_warnings():  # of one colour, of no variance, of optional parts: none helps who reads a page
        warnings.simplefilter("ignore")
        found = [_pca(vectors)]
        return [_umap(vectors), *found] if len(vectors) >= LEAST_FOR_UMAP else found


def _pca(vectors: Array) -> Projection:
    """Pearson, 'On Lines and Planes of Closest Fit to Systems of Points in Space' (1901)."""
    from sklearn.decomposition import PCA

    fitted = PCA(min(2, *vectors.shape), svd_solver="full")
    places = fitted.fit_transform(vectors)
    share = float(np.nan_to_num(fitted.explained_variance_ratio_).sum())
    note = f"PCA: the plane on which the vectors vary most; it shows {share:.0%} of their variance."
    return Projection("PCA", note, np.pad(places, ((0, 0), (0, 2 - places.shape[1]))))


def _umap(vectors: Array) -> Projection:
    """McInnes, Healy and Melville, 'UMAP: Uniform Manifold Approximation and Projection' (2018)."""
    from umap import UMAP

    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    mapper = UMAP(n_neighbors=neighbours, metric="cosine", random_state=SEED, n_jobs=1)
    note = (
        f"UMAP: neighbours by cosine stay neighbours ({neighbours} each); distances between groups, and their sizes, "
        "mean little."
    )
    return Projection("UMAP", note, np.asarray(mapper.fit_transform(vectors), np.float64))
