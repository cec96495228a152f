"""Fitting a map of each kind from the vectors of one encoder to those of another, of the same events.

The kinds are those of Drift-Adapter (Vejendla, EMNLP 2025): an orthogonal map (Procrustes), a low-rank affine map and a
residual MLP, each with diagonal scaling or without, and the unrestricted affine map. Where the best map has a closed
form, it is computed: ridge regression, and of low rank reduced-rank regression (Izenman, 1975). The MLP is trained by
gradient descent with a fixed seed. It adds to the identity, as in the paper, or to the affine map.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from encoders.adapter import AdapterKind
from encoders.adapter_map import AdapterMap, Hidden
from encoders.spec import Vector

Matrix = npt.NDArray[np.float64]
HIDDEN = 256
_BATCH = 256
_MOST_STEPS = 600
"""Over which the learning rate of an MLP falls to zero."""
_STEPS_BETWEEN_CHECKS = 50
_PATIENCE = 3
"""After how many checks without an improvement the training of an MLP ends."""
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Settings:
    """How one map is fitted."""

    kind: AdapterKind
    centred: bool = True
    """Of an orthogonal map: whether it maps the mean of the vectors to the mean of the others."""
    ridge: float = 0.0
    """The penalty, as a share of the mean variance of a component."""
    rank: int = 0
    start: Literal["identity", "affine"] = "identity"
    """What a residual MLP adds to."""
    scaled: bool = False
    """Whether each component is then scaled by a factor of its own."""
    steps: int | None = None
    """The number of steps of gradient descent; None for the most, or while validation has not decided it."""

    def __str__(self) -> str:
        parts = {
            "orthogonal": "" if self.centred else "not centred",
            "affine": f"ridge {self.ridge:g}",
            "low_rank_affine": f"rank {self.rank}, ridge {self.ridge:g}",
            "residual_mlp": f"{HIDDEN} hidden, added to the {self.start} map, {self.steps} steps",
        }
        return ", ".join(part for part in (parts[self.kind], "scaled" if self.scaled else "") if part) or "centred"


class Pairs:
    """Vectors of the same events by two encoders, and what fits of several kinds need of them."""

    def __init__(self, first: Vector, second: Vector, *, l2_normalise: bool) -> None:
        """`l2_normalise` says whether mapped vectors are scaled to length one."""
        self.first, self.second = first, second
        self.l2_normalise = l2_normalise
        self.first_mean, self.second_mean = (each.mean(axis=0, dtype=np.float64) for each in (first, second))

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def covariance(self) -> Matrix:
        """The sums of products of the components of `second` and `first`, both centred."""
        product: Matrix = (self.second - self.second_mean.astype(np.float32)).T @ self._centred
        return product.astype(np.float64)

    @cached_property
    def axes(self) -> tuple[Matrix, Matrix]:
        """The variances of `first` along its principal axes, times the number of rows, and the axes as columns."""
        values, axes = np.linalg.eigh((self._centred.T @ self._centred).astype(np.float64))
        return np.maximum(values, 0), axes

    @cached_property
    def _centred(self) -> Vector:
        centred: Vector = self.first - self.first_mean.astype(np.float32)
        return centred


def fit(settings: Settings, pairs: Pairs, seed: int = 0) -> AdapterMap:
    """Return the map of `settings` that maps `first` of the pairs nearest to `second`."""
    if settings.kind == "residual_mlp":
        found, _ = _train(settings, pairs, None, seed)
    else:
        found = _closed_form(settings, pairs)
    return scale(found, pairs) if settings.scaled else found


def fit_steps(settings: Settings, pairs: Pairs, validation: Pairs, seed: int = 0) -> tuple[AdapterMap, Settings]:
    """Return the MLP after the number of steps that is best for the validation pairs, and the settings with it."""
    found, steps = _train(settings, pairs, validation, seed)
    return found, replace(settings, steps=steps)


def identity(pairs: Pairs) -> AdapterMap:
    """Return the map that leaves vectors as they are, cut off or padded to the dimension of the others."""
    weight = np.eye(pairs.second.shape[1], pairs.first.shape[1], dtype=np.float32)
    return AdapterMap("affine", weight, np.zeros(len(weight), np.float32), None, pairs.l2_normalise)


def _closed_form(settings: Settings, pairs: Pairs) -> AdapterMap:
    if settings.kind == "orthogonal":
        weight = _procrustes(pairs, centred=settings.centred)
    else:
        weight = _ridge(pairs, settings.ridge)
        if settings.kind == "low_rank_affine":
            weight = _of_rank(weight, pairs, settings.rank)
    is_centred = settings.kind != "orthogonal" or settings.centred
    bias = pairs.second_mean - weight @ pairs.first_mean if is_centred else np.zeros(len(weight))
    return AdapterMap(settings.kind, weight.astype(np.float32), bias.astype(np.float32), None, pairs.l2_normalise)


def _procrustes(pairs: Pairs, *, centred: bool) -> Matrix:
    """Return the orthogonal matrix that maps nearest; one of orthonormal rows or columns, if dimensions differ."""
    means = len(pairs) * np.outer(pairs.second_mean, pairs.first_mean)
    left, _, right = np.linalg.svd(pairs.covariance if centred else pairs.covariance + means, full_matrices=False)
    rotation: Matrix = left @ right
    return rotation


def _ridge(pairs: Pairs, penalty: float) -> Matrix:
    values, axes = pairs.axes
    inverse = axes / (values + penalty * values.mean() + np.finfo(np.float64).tiny)
    weight: Matrix = pairs.covariance @ inverse @ axes.T
    return weight


def _of_rank(weight: Matrix, pairs: Pairs, rank: int) -> Matrix:
    """Return the projection of an affine map's weight on the directions in which its vectors vary most."""
    values, axes = pairs.axes
    spread = weight @ axes
    _, directions = np.linalg.eigh((spread * values) @ spread.T)
    kept = directions[:, -rank:]
    projected: Matrix = kept @ (kept.T @ weight)
    return projected


