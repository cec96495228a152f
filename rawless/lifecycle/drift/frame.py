"""`Frame`: the coordinates in which windows are compared, learned from one half of the reference's sample.

The other half is compared with windows, so that under no change both are drawn alike, and permuting them is exact.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DIRECTIONS, BINS = 8, 10
"""Principal directions whose bins are compared, and bins of each."""
_WHITENED = 32
"""Principal directions with a scale of their own; all others share one (Tipping and Bishop, 'Probabilistic principal
component analysis', 1999)."""
_FREQUENCIES = 64
"""Random Fourier features are as many cosines and as many sines (Rahimi and Recht, 2007)."""
_FAR_QUANTILE = 0.99
_BANDWIDTH_ROWS = 500
_SMALLEST = 1e-3
"""The least scale of a direction, and of norms, as parts of the largest and of the mean: constants have none."""


@dataclass(frozen=True)
class Frame:
    """Maps vectors to columns, whose sums over rows decide every metric of embeddings."""

    centre: Array
    directions: Array
    """Principal directions, of shape (dimension, n), the first first."""
    scales: Array
    """The standard deviation in each of them."""
    other_scale: float
    """The standard deviation in every other direction."""
    edges: Array
    """Of shape (DIRECTIONS, BINS - 1): the deciles in the first directions."""
    far_distance: float
    frequencies: Array
    """Of shape (dimension, _FREQUENCIES)."""
    norm_mean: float
    norm_scale: float

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return len(self.centre)

    def whiten(self, vectors: Array) -> Array:
        """Return vectors relative to the centre, in standard deviations of each direction."""
        relative = vectors - self.centre
        inside = relative @ self.directions
        whitened: Array = (relative - inside @ self.directions.T) / self.other_scale
        whitened += (inside / self.scales) @ self.directions.T
        return whitened

    def with_far_distance(self, vectors: Array) -> "Frame":
        """Return the frame with the distance of which 1% of vectors are farther.

        They are others than it was learned from, which are nearer to its centre than any new ones.
        """
        distances = np.linalg.norm(self.whiten(vectors), axis=1)
        return replace(self, far_distance=float(np.quantile(distances, _FAR_QUANTILE)))

    def columns(self, vectors: Array) -> npt.NDArray[np.float32]:
        """Return one row for each vector: whitened, bins, whether it is far, norm and its square, Fourier features."""
        whitened = self.whiten(vectors)
        inside = (vectors - self.centre) @ self.directions[:, : len(self.edges)]
        bins = [np.eye(BINS)[np.searchsorted(edges, each)] for edges, each in zip(self.edges, inside.T, strict=True)]
        far = np.linalg.norm(whitened, axis=1) > self.far_distance
        norms = (np.linalg.norm(vectors, axis=1) - self.norm_mean) / self.norm_scale
        angles = vectors @ self.frequencies
        fourier = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(self.frequencies.shape[1])
        parts = [whitened, *bins, far[:, None], norms[:, None], norms[:, None] ** 2, fourier]
        return np.concatenate(parts, axis=1).astype(np.float32)


def learn_frame(vectors: Array, seed: int) -> Frame:
    """Return the frame of vectors of shape (rows, dimension); no vector is far in it."""
    chance = np.random.default_rng(seed)
    rows, dimension = vectors.shape
    centre = vectors.mean(axis=0)
    _, singular, transposed = np.linalg.svd(vectors - centre, full_matrices=False)
    deviations = singular / np.sqrt(max(1, rows - 1))
    kept = max(1, min(_WHITENED, dimension, rows // 20))
    least = _SMALLEST * max(float(deviations[0]), 1e-12)
    left = float((deviations[kept:] ** 2).sum()) / max(1, dimension - kept)
    directions = transposed[:kept].T
    inside = (vectors - centre) @ directions[:, :DIRECTIONS]
    pairs = chance.integers(0, rows, (2, _BANDWIDTH_ROWS))
    apart = np.linalg.norm(vectors[pairs[0]] - vectors[pairs[1]], axis=1)
    bandwidth = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    norms = np.linalg.norm(vectors, axis=1)
    return Frame(
        centre=centre,
        directions=directions,
        scales=np.maximum(deviations[:kept], least),
        other_scale=max(np.sqrt(left), least),
        edges=np.quantile(inside, np.arange(1, BINS) / BINS, axis=0).T,
        far_distance=np.inf,
        frequencies=chance.standard_normal((dimension, _FREQUENCIES)) / bandwidth,
        norm_mean=float(norms.mean()),
        norm_scale=max(float(norms.std()), _SMALLEST * float(norms.mean()), 1e-12),
    )
