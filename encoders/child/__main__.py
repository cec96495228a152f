"""`python -m encoders.child LINK PARENT TASK SECONDS`: a child of a pool, which prepares items until it ends.

It writes to its link only, an inherited socket, and has no other files. It never logs, and its output is nowhere.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from encoders.child import messages
from rawless.privacy import Reason, Rejected

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_BYTES = 256_000_000
"""What a child may allocate beside the content and the image: for the libraries' own tables and working memory."""
_COPIES = 4
"""Of the content: as received, without metadata, and in the hands of a decoder."""
_BYTES_PER_PIXEL = 40
"""Decoding takes up to 30, by the format."""
_ASKS_FROM = 2_000_000
"""Pixels from which a child asks before it decodes. An answer takes longer than it saves for smaller images."""


class Task(Protocol):
    """What children of a pool do with an item."""

    def __call__(
        self, options: bytes, content: bytes, reserve: Callable[[int], None]
    ) -> Sequence[messages.Array | Reason]:
        """Return outcomes. Calls `reserve` with the number of pixels before it decodes them. Raises Rejected."""
        ...


class _Server:
    def __init__(self, link: socket.socket, task: Task, seconds: int) -> None:
        self._link, self._task, self._seconds = link, task, seconds

    def serve(self) -> None:
        """Answer requests until the parent closes the link."""
        messages.send_head(self._link, messages.READY)
        try:
            while True:
                self._answer(*messages.receive_sizes(self._link))
        except (EOFError, ConnectionError):
            return

    def _answer(self, options_size: int, content_size: int, memory: int) -> None:
        _limit_seconds(self._seconds)
        _limit_memory(_BYTES + _COPIES * content_size + memory)
        try:
            options, content = (messages.receive(self._link, size) for size in (options_size, content_size))
            outcomes = self._task(options, content, self._reserve)
        except Rejected as rejected:
            messages.send_rejection(self._link, rejected.reason)
        except MemoryError:
            messages.send_head(self._link, messages.NO_MEMORY)
        except (EOFError, ConnectionError):
            raise
        except BaseException:  # noqa: BLE001 - it may contain content
            messages.send_rejection(self._link, Reason.INTERNAL)
        else:
            for outcome in outcomes:
                messages.send_outcome(self._link, outcome)

    def _reserve(self, pixels: int) -> None:
        if pixels > _ASKS_FROM:
            messages.send_head(self._link, messages.RESERVE, pixels)
            messages.receive(self._link, len(messages.GO))
        _limit_memory(_BYTES + _BYTES_PER_PIXEL * pixels)


def main(link: int, parent: int, task: str, seconds: int) -> None:
    """Prepare items by a task, MODULE:FUNCTION, each within so many seconds of the processor."""
    _die_with(parent)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent decides when its children end
        signal.signal(each, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may have a byte
    module, _, function = task.partition(":")
    loaded: Task = getattr(import_module(module), function)
    _Server(socket.socket(fileno=link), loaded, seconds).serve()


def _die_with(parent: int) -> None:
    """End this process when its parent does, whatever code it is in, and forbid it more rights than it has."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *(ctypes.c_ulong(0),) * 3)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *(ctypes.c_ulong(0),) * 3)
    if os.getppid() != parent:  # it ended before
        os._exit(0)


def _limit_seconds(seconds: int) -> None:
    """Let the kernel end this process when it has used the processor for so much longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + seconds)


def _limit_memory(size: int) -> None:
    """Let allocations fail that would need so much more memory than is allocated now."""
    if sys.platform == "linux":  # elsewhere the limit does not count what large allocations use
        _limit(resource.RLIMIT_DATA, _allocated() + size)


def _allocated() -> int:
    pages = os.pread(_STATM.fileno(), 100, 0).split()[5]
    return int(pages) * resource.getpagesize()


def _limit(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if sys.platform == "linux":
    _STATM = Path("/proc/self/statm").open("rb", buffering=0)  # noqa: SIM115 - it is read as long as this process lives

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
