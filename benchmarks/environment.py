"""Python environments of packages that are not in the lock, kept in the cache of this user."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_UV = Path(sys.executable).parent / "uv"


class NotInstalled(Exception):
    """The packages cannot be installed, as without a network."""


def python(lock: Path) -> Path:
    """Return the interpreter of an environment with the packages of a lock, made at the first call.

    Raises NotInstalled with the last line of the installer.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rawless"
    folder = cache / f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache))
        try:
            _make(made / "environment", lock)
            if not folder.exists():  # another process may have been faster
                (made / "environment").rename(folder)
        finally:
            shutil.rmtree(made)
    return folder / "bin" / "python"


def _make(folder: Path, lock: Path) -> None:
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(folder), "--require-hashes", "--requirements", str(lock)],
    ):
        done = subprocess.run([str(_UV), *command], capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(done.stderr.strip().splitlines()[-1][:200])
