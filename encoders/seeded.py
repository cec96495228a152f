"""Weights drawn from a seed, the same on every machine, for trying things without a download.

Uniform numbers from PCG64 and one multiplication each: no step whose rounding a processor or library could change.
"""

import hashlib
import math

import numpy as np
import torch
from safetensors.torch import save

from encoders.image_spec import ImageSpec
from encoders.spec import EncoderSpec
from rawless.errors import UserError

_PREFIX = "seed:"


def is_seeded(spec: EncoderSpec) -> bool:
    """Whether the spec's weights are drawn and not found."""
    return spec.weights.source.startswith(_PREFIX)


def draw(spec: ImageSpec) -> dict[str, torch.Tensor]:
    """A torchvision ResNet's state: He initialisation with uniform numbers, and batch normalisation that does nothing.

    He et al., Delving Deep into Rectifiers (2015). Raises UserError when the drawn weights are not those of the digest.
    """
    state = _draw(spec)
    expected = spec.weights.files[spec.weights.file]
    if expected is not None and _digest(state) != expected:
        raise UserError(
            f"The weights drawn for {spec.ref} are not those that it names: install the versions of requirements.lock."
        )
    return state


def digest(spec: EncoderSpec) -> str:
    """Sha256 of the drawn weights."""
    if not isinstance(spec, ImageSpec):
        raise UserError(f"{spec.ref} cannot draw its weights from a seed: only image encoders can.")
    return _digest(_draw(spec))


def _draw(spec: ImageSpec) -> dict[str, torch.Tensor]:
    from torchvision import models

    with torch.device("meta"):
        blanks = getattr(models, spec.architecture)(weights=None).state_dict()
    numbers = np.random.Generator(np.random.PCG64(int(spec.weights.source.removeprefix(_PREFIX))))
    return {name: _tensor(name, blank, numbers) for name, blank in sorted(blanks.items())}


def _tensor(name: str, blank: torch.Tensor, numbers: np.random.Generator) -> torch.Tensor:
    if blank.dim() < 2:  # batch normalisation, and the bias of the last layer
        ones = name.endswith(("running_var", "weight"))
        return (torch.ones if ones else torch.zeros)(blank.shape, dtype=blank.dtype)
    bound = math.sqrt(6 / math.prod(blank.shape[1:]))
    drawn = numbers.random(tuple(blank.shape), dtype=np.float32)
    return torch.from_numpy((drawn * np.float32(2) - np.float32(1)) * np.float32(bound))


def _digest(state: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(save(state)).hexdigest()
