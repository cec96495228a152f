"""`CrashRecord`: what a process was encoding when it died, in a small file that outlives it on its machine.

    enter -> in progress, in this process's part of the file -> leave
    the process dies -> the next one finds what was in progress: suspects -> each is encoded alone
    a suspect is encoded -> it is forgotten; it was in progress in `MAX_DEATHS` processes that died -> it is rejected

Only the content that kills processes is in progress alone again and again, so no other is rejected for it.

The file has a fixed size and contains HMACs, counts and times. A write that a death tears leaves an HMAC that belongs
to no content, and no count. A process owns its part as long as it holds a lock, which the kernel ends with it.
"""

import atexit
import errno
import fcntl
import hmac
import logging
import mmap
import os
import secrets
import stat
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

MAX_DEATHS = 3
"""Of processes in which a content was in progress. In the second and the third it was alone, so that it takes three
coincidences to reject one that is innocent. Beam's boot starts a process three times before it starts its container
again."""
PURPOSE = "rawless content that ended a worker of "
"""For which, followed by the stream's name, a secret is derived from a pseudonym key."""
FOLDER_VARIABLE = "SEMI_PERSISTENT_DIRECTORY"
"""Names the folder of a worker of Beam that outlives its container too."""
_MAX_AGE = 86_400
"""Seconds after which a suspect that was not delivered again is forgotten."""
_CHECK_SECONDS = 5.0
_LOCK_SECONDS = 10.0
_ID_BYTES = 16
_HEADER = struct.Struct("<8sQ32s")
"""The kind of file, the number of changes of suspects, and the secret of streams without a pseudonym key."""
_KIND = b"rawless1"
_GENERATION = slice(8, 16)
_SUSPECT = struct.Struct("<16sIQ")
"""The id of a content, in how many processes that died it was, and the time of the last one. A checksum follows."""
_SUSPECT_BYTES = _SUSPECT.size + 4
_SUSPECTS = 4_096
_PARTS = 32
_IN_PROGRESS = 4_096
"""Contents of one process. Those for which there is no place are not counted."""
_SUSPECTS_AT = 4_096
_PARTS_AT = _SUSPECTS_AT + _SUSPECTS * _SUSPECT_BYTES
_PART_BYTES = _IN_PROGRESS * _ID_BYTES
_SIZE = _PARTS_AT + _PARTS * _PART_BYTES
_NOTHING = bytes(_ID_BYTES)
_NO_SUSPECT = bytes(_SUSPECT.size)
_log = logging.getLogger(__name__)
_making = threading.Lock()


