"""The home folder of the local stack: `.rawless/` here, or where RAWLESS_HOME says."""

import os
import tempfile
from pathlib import Path

from rawless.errors import UserError

HOME_VARIABLE = "RAWLESS_HOME"


def folder() -> Path:
    """The home folder, absolute, made when missing. Raises UserError when it cannot be."""
    path = Path(os.environ.get(HOME_VARIABLE) or ".rawless").expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UserError(
            f"The home folder {path} cannot be written to ({type(error).__name__}): name another in {HOME_VARIABLE}."
        ) from None
    return path


def key_file() -> Path:
    """The pseudonym key of the local stack."""
    return folder() / "pseudonym.key"


def heads() -> Path:
    """Where heads lie, each version in a folder of its own."""
    return folder() / "heads"
