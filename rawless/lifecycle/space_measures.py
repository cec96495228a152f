"""Measures of how two encoders place the same events: neighbours, geometry, and what each space looks like alone.

Every measure is a smooth function of means over rows, if necessary to first order (the infinitesimal jackknife of
Efron, 'The Jackknife, the Bootstrap and Other Resampling Plans', 1982). So one bootstrap over persons gives all
intervals; drawing rows with repetition would itself change neighbours and the number of dimensions that are used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from encoders.spec import Vector
from rawless.errors import UserError
from rawless.heads.metrics import RESAMPLES, Metric, interval, resampled
from rawless.lifecycle.native_neighbours import unit
from rawless.lifecycle.paired_vectors import PairedVectors

MAX_QUERIES = 5_000
"""How many events neighbours are sought for, each among all events."""
_BLOCK = 256
"""Queries that are compared with all events at a time."""
_ROWS = 8_192
"""Rows whose products are in memory at a time, in double precision."""
_ROUNDING = 1e-6
"""Difference up to which cosines count as equal, so that of equal vectors any may be a neighbour."""
_SAME_COSINE = 0.9999
"""Mean cosine of an event's two vectors from which they count as the same vectors."""
_SAME_OVERLAP, _SAME_RESIDUAL = 0.99, 1e-3
"""Overlap of neighbours and residual from which on one space counts as a rotation of the other."""

Array = npt.NDArray[np.float64]
_Function = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Pair:
    """A measure of both spaces together, with its value when the vectors of different events are paired."""

    name: str
    measure: Metric
    unrelated: float


@dataclass(frozen=True)
class Alone:
    """A measure of each space, and of their difference on the same resampled rows."""

    name: str
    first: Metric
    second: Metric
    difference: Metric


@dataclass(frozen=True)
class Moved:
    """An event, its nearest neighbour by the first encoder, and how many others are nearer by the second one."""

    event: int
    """Position among the rows, as that of the neighbour."""
    neighbour: int
    nearer: int


@dataclass(frozen=True)
class SpaceMeasures:
    """How two encoders place the same events."""

    rows: int
    persons: int
    """Groups of rows that are resampled together: persons, and events without one."""
    k: int
    queries: int
    pairs: tuple[Pair, ...]
    alone: tuple[Alone, ...]
    same_event_cosine: float | None
    """The mean cosine of an event's two vectors; None for vectors of different dimensions."""
    moved: tuple[Moved, ...]
    """The nearest neighbour of each query, the one that is farthest by the second encoder first."""

    def of_pair(self, name: str) -> Metric:
        """Return the measure of both spaces with this name."""
        return next(each.measure for each in self.pairs if each.name == name)

    @property
    def is_rotation(self) -> bool:
        """Whether one space is the other one, rotated: the same neighbours at other coordinates."""
        is_turned = self.same_event_cosine is None or self.same_event_cosine < _SAME_COSINE
        return is_turned and self._is_congruent

    @property
    def is_same(self) -> bool:
        """Whether both encoders return the same vectors, but for rounding."""
        norms = next(each for each in self.alone if each.name == NORM)
        is_scaled = abs(norms.difference.value) > _SAME_RESIDUAL * norms.first.value
        return self._is_congruent and not self.is_rotation and not is_scaled

    @property
    def _is_congruent(self) -> bool:
        overlap, residual = self.of_pair(OVERLAP).value, self.of_pair(RESIDUAL).value
        return overlap >= _SAME_OVERLAP and residual <= _SAME_RESIDUAL


OVERLAP, CKA, RESIDUAL, NORM = "neighbour overlap", "linear CKA", "Procrustes residual", "mean norm"


