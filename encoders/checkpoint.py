"""Reading a checkpoint of tensors by name, without running code from it."""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

from encoders import weights
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec
from rawless.errors import UserError


def read(spec: EncoderSpec) -> dict[str, torch.Tensor]:
    """Return the tensors of a spec with one weights file on the CPU, floating-point ones as float32.

    Raises UserError when the file is missing, has another digest, or contains anything but tensors by name.
    """
    source = weights.source_of(spec)
    if isinstance(source, Seeded):
        return source.draw(spec)
    (name,) = spec.weights.files
    path = weights.find(spec) / name
    state = _load(spec, path)
    if not isinstance(state, dict) or not state or not all(_is_entry(*entry) for entry in state.items()):
        raise UserError(f"{path} does not contain tensors by name, as {spec.ref} needs: save the model's state_dict().")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _is_entry(name: object, tensor: object) -> bool:
    """Return whether the entry is a name and a dense tensor of real numbers."""
    return (
        isinstance(name, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_complex()
    )


def _load(spec: EncoderSpec, path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # torch warns about pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the unpickler raises any type for a file that is no pickle
        raise UserError(
            f"{path} cannot be read as the weights of {spec.ref} ({type(error).__name__}): it must be a state_dict of "
            "tensors, saved by safetensors or torch.save."
        ) from None
