"""Attacks on the vectors of images: finding a picture again, and reconstructing it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.audit.leakage.attack import Finding, Records
from rawless.audit.leakage.image_contents import Pictures
from rawless.audit.leakage.picture_decoder import reconstruct
from rawless.audit.leakage.picture_similarity import psnr, ssim

_ROUNDING = 1e-6
"""Difference up to which cosines count as equal."""
_BLOCK = 1024


class NearDuplicateAttack:
    """A changed copy of a picture finds the row of the picture.

    The attacker has a picture that was re-encoded, cropped or brightened, computes its vector by the encoder, and
    takes the nearest row. `auxiliary` are the vectors of the copies, `own` the rows of their pictures among `attacked`.
    """

    name = "image_near_duplicate"

    def __init__(self, own: Records) -> None:
        self._own = own

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """Return the share of copies whose nearest row is their own."""
        copies = np.bincount(self._own, minlength=len(attacked))
        found = np.bincount(self._own, found_first(auxiliary, attacked, self._own), minlength=len(attacked))

        def share(records: Records) -> float:
            return float(found[records].sum() / max(1, copies[records].sum()))

        return [Finding("image_near_duplicate", share, 1 / len(attacked))]


class DecoderAttack:
    """A decoder that was trained on other pictures and their vectors draws the attacked pictures.

    The metrics are the structural similarity of drawing and picture, and the share of drawings that are more similar to
    their own picture than to any other that was attacked. A guess draws the mean picture.
    """

    name = "image_decoder"

    def __init__(self, auxiliary: Pictures, attacked: Pictures) -> None:
        self._auxiliary, self.pictures = auxiliary, attacked
        self._mean = auxiliary.mean(axis=0, keepdims=True)

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """Return `image_ssim` and `image_reidentification`."""
        drawn = self.draw(auxiliary, attacked)
        similar = ssim(drawn, self.pictures)
        found = found_first(self._centred(drawn), self._centred(self.pictures), np.arange(len(drawn)))
        guess = _mean_similarity(ssim(self._guess(), self.pictures))
        return [
            Finding("image_ssim", lambda records: _mean_similarity(similar[records]), guess),
            Finding("image_reidentification", lambda records: float(found[records].mean()), 1 / len(drawn)),
        ]

    def draw(self, auxiliary: Vector, attacked: Vector) -> Pictures:
        """Return the drawings of the attacked pictures."""
        return reconstruct(auxiliary, self._auxiliary, attacked)

    def psnr(self, drawn: Pictures) -> tuple[float, float]:
        """Return the mean peak signal-to-noise ratio of drawings in decibels, and that of the mean picture."""
        return float(psnr(drawn, self.pictures).mean()), float(psnr(self._guess(), self.pictures).mean())

    def _guess(self) -> Pictures:
        return np.broadcast_to(self._mean, self.pictures.shape).copy()

    def _centred(self, pictures: Pictures) -> Vector:
        """Return what is particular to each picture: its difference from the mean picture."""
        centred: Vector = (pictures - self._mean).reshape(len(pictures), -1)
        return centred


def found_first(queries: Vector, rows: Vector, own: Records) -> npt.NDArray[np.float64]:
    """Return for each query whether `own`, its row, is the nearest by cosine; a share where rows are equally near."""
    found = np.zeros(len(queries))
    normalised = _normalised(rows)
    for start in range(0, len(queries), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = _normalised(queries[part]) @ normalised.T
        of_own = cosines[np.arange(len(cosines)), own[part]][:, None]
        is_nearest = ~(cosines > of_own + _ROUNDING).any(axis=1)
        found[part] = is_nearest / (cosines > of_own - _ROUNDING).sum(axis=1)
    return found


def _normalised(vectors: Vector) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def _mean_similarity(similar: npt.NDArray[np.float64]) -> float:
    """Return the mean, at least 0: a negative similarity is that of a negative picture, and leaks nothing."""
    return max(0.0, float(similar.mean()))
