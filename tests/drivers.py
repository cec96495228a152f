"""Stand-ins for an NVIDIA driver: what its two parts say of themselves."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders import driver

PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Wed Jun 26 06:46:07 UTC 2024\n"
    "GCC version:  Selected multilib: .;@m64\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build  (builder@host)  Tue Sep 23 "
    "10:11:16 UTC 2025\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
"""The file of the kernel's module, of NVIDIA's proprietary module and of its open one."""

Install = Callable[..., None]


def installer(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Install:
    """Return a function that gives this machine a driver as if it had a GPU; without arguments, none."""

    def install(module: str = "", cuda: int = 0, *, needed: str = "13.0", visible: bool = True) -> None:
        file = folder / "version"
        if module:
            file.write_text(PROPRIETARY.format(version=module))
        else:
            file.unlink(missing_ok=True)
        monkeypatch.setattr(driver, "VERSION_FILE", file)
        monkeypatch.setattr(ctypes, "CDLL", lambda _: _Library(cuda))
        monkeypatch.setattr(torch.version, "cuda", needed)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: visible and bool(cuda))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L4")
        driver.check_driver.cache_clear()

    return install


class _Library:
    """What libcuda states, by which a driver's newest version of CUDA is found."""

    def __init__(self, cuda: int) -> None:
        if not cuda:
            raise OSError("libcuda.so.1: cannot open shared object file")
        self._cuda = cuda

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802 - as in CUDA
        version._obj.value = self._cuda
        return 0
