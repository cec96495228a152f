"""A decoder with planted faults, which runs in children in the place of the real one."""

import ctypes
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from encoders.child.images import read
from encoders.child.messages import Array
from encoders.isolation import images
from encoders.isolation.pool import Pool
from encoders.pixels import decoding
from rawless.privacy import Reason

ROOT = Path(__file__).parents[2]
FAULTS = {
    "crashes": Reason.DECODER_CRASHED,
    "aborts": Reason.DECODER_CRASHED,
    "ends": Reason.DECODER_CRASHED,
    "allocates": Reason.DECODER_CRASHED,
    "lies": Reason.DECODER_CRASHED,
    "loops": Reason.DECODER_TIMEOUT,
    "hangs": Reason.DECODER_TIMEOUT,
}
"""What the decoder does with a file that ends with one of these, and the reason for its rejection."""


@contextmanager
def planted(monkeypatch: pytest.MonkeyPatch, size: int = 2, seconds: float = 300) -> Iterator[Pool]:
    """Let the children of this process use this decoder, with one to two seconds of the processor for each item."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    pool = Pool(f"{__name__}:decode", decoding.acquire, size=size, cpu_seconds=1, seconds=seconds)
    monkeypatch.setattr(images, "POOL", pool)
    yield pool
    pool.close()


def children(parent: int | None = None) -> list[int]:
    """Return the processes that decode for a process, by default for this one."""
    listed = Path(f"/proc/{parent or os.getpid()}/task").glob("*/children")
    pids = [int(pid) for tasks in listed for pid in tasks.read_text().split()]
    return [pid for pid in pids if b"encoders.child" in file_of(pid, "cmdline")]


def file_of(pid: int, name: str) -> bytes:
    """Return a file below /proc of a process, empty if that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def decode(options: bytes, content: bytes, reserve: Callable[[int], None]) -> Sequence[Array | Reason]:
    """Do what the end of the content asks for, or decode it."""
    print(content, flush=True)
    print(content, file=sys.stderr, flush=True)
    os.write(2, content)
    act = next((act for end, act in _ACTS.items() if content.endswith(end)), None)
    return act(content) if act else read(options, content, reserve)


def _loop(content: bytes) -> NoReturn:
    while True:
        pass


def _write(content: bytes) -> NoReturn:
    (Path(tempfile.gettempdir()) / "rawless-planted").write_bytes(content)
    raise AssertionError


def _tell(content: bytes) -> Sequence[Array]:
    files = [each.name for each in Path("/proc/self/fd").iterdir()]
    status = Path("/proc/self/status").read_text().split()
    core, size = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE))
    text = repr((dict(os.environ), files, (core, size, status[status.index("NoNewPrivs:") + 1])))
    return [np.frombuffer(text.encode(), np.uint8).reshape(1, 1, -1)]


_ACTS: dict[bytes, Callable[[bytes], Any]] = {
    b"crashes": lambda _: ctypes.string_at(0),
    b"aborts": lambda _: os.abort(),
    b"ends": lambda _: os._exit(0),
    b"killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    b"allocates": lambda _: bytearray(4 << 30),
    b"lies": lambda _: [np.zeros((2, 2, 3), np.uint8)],
    b"loops": _loop,
    b"hangs": lambda _: signal.pause(),
    b"raises": lambda content: int(content),
    b"writes": _write,
    b"tells": _tell,
}
