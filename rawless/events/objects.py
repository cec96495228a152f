"""Locate the objects that events name instead of carrying their payload, and read local ones.

A check of a path cannot be invalidated by later changes to the path: a local file is opened folder by folder, and no
step follows a link.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes

from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry, if_exception_type

from rawless.errors import Unavailable
from rawless.privacy import Reason, Rejected

MAX_URI = 2048
RETRY_SECONDS = 60.0
"""For how long a read is retried while the store is unavailable."""
_SCHEMES: tuple[Literal["file", "gs"], ...] = ("file", "gs")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO}
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EIO}
_MAX_OTHERS = 20
"""How many other objects are tried to find out whether their store can be read."""


class UnreadableObject(Unavailable):
    """An object that is there and cannot be read, because of a fault of its own or of its store."""


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """An object below an allowed prefix. `root` is a folder, or a bucket and folder; `parts` is the path below it."""

    scheme: Literal["file", "gs"]
    root: str
    parts: tuple[str, ...]

    @property
    def uri(self) -> str:
        """The URI that an object store expects."""
        return f"{self.scheme}://{self.root}{'/'.join(self.parts)}"


ReadObject = Callable[[ObjectLocation, int], bytes]
"""Reads an object, at most one byte more than a limit. Raises Rejected, or Unavailable if the store does not answer."""


def explain_bad_prefix(prefix: str) -> str | None:
    """Return why a prefix is not allowed, as the end of a sentence, or None if it is allowed."""
    scheme, colon, rest = prefix.partition("://")
    if scheme not in _SCHEMES or not colon or not rest.endswith("/") or not prefix.isprintable():
        return "must start with gs:// or file:/// and end with /"
    folders = rest[:-1].split("/")
    if scheme == "file" and (folders[0] != "" or len(folders) < 2):
        return "must name a folder by its absolute path, as in file:///uploads/"
    if any(_decode_part(scheme, folder) is None for folder in (folders[1:] if scheme == "file" else folders)):
        return "must not contain empty names, '.' or '..'"
    return None


def locate(uri: str, prefixes: Iterable[str]) -> ObjectLocation:
    """Return the location that a URI names. Raises Rejected(payload_uri_forbidden) unless it is below a prefix."""
    prefix = next((prefix for prefix in prefixes if uri.startswith(prefix)), None)
    if prefix is None or len(uri) > MAX_URI or not uri.isprintable():
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    scheme, root = prefix.split("://", 1)
    parts = [_decode_part(scheme, part) for part in uri.removeprefix(prefix).split("/")]
    if scheme == "file":
        root = os.fsdecode(unquote_to_bytes(root))
    allowed = tuple(part for part in parts if part is not None)
    if len(allowed) < len(parts):
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    return ObjectLocation("file" if scheme == "file" else "gs", root, allowed)


def _decode_part(scheme: str, text: str) -> str | None:
    """Decode one name of a path. Return None if it would lead out of its folder."""
    part = os.fsdecode(unquote_to_bytes(text)) if scheme == "file" else text
    return None if part in ("", ".", "..") or "/" in part or "\0" in part else part


def read_file(location: ObjectLocation, limit: int) -> bytes:
    """Return the first `limit + 1` bytes of a local file below its root.

    Raises Rejected: object_not_found if there is no such file, payload_uri_forbidden if a link leads out of the root,
    object_unreadable if the file cannot be read while another one beside it can.
    Raises Unavailable if the root does not exist or no file can be read, after retries.
    """
    return reject_unreadable(lambda: with_retries(lambda: _read_file(location, limit)), _others(location), _read_file)


def with_retries(read: Callable[[], bytes]) -> bytes:
    """Return what `read` returns, calling it again with backoff for RETRY_SECONDS while it raises Unavailable."""
    retry = Retry(predicate=if_exception_type(Unavailable), initial=0.1, maximum=10.0, timeout=RETRY_SECONDS)
    try:
        content: bytes = retry(read)()
    except RetryError as error:
        failure = error.cause
    else:
        return content
    raise failure


def reject_unreadable(read: Callable[[], bytes], others: Iterable[ObjectLocation], read_other: ReadObject) -> bytes:
    """Return what `read` returns. Raises Rejected(object_unreadable) for an unreadable object whose store can be read.

    The evidence is that one of `others` can be read now. Without it, UnreadableObject is raised: a revoked permission
    must stop the job and not reject every event.
    """
    try:
        return read()
    except UnreadableObject as error:
        failure = error
    if any(_is_readable(other, read_other) for other in islice(others, _MAX_OTHERS)):
        raise Rejected(Reason.OBJECT_UNREADABLE)
    raise failure.with_traceback(None)


def _is_readable(location: ObjectLocation, read: ReadObject) -> bool:
    try:
        read(location, 0)
    except (Rejected, Unavailable):
        return False
    return True


def _others(location: ObjectLocation) -> Iterator[ObjectLocation]:
    """Yield the other entries of a file's folder."""
    *folders, name = location.parts
    try:
        entries = os.scandir(Path(location.root, *folders))
    except OSError:
        return
    with entries:
        for entry in entries:
            if entry.name != name:
                yield ObjectLocation("file", location.root, (*folders, entry.name))


def _read_file(location: ObjectLocation, limit: int) -> bytes:
    root = Path(os.path.realpath(location.root))
    folder = _open_root(root, location.root)
    with _translated_errors(location.root):
        descriptor = _open_below(folder, root, location.parts)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Rejected(Reason.OBJECT_NOT_FOUND)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(limit + 1)
        finally:
            os.close(descriptor)


def _open_root(root: Path, name: str) -> int:
    try:
        return os.open(root, _FOLDER)
    except OSError as error:
        kind = type(error).__name__
    raise Unavailable(f"The folder {name}, which contains objects, cannot be opened ({kind}); run again when it can.")


def _resolve(root: Path, parts: Sequence[str]) -> Sequence[str]:
    """Return the path from the root with all links resolved. Raises Rejected if it leads out of the root."""
    try:
        target = Path(os.path.realpath(root.joinpath(*parts)))
    except RecursionError:  # a chain of a thousand links
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN) from None
    if root not in target.parents:
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    return target.relative_to(root).parts


def _open_below(folder: int, root: Path, parts: Sequence[str]) -> int:
    """Open the file below an open folder, and close the folder. Does not wait for a writer if the file is a pipe.

    Folders are opened one by one, so that none can be replaced by a link after it was checked.
    """
    try:
        *folders, name = _resolve(root, parts)
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
    except NotADirectoryError:  # Linux raises this for a link, too
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN) from None
        raise


@contextmanager
def _translated_errors(root: str) -> Iterator[None]:
    """Raise a system error within the block as Rejected, or as Unavailable if the object is not the cause."""
    try:
        yield
        return
    except OSError as error:
        number, kind = error.errno, type(error).__name__
    if number in _NOT_THERE:
        raise Rejected(Reason.OBJECT_NOT_FOUND)
    if number == errno.ELOOP:  # a link in the path
        raise Rejected(Reason.PAYLOAD_URI_FORBIDDEN)
    failure = UnreadableObject if number in _UNREADABLE else Unavailable
    raise failure(f"An object below {root} cannot be read ({kind}); grant access, then run again.")
