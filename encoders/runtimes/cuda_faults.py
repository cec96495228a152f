"""Errors of CUDA after which a process cannot use the device any more: they leave its context unusable."""

import torch

_FAULTS = {
    214: "an uncorrectable ECC error",
    220: "an uncorrectable NVLink error",
    226: "an error that the device contained",
    700: "an illegal memory access",
    702: "that a kernel took too long",
    709: "that its context was destroyed",
    710: "that an assertion failed on the device",
    714: "an error in the call stack of a kernel",
    715: "an illegal instruction",
    716: "a misaligned address",
    717: "an address in a wrong address space",
    718: "an invalid program counter",
    719: "that a kernel failed",
    721: "a leak of tensor memory",
    810: "that its MPS server ended this process's client",
    911: "an error of an external device",
}
"""By `cudaError_t`: those of which CUDA's documentation says that the process must be started again, memory errors that
cannot be corrected, and a context that is gone. Running out of memory or a bad argument are not among them."""


def fault_of(error: torch.AcceleratorError) -> str | None:
    """Return what happened to the device, in words that follow "reported", or None if it can still be used."""
    return _FAULTS.get(getattr(error, "error_code", 0))
