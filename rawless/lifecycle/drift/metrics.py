"""The metrics of drift, each a function of sums over rows, so that a permutation of rows is one product of matrices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rawless.lifecycle.drift.frame import BINS, Array, Frame


class Side(NamedTuple):
    """The means of a frame's columns over the rows of one side, for one or several draws of its rows."""

    means: Array
    """Of shape (columns,) or (draws, columns)."""
    rows: float


@dataclass(frozen=True)
class Metric:
    """One metric: how its statistic is shown, and below which value nobody need be called."""

    code: str
    floor: float
    """The least value that is worth an alarm, however certain it is."""
    meaning: str
    is_root: bool = False
    """Whether the value is the root of the statistic, which then is a squared distance."""

    def value(self, statistic: float) -> float:
        """Return the value of a statistic, which chance may have made negative."""
        above = max(0.0, statistic)
        return above**0.5 if self.is_root else above

    @property
    def floor_statistic(self) -> float:
        """The statistic of the floor."""
        return self.floor**2 if self.is_root else self.floor


METRICS: Mapping[str, Metric] = {
    metric.code: metric
    for metric in (
        Metric("mean_shift", 0.25, "distance of the means, in standard deviations of each direction", is_root=True),
        Metric("mmd", 0.03, "maximum mean discrepancy with a Gaussian kernel", is_root=True),
        Metric("psi", 0.1, "population stability index of the principal direction that changed most"),
        Metric("far_share", 0.03, "share of rows farther from the centre than 99% of the reference"),
        Metric("norm_mean", 0.25, "shift of the mean norm, in standard deviations", is_root=True),
        Metric("norm_spread", 0.25, "logarithm of the quotient of the norms' standard deviations", is_root=True),
        Metric("rejection_share", 0.01, "share of deliveries that were rejected"),
        Metric("rejection_mix", 0.25, "population stability index of the reasons of rejections"),
        Metric("volume", 0.4, "logarithm of the quotient of the number of rows and the number expected"),
    )
}
"""All metrics by their codes, in the order in which they are printed."""
OF_EMBEDDINGS = ("mean_shift", "mmd", "psi", "far_share", "norm_mean", "norm_spread")


def statistics(frame: Frame, window: Side, reference: Side) -> dict[str, Array]:
    """Return the statistic of each metric of embeddings, corrected for what chance alone adds to it."""
    noise = 1 / window.rows + 1 / reference.rows
    cuts = np.cumsum([frame.dimension, len(frame.edges) * BINS, 1, 1, 1])
    white, bins, far, norm, square, fourier = np.split(window.means, cuts, axis=-1)
    white_0, bins_0, _, norm_0, square_0, fourier_0 = np.split(reference.means, cuts, axis=-1)
    variance, variance_0 = (np.maximum(each - mean**2, 1e-6) for each, mean in ((square, norm), (square_0, norm_0)))
    kernel_noise = 1 - (fourier_0**2).sum(-1)  # of one row: the features of a row have length 1
    by_direction = [
        psi(share, share_0, window.rows, reference.rows)
        for share, share_0 in zip(
            np.split(bins, len(frame.edges), axis=-1), np.split(bins_0, len(frame.edges), axis=-1), strict=True
        )
    ]
    return {
        "mean_shift": ((white - white_0) ** 2).sum(-1) - frame.dimension * noise,
        "mmd": ((fourier - fourier_0) ** 2).sum(-1) - kernel_noise * noise,
        "psi": np.max(by_direction, axis=0),
        "far_share": far[..., 0],
        "norm_mean": ((norm - norm_0) ** 2)[..., 0] - noise,
        "norm_spread": (np.log(variance / variance_0)[..., 0] / 2) ** 2 - noise / 2,
    }


def psi(share: Array, reference: Array, rows: float, reference_rows: float) -> Array:
    """Return the population stability index of shares along the last axis, less what it is by chance alone."""
    size = share.shape[-1]
    one, other = (
        (each * count + 0.5) / (count + size / 2) for each, count in ((share, rows), (reference, reference_rows))
    )
    found: Array = ((one - other) * np.log(one / other)).sum(-1) - (size - 1) * (1 / rows + 1 / reference_rows)
    return found


def permuted(columns: npt.NDArray[np.float32], size: int, draws: int, seed: int) -> tuple[Side, Side]:
    """Return both sides of random divisions of rows, of which the first has `size` rows."""
    chance = np.random.default_rng(seed)
    count, total = len(columns), columns.sum(0, dtype=np.float64)
    sums = np.empty((draws, columns.shape[1]))
    for start in range(0, draws, 250):  # bounds the memory
        number = min(250, draws - start)
        chosen = np.zeros((number, count), np.float32)
        ranks = chance.random((number, count), np.float32).argpartition(size, axis=1)[:, :size]
        np.put_along_axis(chosen, ranks, 1.0, axis=1)
        sums[start : start + number] = chosen @ columns
    return Side(sums / size, size), Side((total - sums) / (count - size), count - size)
