"""Objects that events name instead of carrying their payload: which may be read, and how local ones are.

No check of a path is undone by what happens to the path afterwards: a local file is opened step by step, and no step
follows a link.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes

from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry, if_exception_type

from rawless.errors import Unavailable
from rawless.privacy import Reason, Rejected

MAX_URI = 2048
RETRY_SECONDS = 60.0
"""For how long an unreachable store is asked again."""
_SCHEMES: tuple[Literal["file", "gs"], ...] = ("file", "gs")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO}


@dataclass(frozen=True, slots=True)
class Place:
    """An object below an allowed prefix. `root` is a folder, or bucket and folder; `parts` lead on from there."""

    scheme: Literal["file", "gs"]
    root: str
    parts: tuple[str, ...]

    @property
    def uri(self) -> str:
        """As an object store takes it."""
        return f"{self.scheme}://{self.root}{'/'.join(self.parts)}"


ReadObject = Callable[[Place, int], bytes]
"""Reads at most one byte more than a limit. Raises Rejected, or Unavailable when the store cannot be reached."""


def fault_of_prefix(prefix: str) -> str | None:
    """Why a prefix is refused, as the end of a sentence; None when it is accepted."""
    scheme, colon, rest = prefix.partition("://")
    if scheme not in _SCHEMES or not colon or not rest.endswith("/") or not prefix.isprintable():
        return "must start with gs:// or file:/// and end with /"
    folders = rest[:-1].split("/")
    if scheme == "file" and (folders[0] != "" or len(folders) < 2):
        return "must name a folder by its whole path, as in file:///uploads/"
    if any(_part(scheme, each) is None for each in (folders[1:] if scheme == "file" else folders)):
        return "must not hold empty names, '.' or '..'"
    return None


def locate(uri: str, prefixes: Iterable[str]) -> Place:
    """The place that a URI names. Raises Rejected(payload_uri_forbidden) outside of the prefixes."""
    prefix = next((each for each in prefixes if uri.startswith(each)), None)
    if prefix is None or len(uri) > MAX_URI or not uri.isprintable():
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    scheme, root = prefix.split("://", 1)
    parts = [_part(scheme, each) for each in uri.removeprefix(prefix).split("/")]
    if scheme == "file":
        root = os.fsdecode(unquote_to_bytes(root))
    good = tuple(each for each in parts if each is not None)
    if len(good) < len(parts):
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    return Place("file" if scheme == "file" else "gs", root, good)


def _part(scheme: str, text: str) -> str | None:
    """One name on the way to an object, None when it leads elsewhere than to what it names."""
    part = os.fsdecode(unquote_to_bytes(text)) if scheme == "file" else text
    return None if part in ("", ".", "..") or "/" in part or "\0" in part else part


def read_file(place: Place, limit: int) -> bytes:
    """At most `limit + 1` bytes of a local file below its root.

    Raises Rejected: object_not_found when there is no such file, payload_uri_forbidden when a link leads out of the
    root; Unavailable when the root is not there or the file cannot be read after retries.
    """
    return retried(lambda: _read_file(place, limit))


def retried(read: Callable[[], bytes]) -> bytes:
    """What `read` gives, asked again with backoff while it raises Unavailable, for RETRY_SECONDS."""
    again = Retry(predicate=if_exception_type(Unavailable), initial=0.1, maximum=10.0, timeout=RETRY_SECONDS)
    try:
        content: bytes = again(read)()
    except RetryError as error:
        sentence = str(error.cause)
    else:
        return content
    raise Unavailable(sentence)


def _read_file(place: Place, limit: int) -> bytes:
    root = Path(os.path.realpath(place.root))
    folder = _open_root(root, place.root)
    with _told(place.root):
        descriptor = _open_below(folder, root, place.parts)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Rejected(Reason.OBJECT_NOT_FOUND)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit + 1)
        finally:
            os.close(descriptor)


def _open_root(root: Path, told: str) -> int:
    try:
        return os.open(root, _FOLDER)
    except OSError as error:
        kind = type(error).__name__
    raise Unavailable(f"The folder {told}, where objects lie, cannot be opened ({kind}); run again when it can.")


def _way(root: Path, parts: Sequence[str]) -> Sequence[str]:
    """Folders and file on the way from the root, all links resolved. Raises Rejected when it leads out."""
    try:
        target = Path(os.path.realpath(root.joinpath(*parts)))
    except RecursionError:  # a chain of a thousand links
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN) from None
    if root not in target.parents:
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    return target.relative_to(root).parts


def _open_below(folder: int, root: Path, parts: Sequence[str]) -> int:
    """Open step by step from the open root, and close that, so that no step can be turned into a link after it was
    looked at. Waits for no pipe.
    """
    try:
        *folders, name = _way(root, parts)
        for part in folders:
            inner = _open_folder(part, folder)
            os.close(folder)
            folder = inner
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except NotADirectoryError:  # also what Linux says of a link here
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN) from None
        raise


@contextmanager
def _told(root: str) -> Iterator[None]:
    """What the system answers on the way to an object, as a reason; or as Unavailable, when it is not the object's."""
    try:
        yield
        return
    except OSError as error:
        number, kind = error.errno, type(error).__name__
    if number in _NOT_THERE:
        raise Rejected(Reason.OBJECT_NOT_FOUND)
    if number == errno.ELOOP:  # a link in the way
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    raise Unavailable(f"An object below {root} cannot be read ({kind}); grant access, then run again.")
