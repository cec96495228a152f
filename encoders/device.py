"""Choosing the torch device that an encoder runs on."""

import torch

from encoders.encoder import Device
from rawless.errors import UserError


def pick_device(device: Device) -> torch.device:
    """Return the torch device; `auto` is CUDA where it is available, else the CPU.

    Raises UserError for `cuda` where torch finds no CUDA device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is cuda, but torch finds no CUDA device on this machine: use cpu or auto.")
    return torch.device(device)
