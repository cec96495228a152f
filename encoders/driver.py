"""The NVIDIA driver of this machine, and whether it is new enough for the CUDA that torch was built for.

The driver has two parts: the kernel's module, and the library libcuda, which decides which version of CUDA programs may
use. The image contains a newer libcuda for machines whose driver is older (docs/decisions/0043).
"""

import ctypes
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from rawless.errors import UserError

_log = logging.getLogger(__name__)
VERSION_FILE = Path("/proc/driver/nvidia/version")
"""Where the kernel's module states its version, in containers too."""
LIBRARY = "libcuda.so.1"
MINIMUM = {12: 525, 13: 580}
"""By major version of CUDA: the first driver that supports each of its minor versions, by NVIDIA's table."""

_FIX = (
    "on Dataflow, request it with install-nvidia-driver:5xx and use the image's target cuda, which brings CUDA 13 to "
    "drivers from 535; elsewhere, install a newer driver."
)
_MODULE = re.compile(r"^NVRM version:.* (\d{3,}\.[\d.]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Driver:
    """What this machine has of a driver. Both parts are None where there is none."""

    module: str | None
    """The version of the kernel's module, such as 535.183.06."""
    cuda: tuple[int, int] | None
    """The newest version of CUDA that programs may use, as libcuda states it."""

    def __str__(self) -> str:
        """Return a clause for users."""
        if self.cuda is None:
            return f"the GPU driver {self.module} without {LIBRARY}" if self.module else "no GPU driver"
        return f"the GPU driver {self.module or 'of an unknown version'} for CUDA {self.cuda[0]}.{self.cuda[1]}"


def find_driver() -> Driver:
    """Return the driver of this machine. Starts nothing on the GPU."""
    try:
        match = _MODULE.search(VERSION_FILE.read_text())
    except OSError:
        match = None
    return Driver(match[1] if match else None, _supported_cuda())


def _supported_cuda() -> tuple[int, int] | None:
    version = ctypes.c_int()
    try:
        if ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def is_too_old(driver: Driver) -> bool:
    """Return whether torch cannot use the driver because it supports only earlier versions of CUDA."""
    needed = torch.version.cuda
    if driver.cuda is None or needed is None:
        return False
    return driver.cuda[0] < int(needed.split(".")[0])


def explain(driver: Driver) -> str:
    """Return the sentence for a driver that is too old: what there is, what torch needs, and what helps."""
    needed = str(torch.version.cuda)
    minimum = MINIMUM.get(int(needed.split(".")[0]))
    first = f", thus a driver from {minimum} on" if minimum else ""
    return f"This machine has {driver}, but torch {torch.__version__} needs CUDA {needed}{first}: {_FIX}"


@lru_cache(maxsize=1)
def check_driver() -> None:
    """Log once for a process which driver torch will use. Raises UserError where torch can use no GPU."""
    driver = find_driver()
    if is_too_old(driver):
        _log.error("%s", explain(driver))  # on a line of its own: runners wrap the exception in a traceback
        raise UserError(explain(driver))
    if not torch.cuda.is_available():
        raise UserError(
            f"--device is cuda, but torch finds no CUDA device on this machine: use cpu or auto; it has {driver}."
        )
    _log.info("This machine has %s; torch %s needs CUDA %s.", driver, torch.__version__, torch.version.cuda)
