"""Learning a projection that keeps what tells given labels apart, and as little else of a vector as possible.

The directions are those of a discriminant analysis (Fisher, 1936; Rao, 1948): in them the means of the labels are far
apart for the spread of the vectors. All other directions are dropped, and with them most of the words. Attributes that
are to be lost are erased before (LEACE, Belrose et al., 2023): afterwards no linear model predicts them better than a
constant, on the rows that it was learned from. Words that are to be lost count as additional spread, so directions
that tell them are avoided. docs/privacy/defences.md has the measurements that led to this choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from encoders.spec import Vector

Matrix = npt.NDArray[np.float64]
_RIDGE = 1e-2
"""Added to the spread, as a share of its mean, so that directions in which the rows hardly differ are not overrated."""
_WORD_WEIGHT = 10.0
"""How much more the spread of lost words counts than other spread."""
_WORD_RIDGE = 5.0
_SMALL = 1e-7


@dataclass(frozen=True)
class AffineMap:
    """What a learned projection does: `vectors @ weight.T + bias`."""

    weight: Vector
    """Of shape (dimension, full_dimension)."""
    bias: Vector


def most_dimensions(keep: Sequence[Sequence[str]]) -> int:
    """Return the number of directions in which the means of the labels can differ."""
    return sum(len(set(labels)) - 1 for labels in keep)


def learn(
    vectors: Vector,
    keep: Sequence[Sequence[str]],
    lose: Sequence[Sequence[str]] = (),
    words: npt.NDArray[np.bool_] | None = None,
    dimension: int | None = None,
) -> AffineMap:
    """Return the map to `dimension` components, by default `most_dimensions`, of mean square length one.

    `keep` and `lose` are labels, one a row; `words` says which row contains which of the words to lose.
    """
    rows = vectors.astype(np.float64)
    mean = rows.mean(axis=0)
    eraser = _eraser(rows - mean, np.hstack([_one_hot(labels) for labels in lose])) if lose else np.eye(len(mean))
    centred = (rows - mean) @ eraser.T
    kept = np.hstack([_one_hot(labels) for labels in keep])
    explained = kept @ np.linalg.lstsq(kept, centred, rcond=None)[0]
    within = centred - explained
    spread = _covariance(centred, centred)
    spread += _RIDGE * np.trace(spread) / len(mean) * np.eye(len(mean))
    if words is not None:
        spread += _WORD_WEIGHT * _explained_by(words, kept, within)
    _, directions = eigh(_covariance(explained, explained), spread)
    chosen = directions[:, ::-1][:, : dimension or min(most_dimensions(keep), len(mean))].T
    chosen /= np.sqrt(((centred @ chosen.T) ** 2).sum(axis=1).mean())
    weight = chosen @ eraser
    return AffineMap(weight.astype(np.float32), (-weight @ mean).astype(np.float32))


def _one_hot(labels: Sequence[str]) -> Matrix:
    """Return which label each row has, centred."""
    names = np.unique(np.asarray(labels))
    found = (np.asarray(labels)[:, None] == names[None]).astype(np.float64)
    return found - found.mean(axis=0)  # type: ignore[no-any-return]


def _covariance(one: Matrix, other: Matrix) -> Matrix:
    product: Matrix = one.T @ other / len(one)
    return product


def _eraser(centred: Matrix, lost: Matrix) -> Matrix:
    """Return the map that makes vectors uncorrelated with what is to be lost, and moves them least."""
    values, axes = eigh(_covariance(centred, centred))
    is_used = values > values.max() * _SMALL
    values, axes = np.sqrt(values[is_used]), axes[:, is_used]
    whitening, unwhitening = (axes / values) @ axes.T, (axes * values) @ axes.T
    left, sizes, _ = np.linalg.svd(whitening @ _covariance(centred, lost), full_matrices=False)
    left = left[:, sizes > _SMALL]
    return np.eye(len(centred.T)) - unwhitening @ left @ left.T @ whitening  # type: ignore[no-any-return]


def _explained_by(words: npt.NDArray[np.bool_], kept: Matrix, within: Matrix) -> Matrix:
    """Return the covariance of the part of vectors that the words explain beyond the labels."""
    own = words.astype(np.float64) - words.mean(axis=0)
    own -= kept @ np.linalg.lstsq(kept, own, rcond=None)[0]
    shared = own.T @ within
    return shared.T @ np.linalg.solve(own.T @ own + _WORD_RIDGE * np.eye(own.shape[1]), shared) / len(own)  # type: ignore[no-any-return]
