"""Python environments of packages that are not in the lock, kept in the cache of this user."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin


def python(requirements: Path) -> Path:
    """Return the interpreter of an environment with the packages of a requirements file, made at the first call.

    Raises SystemExit when they cannot be installed.
    """
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rawless" / "environments" / f"{requirements.stem}-{digest}"
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        uv = find_uv_bin()
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        make = [uv, "venv", "--quiet", "--clear", "--python", version, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--python", str(interpreter), "--requirements", str(requirements)]
        for command in (make, install):
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(f"The packages of {requirements.name} cannot be installed here.")
        complete.touch()
    return interpreter
