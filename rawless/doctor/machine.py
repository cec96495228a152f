"""Checks of the local machine: everything that a local run needs."""

import shutil
import sys
from collections.abc import Callable
from functools import partial

from rawless import extras
from rawless.doctor.finding import Finding
from rawless.errors import RawlessError
from rawless.local import home

_FREE_BYTES = 2 * 10**9
_OF_ENCODERS = {"device", "text encoder", "image encoder"}


def check_machine() -> list[Finding]:
    """Check Python, disk space, the local stack, the pseudonym key, the device and one encoder per modality."""
    return [_finding(name, check) for name, check in _CHECKS.items()]


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except RawlessError as error:
        return Finding(name, False, str(error))
    except ImportError as error:
        return _without_library(name, error)
    except OSError as error:
        return Finding(name, False, f"The check failed ({type(error).__name__}): install the package again.")


def _without_library(name: str, error: ImportError) -> Finding:
    """Return the finding of a check without its libraries: a machine that encodes nothing needs none for encoders."""
    is_needed = name not in _OF_ENCODERS
    what, extra = ("The warehouse", "science") if is_needed else ("An encoder", "encode")
    if missing := extras.explain(error, what, extra):
        return Finding(name, not is_needed, f"Not checked. {missing}")
    return Finding(name, False, f"The check failed ({type(error).__name__}): install the package again.")


def _python() -> str:
    return f"Python {sys.version.split()[0]}"


def _disk() -> str:
    free = shutil.disk_usage(home.folder()).free
    if free < _FREE_BYTES:
        raise RawlessError(
            f"Only {free / 1e9:.1f} GB are free at {home.folder()}: free 2 GB, or set RAWLESS_HOME to another disk."
        )
    return f"{free / 1e9:.0f} GB free at {home.folder()}"


def _stack() -> str:
    from rawless.connect import open_warehouse
    from rawless.local import stack as local_stack
    from rawless.warehouse import tables

    open_warehouse(None)
    stack = local_stack.up(home.folder())
    return f"BigQuery at {stack.bigquery.rest}, {len(tables.names())} tables; Pub/Sub at {stack.pubsub}"


def _key() -> str:
    from rawless.connect import LOCAL_CONFIG, open_key_source
    from rawless.warehouse.client import Warehouse
    from rawless.warehouse.config import Emulator

    return f"pseudonym key {open_key_source(Warehouse(LOCAL_CONFIG, Emulator('', ''))).load().key_id}"


def _device() -> str:
    import torch

    from encoders.driver import explain, find_driver, is_too_old

    driver = find_driver()
    if is_too_old(driver):
        raise RawlessError(explain(driver))
    if not torch.cuda.is_available():
        return f"CPU (torch sees no CUDA device; {driver})"
    return f"CUDA, {torch.cuda.get_device_name()}, {driver}; torch needs CUDA {torch.version.cuda}"


def _encoder(ref: str) -> str:
    from encoders.catalogue import lookup
    from encoders.load import load
    from encoders.probe import deviation

    encoder = load(lookup(ref))
    difference = f"deviation {deviation(encoder):.1e}, tolerance {encoder.spec.tolerance:.0e}"
    return f"{ref} reproduces its golden probe ({difference}) on {encoder.runtime}"


_CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "disk": _disk,
    "local stack": _stack,
    "pseudonym key": _key,
    "device": _device,
    "text encoder": partial(_encoder, "minilm@1.0.0"),
    "image encoder": partial(_encoder, "resnet18-seeded@1.0.0"),
}
