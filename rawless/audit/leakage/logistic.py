"""Logistic regressions of many outputs at once, one for each word or class, fast on few cores."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from encoders.spec import Vector

PENALTY = 10.0
"""Of the squared weights, for inputs of unit variance; chosen on CLINC texts and MiniLM among 5, 10 and 30."""
STEPS = 20
_CAUTION = 10.0
"""How much steeper than at the start the loss may get; with 3, some outputs diverge."""
_RAREST = 1e-4
Truth = npt.NDArray[np.bool_]


class Model(NamedTuple):
    """One fitted logistic model for each output."""

    mean: Vector
    weights: Vector
    """Of shape (d, outputs), which include the scaling of the inputs."""
    bias: Vector

    def logits(self, vectors: Vector) -> Vector:
        """Return the logarithms of the odds of each output, of shape (n, outputs)."""
        found: Vector = np.asarray((vectors - self.mean) @ self.weights + self.bias, np.float32)
        return found


def fit(vectors: Vector, truth: Truth, steps: int = STEPS) -> Model:
    """Fit one logistic model for each column of `truth`, of shape (n, outputs), on vectors of shape (n, d).

    The inputs get unit variance, and are rotated to their principal axes, where the curvature of the loss is nearly
    diagonal: each weight then has a step of its own, with Nesterov's momentum, so that few steps suffice.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    deviation = centred.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > deviation.max() * 1e-6)
    scaled = centred * scale
    curvature, axes = _principal_axes(scaled)
    inputs, outputs = torch.from_numpy((scaled @ axes).astype(np.float32)), torch.from_numpy(truth.astype(np.float32))
    share = outputs.mean(dim=0).clamp(_RAREST, 1 - _RAREST)
    spread = share * (1 - share) * _CAUTION
    steepness = torch.from_numpy(np.maximum(curvature, 0).astype(np.float32))
    step, step_of_bias = 1 / (steepness[:, None] * spread + PENALTY), 1 / (len(inputs) * spread)
    weights, bias = torch.zeros(inputs.shape[1], outputs.shape[1]), torch.logit(share)
    last_weights, last_bias = weights, bias
    for number in range(steps):
        momentum = number / (number + 3)
        ahead, ahead_bias = weights + momentum * (weights - last_weights), bias + momentum * (bias - last_bias)
        last_weights, last_bias = weights, bias
        error = torch.addmm(ahead_bias, inputs, ahead).sigmoid_().sub_(outputs)
        weights = ahead - step * (inputs.T @ error + PENALTY * ahead)
        bias = ahead_bias - step_of_bias * error.sum(dim=0)
    back = (scale[:, None] * axes) @ weights.numpy().astype(np.float64)
    return Model(mean.astype(np.float32), back.astype(np.float32), bias.numpy())


def _principal_axes(inputs: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the curvature along each principal axis of inputs, and the axes, of which few inputs have few."""
    if len(inputs) < inputs.shape[1]:
        _, lengths, axes = np.linalg.svd(inputs, full_matrices=False)
        return lengths**2, axes.T
    curvature, axes = np.linalg.eigh(inputs.T @ inputs)
    return curvature, axes