def measure(vectors: PairedVectors, k: int = 10, seed: int = 0) -> SpaceMeasures:
    """Return the measures. Raises UserError when there are not more rows than neighbours."""
    rows = len(vectors)
    if rows < k + 2:
        raise UserError(
            f"{rows:,} events of {vectors.stream} have vectors of both encoders, too few for {k} neighbours of each: "
            "log both for longer, or use a smaller --k."
        )
    one, other = unit(vectors.first), unit(vectors.second)
    queries = min(rows, MAX_QUERIES)
    kept, moved = _neighbours(one, other, queries, k)
    columns, unrelated = _columns(vectors, one, other)
    drawn = _means(columns, vectors.subject_keys, seed)
    at = {name: np.array([column.mean()]) for name, column in columns.items()}

    def metric(name: str, function: _Function) -> Metric:
        value = float(function(at)[0])
        return interval(name, value, [float(each) for each in function(_projected(drawn, at))])

    overlaps = _means({"overlap": kept}, vectors.subject_keys[:queries], seed)["overlap"]
    overlap = interval(OVERLAP, float(kept.mean()), overlaps.tolist())
    pairs = (
        Pair(OVERLAP, overlap, k / (rows - 1)),
        Pair(CKA, metric(CKA, _cka), unrelated["cka"]),
        Pair(RESIDUAL, metric(RESIDUAL, _residual), unrelated["residual"]),
    )
    alone = tuple(
        Alone(
            name,
            metric(name, lambda means, of=of: of(means, "x")),  # type: ignore[misc]
            metric(name, lambda means, of=of: of(means, "y")),  # type: ignore[misc]
            metric(name, lambda means, of=of: of(means, "y") - of(means, "x")),  # type: ignore[misc]
        )
        for name, of in _ALONE.items()
    )
    groups = len({key for key in vectors.subject_keys if key}) + sum(key is None for key in vectors.subject_keys)
    same = float(np.einsum("ij,ij->i", one, other).mean()) if one.shape == other.shape else None
    return SpaceMeasures(rows, groups, k, queries, pairs, alone, same, moved)


def rotation_between(first: Vector, second: Vector) -> Array:
    """Return the rotation or reflection after which `first` is nearest to `second`, of the larger dimension squared.

    Schönemann, 'A Generalized Solution of the Orthogonal Procrustes Problem' (1966). Vectors of fewer dimensions are
    padded with zeros.
    """
    return _rotation(_gram(first, second))


def _rotation(products: Array) -> Array:
    size = max(products.shape)
    padded = np.pad(products, [(0, size - each) for each in products.shape])
    left, _, right = np.linalg.svd(padded)
    rotation: Array = left @ right
    return rotation


def _neighbours(one: Vector, other: Vector, queries: int, k: int) -> tuple[Array, tuple[Moved, ...]]:
    """Return for each query the share of its k nearest events that are so by both, and where the nearest one went.

    The share is the mean of both directions, which differ only where cosines are equal.
    """
    first, second = torch.from_numpy(one), torch.from_numpy(other)
    kept = np.empty(queries)
    moved: list[Moved] = []
    for start in range(0, queries, _BLOCK):
        block = slice(start, min(start + _BLOCK, queries))
        cosines = [side[block] @ side.T for side in (first, second)]
        own = torch.arange(block.start, block.stop)
        for each in cosines:
            each[torch.arange(len(own)), own] = -2  # an event is no neighbour of itself
        nearest = [each.topk(k, dim=1) for each in cosines]
        shares = []
        for side in (0, 1):
            there = cosines[1 - side].gather(1, nearest[side].indices)
            lowest = nearest[1 - side].values[:, -1:]
            shares.append((there >= lowest - _ROUNDING).double().mean(1))
        kept[block] = ((shares[0] + shares[1]) / 2).numpy()
        one_nearest = nearest[0].indices[:, :1]
        nearer = (cosines[1] > cosines[1].gather(1, one_nearest)).sum(1)
        moved += map(Moved, own.tolist(), one_nearest.squeeze(1).tolist(), nearer.tolist())
    moved.sort(key=lambda each: -each.nearer)
    return kept, tuple(moved)


