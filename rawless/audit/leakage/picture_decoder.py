"""A small decoder from vectors to pictures, which an attacker trains on pictures that he has himself.

It predicts the principal components of pictures instead of pixels, so it has few weights and trains in seconds. It
starts as the best ridge regression and learns what that misses; what does not help on held-out pictures is not kept,
down to the mean picture.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.spec import Vector
from rawless.audit.leakage.image_contents import Pictures
from rawless.heads.fit import one_thread

_COMPONENTS, _HIDDEN = 256, 512
_HELD_OUT = 10
"""One picture of this many is held out to choose the penalty and to stop training."""
_PENALTIES = tuple(10.0**power for power in range(-4, 5))
_EPOCHS, _PATIENCE, _BATCH = 60, 5, 64
_LEARNING_RATE, _WEIGHT_DECAY, _DROPOUT = 1e-3, 1e-2, 0.2


class PictureDecoder(nn.Module):
    """Vectors of shape (n, d) to components of pictures: a linear map, and a network for the rest."""

    def __init__(self, dimension: int, components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dimension, components)
        last = nn.Linear(_HIDDEN, components)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.rest = nn.Sequential(nn.Linear(dimension, _HIDDEN), nn.GELU(), nn.Dropout(_DROPOUT), last)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the components."""
        components: Tensor = self.linear(vectors) + self.rest(vectors)
        return components


def reconstruct(vectors: Vector, pictures: Pictures, attacked: Vector, seed: int = 0) -> Pictures:
    """Return what a decoder that learned from `vectors` and their `pictures` makes of the `attacked` vectors."""
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(seed)
        known = torch.from_numpy(vectors)
        mean, deviation = known.mean(0), known.std(0).clamp_min(1e-6)
        flat = torch.from_numpy(pictures.reshape(len(pictures), -1))
        middle, basis = _principal_components(flat)
        decoder = _train((known - mean) / deviation, (flat - middle) @ basis)
        decoder.eval()
        with torch.inference_mode():
            answered = middle + decoder((torch.from_numpy(attacked) - mean) / deviation) @ basis.T
        shape = (len(attacked), *pictures.shape[1:])
        return np.ascontiguousarray(answered.clamp(0, 1).numpy().reshape(shape), np.float32)


def _principal_components(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean picture, and directions of shape (pixels, components)."""
    middle = pictures.mean(0)
    count = min(_COMPONENTS, *pictures.shape)
    _, _, directions = torch.pca_lowrank(pictures - middle, q=count, center=False)
    return middle, directions


def _train(vectors: Tensor, components: Tensor) -> PictureDecoder:
    held_out = torch.zeros(len(vectors), dtype=torch.bool)
    held_out[torch.randperm(len(vectors))[: max(1, len(vectors) // _HELD_OUT)]] = True
    train, validation = (vectors[~held_out], components[~held_out]), (vectors[held_out], components[held_out])
    scale = train[1].square().mean().clamp_min(1e-12)  # so that the loss of the mean picture is about 1
    decoder = PictureDecoder(vectors.shape[1], components.shape[1])
    _start_as_ridge(decoder.linear, *train, *validation)
    optimizer = torch.optim.AdamW(decoder.rest.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    best, best_state, since_best = _loss(decoder, *validation), copy.deepcopy(decoder.state_dict()), 0
    for _ in range(_EPOCHS):
        decoder.train()
        for rows in torch.split(torch.randperm(len(train[0])), _BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.mse_loss(decoder(train[0][rows]), train[1][rows]) / scale
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        loss_now = _loss(decoder, *validation)
        since_best += 1
        if loss_now < best:
            best, best_state, since_best = loss_now, copy.deepcopy(decoder.state_dict()), 0
        if since_best >= _PATIENCE:
            break
    decoder.load_state_dict(best_state)
    return decoder


@torch.no_grad()
def _loss(decoder: nn.Module, vectors: Tensor, components: Tensor) -> float:
    decoder.eval()
    return float(functional.mse_loss(decoder(vectors), components))


@torch.no_grad()
def _start_as_ridge(
    linear: nn.Linear, vectors: Tensor, components: Tensor, held_out: Tensor, held_out_components: Tensor
) -> None:
    """Set a layer to the ridge regression that is best on held-out rows, or to zero if none is better than the mean."""
    values, directions = torch.linalg.eigh((vectors.T @ vectors).double() / len(vectors))
    rotated = directions.T @ (vectors.T @ components).double() / len(vectors)
    candidates = [directions @ (rotated / (values.clamp_min(0) + penalty)[:, None]) for penalty in _PENALTIES]
    candidates.append(torch.zeros_like(candidates[0]))
    errors = [float((held_out.double() @ each - held_out_components).square().mean()) for each in candidates]
    linear.weight.copy_(candidates[int(np.argmin(errors))].T)
    linear.bias.zero_()
