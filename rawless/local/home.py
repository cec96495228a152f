"""The home folder of the local stack: `.rawless/` in the current folder or one above it, or as RAWLESS_HOME says."""

import os
import stat
import tempfile
from pathlib import Path

from rawless.errors import UserError
from rawless.files import write_text

HOME_VARIABLE = "RAWLESS_HOME"
NAME = ".rawless"


def folder() -> Path:
    """Return the absolute path of the home folder, which only its owner may open, and create it if missing.

    Without RAWLESS_HOME it is searched for as Git searches for a repository, so that a command in a folder below has
    the same warehouse and key. A folder of another user is not one of ours: that user could read what is left in it.
    Raises UserError if it cannot be written to, belongs to another user, or is shared like /tmp.
    """
    named = os.environ.get(HOME_VARIABLE)
    path = Path(named).expanduser().absolute() if named else _find() or Path(NAME).absolute()
    return prepare(path, may_be_link=bool(named))


def prepare(path: Path, *, may_be_link: bool) -> Path:
    """Return the path of a home folder, which only its owner may open, and create it if missing.

    `may_be_link` says that the user named it, so that a link is as the user wants it. Raises UserError as `folder`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.stat()
        mode = status.st_mode
        if mode & stat.S_ISVTX:
            raise UserError(f"The home folder {path} is shared with other users: set {HOME_VARIABLE} to another.")
        owners = {status.st_uid} if may_be_link else {status.st_uid, path.lstat().st_uid}
        if owners != {os.geteuid()}:  # whose owner can open it again, and may have left a key and a token there
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


def existing() -> Path | None:
    """Return the absolute path of the home folder that commands use, None if there is none yet; makes none."""
    if not (named := os.environ.get(HOME_VARIABLE)):
        return _find()
    path = Path(named).expanduser().absolute()
    return path if path.is_dir() else None


def _find() -> Path | None:
    """Return the nearest home folder of this user, in the current folder or above.

    A link of another user is none: it could lead into any folder of this user, which would then be written to.
    """
    here = Path.cwd()
    return next((path for path in (each / NAME for each in (here, *here.parents)) if _is_own(path)), None)


def _is_own(path: Path) -> bool:
    try:
        return path.is_dir() and path.stat().st_uid == path.lstat().st_uid == os.geteuid()
    except OSError:  # in a folder that this user may not open
        return False


def key_file() -> Path:
    """Return the path of the local stack's pseudonym key."""
    return folder() / "pseudonym.key"


def heads() -> Path:
    """Return the folder of heads, which has a folder for each head and version."""
    return folder() / "heads"
