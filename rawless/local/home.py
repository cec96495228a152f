"""The home folder of the local stack: `.rawless/` in the current folder, or the one that RAWLESS_HOME names."""

import os
import stat
import tempfile
from pathlib import Path

from rawless.errors import UserError
from rawless.files import write_text

HOME_VARIABLE = "RAWLESS_HOME"


def folder() -> Path:
    """Return the absolute path of the home folder, which only its owner may open, and create it if missing.

    Raises UserError if it cannot be written to, belongs to another user, or is shared like /tmp.
    """
    path = Path(os.environ.get(HOME_VARIABLE) or ".rawless").expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
        mode = status.st_mode
        if mode & stat.S_ISVTX:
            raise UserError(f"The home folder {path} is shared with other users: set {HOME_VARIABLE} to another.")
        if status.st_uid != os.geteuid():  # whose owner can open it again, and may have left a key and a token there
            raise UserError(f"The home folder {path} belongs to another user: set {HOME_VARIABLE} to another.")
        if mode & 0o077:
            path.chmod(0o700)
        tempfile.TemporaryFile(dir=path).close()
        if not (ignore := path / ".gitignore").exists():  # the key and the tables must not be committed
            write_text(ignore, "*\n")
    except OSError as error:
        raise UserError(
            f"The home folder {path} cannot be written to ({type(error).__name__}): set {HOME_VARIABLE} to another."
        ) from None
    return path


def key_file() -> Path:
    """Return the path of the local stack's pseudonym key."""
    return folder() / "pseudonym.key"


def heads() -> Path:
    """Return the folder of heads, which has a folder for each head and version."""
    return folder() / "heads"
