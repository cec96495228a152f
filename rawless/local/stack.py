"""The local stack: starting, finding and stopping the background process that `local_server` is."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rawless.errors import Unavailable
from rawless.privacy.pseudonyms import KEY_VARIABLE
from rawless.warehouse.config import Emulator

ADDRESS_FILE = "local.json"
LOG_FILE = "local.log"
ALIVE_FILE = "local.alive"
"""Locked by the server for as long as it lives, so that a busy one is not taken for a dead one."""
LOCAL_PROJECT = "local-dev"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
LOCK_SECONDS = 5.0

_started: list[subprocess.Popen[bytes]] = []
"""The servers that this process started."""


@dataclass(frozen=True)
class Stack:
    """A running local stack."""

    pid: int
    bigquery: Emulator
    pubsub: str
    """As in 127.0.0.1:8085."""


def find(home: Path) -> Stack | None:
    """The stack of this home, if its process lives, however busy; a stale address counts as none."""
    try:
        address = json.loads((home / ADDRESS_FILE).read_text())
        stack = Stack(
            pid=int(address["pid"]),
            bigquery=Emulator(address["bigquery_rest"], address["bigquery_grpc"]),
            pubsub=address["pubsub"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stack if _lives(home) else None


def up(home: Path) -> Stack:
    """The running stack of this home, started when it is absent. Raises Unavailable when it does not start."""
    if stack := find(home):
        return stack
    with _alone(home):
        return find(home) or _start(home)


def down(home: Path) -> bool:
    """Stop the stack of this home; says whether there was one."""
    with _alone(home):
        stack = find(home)
        if stack is None:
            return False
        os.kill(stack.pid, signal.SIGTERM)
        if not _until(lambda: not _lives(home), STOP_SECONDS):
            os.kill(stack.pid, signal.SIGKILL)
        _reap(stack.pid)
        (home / ADDRESS_FILE).unlink(missing_ok=True)
        return True


def _start(home: Path) -> Stack:
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    with (home / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rawless.local.server", str(home)],  # -P: no modules of this folder
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    _started[:] = [each for each in _started if each.poll() is None] + [process]
    _until(lambda: process.poll() is not None or find(home) is not None, START_SECONDS)
    if stack := find(home):
        return stack
    process.kill()
    raise Unavailable(f"The local stack did not start; its log {home / LOG_FILE} says why.")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One starter or stopper at a time, so that two commands do not start two servers on one database."""
    with (home / "local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold_alive(home: Path) -> IO[bytes]:
    """What a server keeps open as long as it lives. Raises Unavailable when another one of this home does."""
    file = (home / ALIVE_FILE).open("wb")
    if not _until(lambda: _locked(file, fcntl.LOCK_EX), LOCK_SECONDS):
        raise Unavailable(f"Another server of {home} lives, but its address is gone: find its process and end it.")
    return file


def _locked(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(home: Path) -> bool:
    try:
        with (home / ALIVE_FILE).open("rb") as file:
            return not _locked(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _reap(pid: int) -> None:
    """Take note of the end of a server that this process started."""
    for process in [each for each in _started if each.pid == pid]:
        process.wait(timeout=STOP_SECONDS)
        _started.remove(process)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
