"""Start, find and stop the background process of the local stack."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rawless import extras
from rawless.errors import Unavailable
from rawless.files import owner_only
from rawless.privacy.pseudonyms import KEY_VARIABLE
from rawless.warehouse.config import Emulator

ADDRESS_FILE = "local.json"
LOG_FILE = "local.log"
ALIVE_FILE = "local.alive"
"""Locked by the server while it lives, so that a busy server is not mistaken for a dead one."""
LOCAL_PROJECT = "local-dev"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
LOCK_SECONDS = 5.0

_started: list[subprocess.Popen[bytes]] = []
"""Servers that this process started."""


@dataclass(frozen=True)
class Stack:
    """A running local stack."""

    pid: int
    bigquery: Emulator
    pubsub: str
    """Host and port, such as 127.0.0.1:8085."""
    token: str = field(repr=False)
    """What each request to the servers must contain."""


def find(home: Path) -> Stack | None:
    """Return the stack of this home if its process lives, even if it is busy. A stale address file is ignored."""
    try:
        address = json.loads((home / ADDRESS_FILE).read_text())
        stack = Stack(
            pid=int(address["pid"]),
            bigquery=Emulator(address["bigquery_rest"], address["bigquery_grpc"], address["token"]),
            pubsub=address["pubsub"],
            token=address["token"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stack if _is_alive(home) else None


def up(home: Path) -> Stack:
    """Return the stack of this home, and start it if it is not running. Raises Unavailable if it does not start."""
    if stack := find(home):
        return stack
    with _exclusive(home):
        return find(home) or _start(home)


def down(home: Path) -> bool:
    """Stop the stack of this home, and return whether it was running."""
    with _exclusive(home):
        stack = find(home)
        if stack is None:
            return False
        os.kill(stack.pid, signal.SIGTERM)
        if not _wait_until(lambda: not _is_alive(home), STOP_SECONDS):
            os.kill(stack.pid, signal.SIGKILL)
        _reap(stack.pid)
        (home / ADDRESS_FILE).unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def throw_away() -> Iterator[Callable[[], Stack]]:
    """Start a stack in a temporary folder, which is deleted with all that the stack stored.

    Yields a function that waits until it runs, so that the caller can work meanwhile. It raises Unavailable.
    """
    with tempfile.TemporaryDirectory(prefix="rawless-") as folder:
        process = _launch(Path(folder))
        try:
            yield lambda: _wait_for(process, Path(folder))
        finally:
            process.kill()
            process.wait()


def _start(home: Path) -> Stack:
    process = _launch(home)
    _started[:] = [server for server in _started if server.poll() is None] + [process]
    return _wait_for(process, home)


def _launch(home: Path) -> subprocess.Popen[bytes]:
    extras.require("local", "The local stack")
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    with owner_only(), (home / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "rawless.local.server", str(home)],  # -P: ignore modules in the current folder
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _wait_for(process: subprocess.Popen[bytes], home: Path) -> Stack:
    _wait_until(lambda: process.poll() is not None or find(home) is not None, START_SECONDS)
    if stack := find(home):
        return stack
    process.kill()
    raise Unavailable(f"The local stack did not start: see its log, {home / LOG_FILE}.")


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    """Hold a lock while starting or stopping, so that two commands never start two servers on one database."""
    with owner_only():
        lock = (home / "local.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold_alive(home: Path) -> IO[bytes]:
    """Return the locked file that a server keeps open while it lives. Raises Unavailable if another server has it."""
    file = (home / ALIVE_FILE).open("wb")
    if not _wait_until(lambda: _try_lock(file, fcntl.LOCK_EX), LOCK_SECONDS):
        raise Unavailable(
            f"Another server of {home} is running but its address file is gone: find its process and stop it."
        )
    return file


def _try_lock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(home: Path) -> bool:
    try:
        with (home / ALIVE_FILE).open("rb") as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _reap(pid: int) -> None:
    """Wait for a stopped server if this process started it, so that it does not stay a zombie."""
    for process in [server for server in _started if server.pid == pid]:
        process.wait(timeout=STOP_SECONDS)
        _started.remove(process)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
