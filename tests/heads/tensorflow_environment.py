"""An environment with TensorFlow and tf2onnx, made once for this user, since its packages take 1.4 GB."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_LOCK = Path(__file__).parent / "tensorflow.lock"
_UV = Path(sys.executable).parent / "uv"


def interpreter() -> Path:
    """Return the interpreter of the environment. It is made if there is none; without network the test is skipped."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rawless"
    folder = cache / f"tensorflow-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache))
        try:
            _make(made / "environment")
            if not folder.exists():  # another process may have been faster
                (made / "environment").rename(folder)
        finally:
            shutil.rmtree(made)
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(folder), "--require-hashes", "--requirements", str(_LOCK)],
    ):
        done = subprocess.run([str(_UV), *command], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"TensorFlow cannot be installed: {done.stderr.strip().splitlines()[-1][:200]}")
