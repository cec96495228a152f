"""Sample rows of a snapshot and project their vectors onto a plane, by PCA and UMAP."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rawless.datasets.snapshots import SCHEMA, Manifest
from rawless.heads.readers import attributes_of, ids_of, matrix
from rawless.report.clusters import Clusters, clusters

MAX_POINTS = 3000
SEED = 0
MIN_ROWS_FOR_UMAP = 15
NEIGHBOURS = 15
"""UMAP's n_neighbors, at its default."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """Positions of the sampled rows on a plane."""

    name: str
    note: str
    """How to read it, in one sentence."""
    positions: Array
    """Array of shape (rows, 2)."""


@dataclass(frozen=True)
class Points:
    """Sampled rows: each list has one entry per row. Labels are numbers if the snapshot's are."""

    ids: Sequence[str]
    labels: Sequence[Any]
    splits: Sequence[str]
    encoders: Sequence[str]
    projections: tuple[Projection, ...]
    total: int
    """Number of rows that the snapshot has now, of which these are a sample."""
    attributes: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """The values of each attribute, None where a row lacks it."""
    clusters: Clusters | None = None

    def __len__(self) -> int:
        return len(self.ids)


def points(snapshot: Manifest, rows: Iterable[pa.RecordBatch], limit: int = MAX_POINTS) -> Points:
    """Sample and project the rows of a snapshot. Pairs are projected by their left vector."""
    sampled, total = sample(rows, limit)
    encoder = str(snapshot.spec.get("spec", snapshot.spec).get("encoder", "?"))
    fingerprints = sampled["encoder_fingerprint"].to_pylist()
    ids, vectors = ids_of(sampled), matrix(sampled["embedding"])
    labels = sampled["label_value" if snapshot.is_number else "label"].to_pylist()
    return Points(
        ids,
        labels,
        sampled["split"].to_pylist(),
        [encoder if fingerprint == snapshot.fingerprint else fingerprint[:12] for fingerprint in fingerprints],
        tuple(project(vectors)) if len(sampled) else (),
        total,
        attributes_of(sampled),
        clusters(vectors, ids, labels),
    )


def sample(rows: Iterable[pa.RecordBatch], limit: int, seed: int = SEED) -> tuple[pa.Table, int]:
    """Return a sample of at most `limit` rows, and the total number of rows.

    The sample does not depend on the order or the batches of the rows. At most `limit` rows and a batch are in memory.
    """
    kept, total = SCHEMA.empty_table(), 0
    for batch in rows:
        total += len(batch)
        candidates = pa.concat_tables([kept, pa.Table.from_batches([batch], SCHEMA)])
        ranks = [hashlib.sha256(f"{seed}:{row_id}".encode()).digest() for row_id in ids_of(candidates)]
        kept = candidates.take(sorted(range(len(candidates)), key=ranks.__getitem__)[:limit])
    return kept, total


def project(vectors: Array) -> list[Projection]:
    """Project vectors of shape (rows, dimension) by UMAP, if there are enough rows for it, and by PCA."""
    with warnings.catch_warnings():  # about zero variance and optional packages; readers of a report cannot use them
        warnings.simplefilter("ignore")
        projections = [_pca(vectors)]
        return [_umap(vectors), *projections] if len(vectors) >= MIN_ROWS_FOR_UMAP else projections


def _pca(vectors: Array) -> Projection:
    """Pearson, 'On Lines and Planes of Closest Fit to Systems of Points in Space' (1901)."""
    from sklearn.decomposition import PCA

    fitted = PCA(min(2, *vectors.shape), svd_solver="full")
    positions = fitted.fit_transform(vectors)
    share = float(np.nan_to_num(fitted.explained_variance_ratio_).sum())
    note = f"PCA: the plane with the largest variance of the vectors; it shows {share:.0%} of their variance."
    return Projection("PCA", note, np.pad(positions, ((0, 0), (0, 2 - positions.shape[1]))))


def _umap(vectors: Array) -> Projection:
    """McInnes, Healy and Melville, 'UMAP: Uniform Manifold Approximation and Projection' (2018)."""
    from umap import UMAP

    _cache_compiled_functions()
    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    mapper = UMAP(n_neighbors=neighbours, metric="cosine", random_state=SEED, n_jobs=1)
    note = (
        f"UMAP: nearest neighbours by cosine stay near each other ({neighbours} each); distances between groups, and "
        "their sizes, mean little."
    )
    return Projection("UMAP", note, np.asarray(mapper.fit_transform(vectors), np.float64))


def _cache_compiled_functions() -> None:
    """Let Numba keep these functions' machine code on disk, if it can: each process would compile them for 10 s."""
    from umap import layouts, umap_, utils

    for function in (
        utils.fast_knn_indices,
        umap_.smooth_knn_dist,
        umap_.compute_membership_strengths,
        layouts._nb_optimize_layout_euclidean_single_epoch,
    ):
        with contextlib.suppress(RuntimeError):  # no folder is writable
            function.enable_caching()
