"""The name of a converted network: a digest of everything that decides what it computes, and whether it may be used."""

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import openvino

from encoders.spec import EncoderSpec, canonical_json

_LIBRARIES = ("openvino", "torch", "torchvision", "transformers", "tokenizers", "safetensors", "numpy")
"""What reads weights, makes the network of them, and converts it."""
_PROCESSORS = Path("/proc/cpuinfo")


def conversion_key(spec: EncoderSpec) -> str:
    """Return the key of the converted network of a sealed spec: with another version of anything it is another key."""
    return hashlib.sha256(canonical_json({"encoder": spec.fingerprint, **_machine()}).encode()).hexdigest()


@cache
def _machine() -> dict[str, object]:
    core = openvino.Core()
    return {
        "code": _digest_of_code(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "runtime": openvino.__version__,
        "processor": [
            platform.machine(),
            core.get_property("CPU", "FULL_DEVICE_NAME"),
            sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            _processor_flags(),
        ],
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor_flags() -> str:
    """Return the instructions that the processor has, "" where the system does not say."""
    try:
        lines = _PROCESSORS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((" ".join(sorted(line.split())) for line in lines if line.startswith(("flags", "Features"))), "")


def _digest_of_code() -> str:
    """Return a digest of the source of this package, which makes networks and converts them."""
    whole = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        whole.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()