def _columns(vectors: PairedVectors, one: Vector, other: Vector) -> tuple[dict[str, Array], dict[str, float]]:
    """Return values of each row from whose means the measures follow, and the measures of unrelated vectors."""
    x, y = vectors.first, vectors.second
    # Different events at most by chance: the rows are in random order.
    shifted = np.roll(y, len(y) // 2, axis=0)
    means = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
    xx, yy, xy = (_gram(*each) / len(x) for each in ((x, x), (y, y), (x, y)))
    rotation = _rotation(xy)
    spreads = [
        gram - np.outer(a, b) for gram, a, b in zip((xx, yy, xy), (*means, means[0]), (*means, means[1]), strict=True)
    ]
    units = one.mean(0, dtype=np.float64), other.mean(0, dtype=np.float64)
    names = (
        "cka_xy",
        "turned",
        *(f"{kind}_{side}" for side in "xy" for kind in ("square", "norm", "cka", "spread", "pair")),
    )
    columns = {name: np.empty(len(x)) for name in names}
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        exact = [each[rows].astype(np.float64) for each in (x, y)]
        centred = [each - mean for each, mean in zip(exact, means, strict=True)]
        columns["cka_xy"][rows] = _forms(centred[0], spreads[2], centred[1])
        size = [each.shape[1] for each in exact]
        columns["turned"][rows] = _forms(exact[0], rotation[: size[0], : size[1]], exact[1])
        for side, a, c, spread, scaled, mean in zip("xy", exact, centred, spreads, (one, other), units, strict=False):
            columns[f"square_{side}"][rows] = (a * a).sum(1)
            columns[f"norm_{side}"][rows] = np.sqrt(columns[f"square_{side}"][rows])
            columns[f"spread_{side}"][rows] = (c * c).sum(1)
            columns[f"cka_{side}"][rows] = _forms(c, spread, c)
            # without the cosine of 1 with itself
            columns[f"pair_{side}"][rows] = (scaled[rows].astype(np.float64) @ mean * len(x) - 1) / (len(x) - 1)
    across = _gram(x, shifted) / len(x)
    scale = columns["square_x"].mean() * columns["square_y"].mean()
    apart = across - np.outer(*means)
    sizes = columns["cka_x"].mean() * columns["cka_y"].mean()
    return columns, {
        "cka": _ratio((apart * apart).sum(), np.sqrt(sizes)),
        "residual": 1 - _ratio(np.linalg.svd(across, compute_uv=False).sum() ** 2, scale),
    }


def _gram(a: Vector, b: Vector) -> Array:
    """Return a.T @ b in double precision."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), _ROWS):
        total += a[start : start + _ROWS].astype(np.float64).T @ b[start : start + _ROWS].astype(np.float64)
    return total


def _forms(a: Array, matrix: Array, b: Array) -> Array:
    """Return a @ matrix @ b of each row."""
    forms: Array = np.einsum("ij,ij->i", a @ matrix, b)
    return forms


def _means(columns: Mapping[str, Array], persons: Sequence[str | None], seed: int) -> dict[str, Array]:
    """Return the means of columns over each bootstrap sample of persons."""
    table = np.stack(list(columns.values()), axis=1)
    means = np.empty((RESAMPLES, table.shape[1]))
    for number, rows in enumerate(resampled(persons, seed)):
        means[number] = np.bincount(rows, minlength=len(table)) @ table / len(rows)
    return dict(zip(columns, means.T, strict=True))


def _projected(drawn: Mapping[str, Array], at: Mapping[str, Array]) -> dict[str, Array]:
    """Return the means of samples; those of products of two rows change by twice as much as their projections."""
    projected = dict(drawn)
    for name, values in drawn.items():
        if name.startswith(("cka", "pair")):
            twice = 2 * values - at[name]
            projected[name] = twice if name.startswith("pair") else np.maximum(twice, 0)  # squared norms
    return projected


def _cka(means: Mapping[str, Array]) -> Array:
    """Kornblith et al., 'Similarity of Neural Network Representations Revisited' (2019): 1 for a rotation."""
    return _quotient(means["cka_xy"], np.sqrt(means["cka_x"] * means["cka_y"]))


def _residual(means: Mapping[str, Array]) -> Array:
    """The share of the squared lengths that the best rotation, reflection and scale leave: 0 for a rotation."""
    turned = np.maximum(means["turned"], 0)
    return np.maximum(1 - _quotient(turned**2, means["square_x"] * means["square_y"]), 0)


def _mean_cosine(means: Mapping[str, Array], side: str) -> Array:
    """Ethayarajh, 'How Contextual are Contextualized Word Representations?' (2019): 0 for isotropic directions."""
    return means[f"pair_{side}"]


def _effective_dimension(means: Mapping[str, Array], side: str) -> Array:
    """Gao et al., 'A Theory of Multineuronal Dimensionality, Dynamics and Measurement' (2017): participation ratio."""
    return _quotient(means[f"spread_{side}"] ** 2, means[f"cka_{side}"])


def _deviation(means: Mapping[str, Array], side: str) -> Array:
    return np.sqrt(np.maximum(means[f"square_{side}"] - means[f"norm_{side}"] ** 2, 0))


_ALONE: Mapping[str, Callable[[Mapping[str, Array], str], Array]] = {
    "mean cosine of two events": _mean_cosine,
    "effective dimension": _effective_dimension,
    NORM: lambda means, side: means[f"norm_{side}"],
    "deviation of norms": _deviation,
}


def _quotient(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else float("nan")
