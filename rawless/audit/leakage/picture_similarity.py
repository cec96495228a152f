"""How similar two pictures are: the peak signal-to-noise ratio, and structural similarity."""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Pictures = npt.NDArray[np.float32]
_LUMA = (0.299, 0.587, 0.114)
_WINDOW, _DEVIATION = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
"""The constants of the paper, for pixels between 0 and 1."""


def psnr(pictures: Pictures, others: Pictures) -> npt.NDArray[np.float64]:
    """Return the peak signal-to-noise ratio of each pair, in decibels; at most 100."""
    errors = np.square(pictures.astype(np.float64) - others).mean(axis=(1, 2, 3))
    return np.asarray(-10 * np.log10(np.maximum(errors, 1e-10)))


def ssim(pictures: Pictures, others: Pictures) -> npt.NDArray[np.float64]:
    """Return the structural similarity of the luminance of each pair, at most 1.

    Wang, Bovik, Sheikh and Simoncelli, 'Image Quality Assessment: From Error Visibility to Structural Similarity'
    (2004), with its Gaussian window of 11 pixels, where the window fits into the picture.
    """
    one, other = _luminance(pictures), _luminance(others)
    mean, mean_of_other = _filtered(one), _filtered(other)
    variance = _filtered(one * one) - mean**2
    variance_of_other = _filtered(other * other) - mean_of_other**2
    covariance = _filtered(one * other) - mean * mean_of_other
    similarity = (2 * mean * mean_of_other + _C1) * (2 * covariance + _C2)
    similarity /= (mean**2 + mean_of_other**2 + _C1) * (variance + variance_of_other + _C2)
    return np.asarray(similarity.mean(dim=(1, 2, 3)).numpy())


def _luminance(pictures: Pictures) -> torch.Tensor:
    weights = torch.tensor(_LUMA, dtype=torch.float64).view(1, 3, 1, 1)
    return (torch.from_numpy(pictures).double() * weights).sum(1, keepdim=True)


def _filtered(pictures: torch.Tensor) -> torch.Tensor:
    """Return the pictures under a Gaussian window, without margins."""
    places = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = torch.exp(-(places**2) / (2 * _DEVIATION**2))
    window /= window.sum()
    rows = functional.conv2d(pictures, window.view(1, 1, -1, 1))
    return functional.conv2d(rows, window.view(1, 1, 1, -1))