def scale(adapter: AdapterMap, pairs: Pairs) -> AdapterMap:
    """Return the map with a factor for each component, by which it maps nearest."""
    mapped = replace(adapter, l2_normalise=False).apply(pairs.first)
    squares = np.einsum("ij,ij->j", mapped, mapped)
    factors = np.einsum("ij,ij->j", mapped, pairs.second) / np.where(squares > 0, squares, 1)
    hidden = adapter.hidden and replace(adapter.hidden, output_weight=adapter.hidden.output_weight * factors[:, None])
    return replace(adapter, weight=adapter.weight * factors[:, None], bias=adapter.bias * factors, hidden=hidden)


class _HiddenLayer(nn.Module):
    """What a residual MLP adds to an affine map. Inputs and outputs are in units of their spread."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        spread = pairs.first.std(axis=0)
        self._scale = torch.from_numpy(1 / np.maximum(spread, max(spread.max() * 1e-3, 1e-12))).float()
        self._centre = torch.from_numpy(pairs.first_mean).float()
        self._output_scale = float(pairs.second.std(axis=0).mean())
        self._hidden = nn.Linear(pairs.first.shape[1], HIDDEN)
        self._output = nn.Linear(HIDDEN, pairs.second.shape[1], bias=False)
        nn.init.zeros_(self._output.weight)  # so that the MLP starts as the affine map

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.gelu(self._hidden((vectors - self._centre) * self._scale), approximate="tanh")
        added: torch.Tensor = self._output(hidden) * self._output_scale
        return added

    @torch.no_grad()
    def hidden(self) -> Hidden:
        """Return the layer with all factors multiplied out."""
        weight = self._hidden.weight * self._scale
        bias, output = self._hidden.bias - weight @ self._centre, self._output.weight * self._output_scale
        return Hidden(weight.numpy(), bias.numpy(), output.numpy())


def _train(settings: Settings, pairs: Pairs, validation: Pairs | None, seed: int) -> tuple[AdapterMap, int]:
    """Return a trained MLP and its number of steps: as many as settings say, or as are best for validation."""
    start = identity(pairs) if settings.start == "identity" else _closed_form(replace(settings, kind="affine"), pairs)
    start = replace(start, kind="residual_mlp", l2_normalise=False)
    sets = [_Tensors.of(each, start) for each in (pairs, validation) if each]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        layer = _HiddenLayer(pairs)
        optimizer = torch.optim.AdamW(layer.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / _MOST_STEPS)
        best, best_loss, best_steps = layer.hidden(), float("inf"), 0
        order = torch.randperm(len(pairs))
        for step in range(1, (settings.steps if settings.steps is not None else _MOST_STEPS) + 1):
            if len(order) < min(_BATCH, len(pairs)):
                order = torch.randperm(len(pairs))
            rows, order = order[:_BATCH], order[_BATCH:]
            optimizer.zero_grad()
            torch.autograd.backward(sets[0].loss(layer, rows))
            optimizer.step()
            schedule.step()
            if validation and step % _STEPS_BETWEEN_CHECKS == 0:
                with torch.no_grad():
                    loss = float(sets[1].loss(layer))
                if loss < best_loss:
                    best, best_loss, best_steps = layer.hidden(), loss, step
                elif step - best_steps >= _PATIENCE * _STEPS_BETWEEN_CHECKS:
                    break
    if not validation:
        best, best_steps = layer.hidden(), settings.steps or 0
    return replace(start, hidden=best, l2_normalise=pairs.l2_normalise), best_steps


@dataclass(frozen=True)
class _Tensors:
    """Pairs, with what the affine map of an MLP makes of their vectors."""

    first: torch.Tensor
    start: torch.Tensor
    second: torch.Tensor
    l2_normalise: bool

    @classmethod
    def of(cls, pairs: Pairs, start: AdapterMap) -> Self:
        first, mapped, second = map(torch.from_numpy, (pairs.first, start.apply(pairs.first), pairs.second))
        return cls(first, mapped, second, pairs.l2_normalise)

    def loss(self, layer: _HiddenLayer, rows: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Return the mean squared error of the rows."""
        mapped = self.start[rows] + layer(self.first[rows])
        return nn.functional.mse_loss(
            nn.functional.normalize(mapped, dim=1) if self.l2_normalise else mapped, self.second[rows]
        )
