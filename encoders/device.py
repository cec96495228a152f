"""Choosing the torch device that an encoder runs on."""

import torch

from encoders.driver import check_driver
from encoders.encoder import Device


def pick_device(device: Device) -> torch.device:
    """Return the torch device; `auto` is CUDA where it is available, else the CPU.

    Raises UserError for `cuda` where torch finds no CUDA device, or a driver that is too old for it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda":
        check_driver()
    return torch.device(device)
