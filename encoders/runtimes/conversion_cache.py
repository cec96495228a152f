"""The cache of converted networks, so that an encoder is converted once for a machine and not at each start.

It contains what is computed from an encoder's files alone: never a vector, and nothing of any content. A network in it
is used only if it belongs to this user, is byte for byte what was written, and returns the encoder's golden probe; any
other is removed and made anew. Without room, or a right to write, encoders are converted each time, as without it.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import openvino

from encoders.runtimes.conversion_key import conversion_key
from encoders.spec import EncoderSpec
from rawless.errors import UserError

CACHE_VARIABLE = "RAWLESS_CACHE"
"""`off` turns the cache off, as where the disk of a machine is its memory, or is gone with its process."""
MAX_BYTES = 4_000_000_000
"""The size of all networks in the cache. Those that were not used for longest are removed first."""
_MODEL, _WEIGHTS, _DIGESTS = "model.xml", "model.bin", "digests.json"
_ABANDONED_SECONDS = 3_600.0
"""A network that is still being written after so long belongs to a process that was killed."""
_MAX_DIGESTS_BYTES = 10_000


def conversion_of(spec: EncoderSpec) -> "Conversion | None":
    """Return the place of an encoder's converted network on this machine, None if the cache is off.

    Raises UserError if RAWLESS_CACHE has a value that it does not know.
    """
    if (asked := os.environ.get(CACHE_VARIABLE, "")) not in ("", "off"):
        raise UserError(f"RAWLESS_CACHE is {asked!r}, but must be 'off', or not set: then encoders are cached.")
    if asked:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # which the specification of that variable says to ignore
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # a user without a home folder
            return None
    return Conversion(cache / "rawless" / "encoders" / conversion_key(spec))


@dataclass(frozen=True)
class Conversion:
    """The place of one converted network. Several processes may read, write and remove it at the same time."""

    folder: Path

    def read(self) -> openvino.Model | None:
        """Return the network, None if it is not there. One that is not as it was written is removed."""
        try:
            _check(self.folder.parent.lstat(), stat.S_ISDIR)
            model = _read(self.folder)
            os.utime(self.folder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            self.remove()
            return None
        return model

    @contextlib.contextmanager
    def draft(self, model: openvino.Model) -> "Iterator[Draft]":
        """Write a network to the cache's disk, under no name yet: it is gone after the block if it is not kept.

        If there is no room for it, or it cannot be written, the draft is the given network.
        """
        folder = None
        try:
            with contextlib.suppress(OSError, RuntimeError):
                folder = self._make_folder(model)
            yield Draft(_written(model, folder) or model, folder, self.folder)
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _make_folder(self, model: openvino.Model) -> Path | None:
        """Return a new folder for a network in the cache, None if it is too large."""
        root = self.folder.parent
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(root.lstat(), stat.S_ISDIR)
        size = sum(each.get_byte_size() for each in model.get_ops() if each.get_type_name() == "Constant")
        if size > MAX_BYTES or 2 * size > shutil.disk_usage(root).free:
            return None
        return Path(tempfile.mkdtemp(dir=root, prefix="."))

    def remove(self) -> None:
        """Remove the network, if it is there and can be removed."""
        _remove(self.folder)


@dataclass(frozen=True)
class Draft:
    """A network that was written to the cache and has yet to be examined there."""

    model: openvino.Model
    """As later starts read it, since it computes other last bits than the one that was converted."""
    _folder: Path | None
    _place: Path

    def keep(self) -> None:
        """Let other starts use the network."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.rename(self._place)  # fails if another process was faster
            _remove_oldest(self._place.parent)


def _written(model: openvino.Model, folder: Path | None) -> openvino.Model | None:
    """Return a network as it is read after it was written to a folder, None if it cannot be."""
    if folder is None:
        return None
    try:
        _write(model, folder)
        return _read(folder)
    except (OSError, RuntimeError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _read(folder: Path) -> openvino.Model:
    _check(folder.lstat(), stat.S_ISDIR)
    digests = json.loads(bytes(_read_file(folder / _DIGESTS, at_most=_MAX_DIGESTS_BYTES).data))
    files = {}
    for name in (_MODEL, _WEIGHTS):
        files[name] = _read_file(folder / name)
        if _digest(files[name]) != digests[name]:
            raise ValueError("not as it was written")
    return openvino.Core().read_model(bytes(files[_MODEL].data), files[_WEIGHTS])


def _write(model: openvino.Model, folder: Path) -> None:
    openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)
    for path in folder.iterdir():  # before they are read: where others may change new files by default, none would be
        path.chmod(0o600)
    digests = {name: _digest(_read_file(folder / name)) for name in (_MODEL, _WEIGHTS)}
    (folder / _DIGESTS).write_text(json.dumps(digests))
    (folder / _DIGESTS).chmod(0o600)


def _read_file(path: Path, at_most: int = MAX_BYTES) -> openvino.Tensor:
    """Return the bytes of a file, in memory that the library owns, so that it need not copy them."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        _check(status, stat.S_ISREG)
        if status.st_size > at_most:
            raise ValueError("larger than what is written")
        content = openvino.Tensor(openvino.Type.u8, openvino.Shape([status.st_size]))
        if file.readinto(content.data) != status.st_size:
            raise ValueError("truncated while it was read")
        return content


def _check(status: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    """Raise PermissionError unless a file is of a kind, belongs to this user, and nobody else may change it."""
    shared = status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared or not is_kind(status.st_mode):
        raise PermissionError(errno.EPERM, "of another user, or another kind")


def _remove_oldest(root: Path) -> None:
    """Remove what was abandoned, and beyond MAX_BYTES the networks that were not used for longest."""
    total, now = 0, time.time()
    entries = [(path.lstat().st_mtime, path) for path in root.iterdir()]
    for used_at, path in sorted(entries, reverse=True):
        if path.name.startswith("."):
            if now - used_at > _ABANDONED_SECONDS:
                _remove(path)
            continue
        total += sum(file.lstat().st_size for file in path.iterdir()) if path.is_dir() else 0
        if total > MAX_BYTES:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _digest(content: openvino.Tensor) -> str:
    return hashlib.sha256(content.data).hexdigest()
