"""An environment with TensorFlow and tf2onnx, made once for this user, since its packages take 1.4 GB."""

from pathlib import Path

import pytest

from benchmarks import environment

_LOCK = Path(__file__).parent / "tensorflow.lock"


def interpreter() -> Path:
    """Return the interpreter of the environment. It is made if there is none; without network the test is skipped."""
    try:
        return environment.python(_LOCK)
    except environment.NotInstalled as error:
        pytest.skip(f"TensorFlow cannot be installed: {error}")
