"""The environment of processes that handle what could take them over."""

import os

from rawless import telemetry

_PYTHON_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
"""What Python may need to start and to find its packages."""


def child_environment() -> dict[str, str]:
    """Return the variables of such a process: content that takes it over finds no key and no credentials there."""
    inherited = {name: os.environ[name] for name in _PYTHON_VARIABLES if name in os.environ}
    return {**inherited, **telemetry.VARIABLES, "OPENBLAS_NUM_THREADS": "1"}
