"""Writing files: atomically, so that a reader sees a whole file or none, and readable by their owner only."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

OWNER_ONLY = 0o600


@contextlib.contextmanager
def atomic_write(path: Path, *, mode: int = OWNER_ONLY, keep_existing: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file in the folder of `path`, which takes its place when the block ends without an error.

    With `keep_existing` a file that is already at `path` wins, so that of several writers the first one does. Raises
    OSError when the file cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with temporary.open("wb") as file:  # so that its name is its path, by which a digest is read
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if keep_existing:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Let only the owner read the files and folders that this process creates in the block."""
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def write_text(path: Path, text: str, *, mode: int = OWNER_ONLY) -> None:
    """Write a whole text file atomically. Raises OSError when it cannot be written."""
    with atomic_write(path, mode=mode) as file:
        file.write(text.encode())
