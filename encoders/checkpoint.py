"""Reading an image encoder's checkpoint: tensors by name, and never code."""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

from encoders import seeded, weights
from encoders.image_spec import ImageSpec
from rawless.errors import UserError


def read(spec: ImageSpec) -> dict[str, torch.Tensor]:
    """The tensors of the spec's weights, those of fractions as float32, on the CPU.

    Raises UserError when the file is not there, is not the named one, or holds anything but tensors by name.
    """
    if seeded.is_seeded(spec):
        return seeded.draw(spec)
    path = weights.find(spec) / spec.weights.file
    state = _read(spec, path)
    if not isinstance(state, dict) or not state or not all(_is_entry(*entry) for entry in state.items()):
        raise UserError(f"{path} holds no tensors by name, as {spec.ref} needs: save the model's state_dict().")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _is_entry(name: object, tensor: object) -> bool:
    """Whether it is a name, and a tensor with a real number in every place."""
    return (
        isinstance(name, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_complex()
    )


def _read(spec: ImageSpec, path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of pickles that are refused all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - an unpickler that reads what is no pickle raises anything
        raise UserError(
            f"{path} cannot be read as the weights of {spec.ref} ({type(error).__name__}): it must be a state_dict of "
            "tensors alone, saved by safetensors or torch.save."
        ) from None