class CrashRecord:
    """What this process has in progress, and what was in progress in others that died. It is thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it, and look for processes that died. Raises OSError if it cannot be used."""
        self._path = path
        self._file = _open(path)
        self._memory = mmap.mmap(self._file, _SIZE)
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False
        self._waiting_alone = 0
        self._suspects: dict[bytes, tuple[int, int]] = {}
        """The number of deaths and the place of each suspect, as of a generation."""
        self._generation = -1
        self._part: int | None = None
        with self._locked():
            self._take_part()
        self._free: list[int] = list(range(_IN_PROGRESS)) if self._part is not None else []
        self.secret = bytes(self._memory[16:48])
        """For the ids of contents of streams without a pseudonym key."""

    def enter(self, content: bytes, secret: bytes, check: Callable[[], None]) -> int | None:
        """Record that a content is in progress, and return its place, or None if it has ended too many processes.

        A suspect waits until nothing else is in progress, and what follows waits for it. `check` is called while this
        waits, and raises an exception if that makes no sense.
        """
        content_id = hmac.digest(secret, content, "sha256")[:_ID_BYTES]
        with self._changed:
            deaths, _ = self._known().get(content_id, (0, 0))
            if deaths >= MAX_DEATHS:
                return None
            if deaths:
                self._wait_alone(check)
            else:
                while self._alone or self._waiting_alone:
                    self._wait(check)
            self._running += 1
            self._alone = deaths > 0
            place = self._free.pop() if self._free else -1
            if place >= 0:
                self._write(self._start_of(place), content_id)
            return place

    def leave(self, place: int) -> None:
        """Record that what entered at a place is not in progress any more, and did not end this process."""
        with self._changed:
            if self._alone:
                self._forget(place)
            if place >= 0:
                self._write(self._start_of(place), _NOTHING)
                self._free.append(place)
            self._running -= 1
            self._alone = False
            self._changed.notify_all()

    def suspects(self) -> dict[bytes, int]:
        """Return the number of deaths of each suspect by the id of its content."""
        with self._changed:
            return {content_id: deaths for content_id, (deaths, _) in self._known().items()}

    def close(self) -> None:
        """Remove the file unless it is still used, by this process or another, or contains a suspect."""
        if os.getpid() != self._process or self._running:
            return
        with suppress(OSError), self._locked():
            is_used = any(part != self._part and not self._lock(part) for part in range(_PARTS))
            if not (is_used or self._known()) and _is_at(self._file, self._path):
                self._path.unlink()
        self._memory.close()
        os.close(self._file)

    def _wait_alone(self, check: Callable[[], None]) -> None:
        self._waiting_alone += 1
        try:
            while self._running:
                self._wait(check)
        finally:
            self._waiting_alone -= 1
            self._changed.notify_all()

    def _wait(self, check: Callable[[], None]) -> None:
        if not self._changed.wait(_CHECK_SECONDS):
            check()

    def _known(self) -> dict[bytes, tuple[int, int]]:
        """Return the suspects, which another process may have changed."""
        generation = int.from_bytes(self._memory[_GENERATION], "little")
        if generation != self._generation:
            self._suspects = {content_id: (deaths, at) for content_id, deaths, _, at in self._read_suspects()}
            self._generation = generation
        return self._suspects

    def _forget(self, place: int) -> None:
        """Remove the suspect that is in progress at a place."""
        start = self._start_of(place)
        content_id = bytes(self._memory[start : start + _ID_BYTES]) if place >= 0 else _NOTHING
        with suppress(OSError), self._locked():
            if known := self._known().get(content_id):
                self._write_suspect(known[1], _NO_SUSPECT)
                del self._suspects[content_id]
                self._count_change()

    def _take_part(self) -> None:
        """Take a part of the file that no process uses, and make suspects of what is in those of dead processes."""
        now = int(time.time())
        known = {}
        for content_id, deaths, since, at in list(self._read_suspects()):
            if abs(now - since) < _MAX_AGE:
                known[content_id] = (since, deaths, at)
            else:
                self._write_suspect(at, _NO_SUSPECT)
        used = {at for *_, at in known.values()}
        places = [at for at in range(_SUSPECTS) if at not in used]
        places = [at for *_, at in sorted(known.values(), reverse=True)] + places  # taken from the end, the oldest last
        for part in range(_PARTS):
            if not self._lock(part):
                continue
            for content_id in self._take_left(part):
                _, deaths, at = known.get(content_id, (0, 0, -1))
                at = places.pop() if at < 0 and places else at
                if at >= 0:
                    self._write_suspect(at, _SUSPECT.pack(content_id, deaths + 1, now))
            if self._part is None:
                self._part = part
            else:
                self._unlock(part)
        self._count_change()

    def _take_left(self, part: int) -> set[bytes]:
        """Return what is in progress in a part, and empty it."""
        start = _PARTS_AT + part * _PART_BYTES
        left = self._memory[start : start + _PART_BYTES]
        if left.count(0) == _PART_BYTES:
            return set()
        self._write(start, bytes(_PART_BYTES))
        return {left[at : at + _ID_BYTES] for at in range(0, _PART_BYTES, _ID_BYTES)} - {_NOTHING}

    def _read_suspects(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Yield the suspects with the number of their deaths, the time of the last one, and their place."""
        whole = self._memory[_SUSPECTS_AT:_PARTS_AT]
        for at in range(_SUSPECTS) if whole.count(0) < len(whole) else ():
            start = at * _SUSPECT_BYTES
            data = whole[start : start + _SUSPECT.size]
            checksum = int.from_bytes(whole[start + _SUSPECT.size : start + _SUSPECT_BYTES], "little")
            if data != _NO_SUSPECT and checksum == zlib.crc32(data):
                content_id, deaths, since = _SUSPECT.unpack(data)
                yield content_id, deaths, since, at

    def _write_suspect(self, at: int, data: bytes) -> None:
        self._write(_SUSPECTS_AT + at * _SUSPECT_BYTES, data + zlib.crc32(data).to_bytes(4, "little"))

    def _count_change(self) -> None:
        generation = int.from_bytes(self._memory[_GENERATION], "little") + 1
        self._memory[_GENERATION] = generation.to_bytes(8, "little")
        if self._generation == generation - 1:
            self._generation = generation

    def _start_of(self, place: int) -> int:
        return _PARTS_AT + (self._part or 0) * _PART_BYTES + place * _ID_BYTES

    def _write(self, start: int, data: bytes) -> None:
        self._memory[start : start + len(data)] = data

    def _lock(self, part: int) -> bool:
        return _lock(self._file, 1 + part)

    def _unlock(self, part: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 1 + part)

    def _locked(self) -> AbstractContextManager[None]:
        """Let no other process change suspects or take a part within the block."""
        return _locked(self._file)


def crash_record() -> CrashRecord | None:
    """Return the record of this process, or None where no file can be written."""
    with _making:  # two would have the same part of the file, since locks of one process do not exclude each other
        return _crash_record()


@lru_cache
def _crash_record() -> CrashRecord | None:
    path = Path(os.environ.get(FOLDER_VARIABLE) or tempfile.gettempdir()) / f"rawless-crashes-{os.geteuid()}"
    try:
        record = CrashRecord(path)
    except OSError as error:
        _log.warning("What ends this process cannot be recorded (%s), so it may do so again.", type(error).__name__)
        return None
    atexit.register(record.close)
    return record


def _open(path: Path) -> int:
    """Return the descriptor of the file at a path, which is made if it is missing or not whole."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PermissionError
            with _locked(file):
                if _is_at(file, path):  # otherwise its last user removed it meanwhile
                    _fill(file)
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _fill(file: int) -> None:
    """Give a file its size and header unless it has them. All of it gets space on the disk, so that writes succeed."""
    if os.fstat(file).st_size == _SIZE and os.pread(file, len(_KIND), 0) == _KIND:
        return
    os.ftruncate(file, 0)
    if os.pwrite(file, bytes(_SIZE), 0) < _SIZE:
        os.ftruncate(file, 0)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.pwrite(file, _HEADER.pack(_KIND, 0, secrets.token_bytes(32)), 0)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False


def _lock(file: int, at: int) -> bool:
    """Lock a byte of a file and return whether that succeeded. Locks of one process do not exclude each other."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
    except (BlockingIOError, PermissionError):  # another process holds it
        return False
    return True


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """Hold the lock of the whole file, which others hold for milliseconds. Raises TimeoutError, an OSError."""
    limit = time.monotonic() + _LOCK_SECONDS
    while not _lock(file, 0):
        if time.monotonic() > limit:
            raise TimeoutError
        time.sleep(0.001)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, 0)
