"""`Pool`: children that prepare items, and what it means when one dies."""

import atexit
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import NamedTuple, TypeAlias

from encoders.batcher import PREPARING
from encoders.child import messages
from rawless.child_environment import child_environment
from rawless.errors import Unavailable
from rawless.metering import table as metrics
from rawless.privacy import Reason, Rejected

Reserve: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""Waits until so many pixels may be decoded, and holds them."""
_CRASHES = 2
"""Deaths in which an item is at fault: the second is in a child that prepared nothing before."""
_KILLS = 5
"""Deaths by a signal from outside, as the kernel sends it when memory is exhausted. An item may cause that too."""
_STARTS = 3
"""Children that may fail to start before an item fails; those that are killed from outside do not count."""
_START_SECONDS = 60
_END_SECONDS = 5
_ALLOCATOR = {"MALLOC_TOP_PAD_": "33554432"}
"""The memory of one image is kept for the next, up to so many bytes, since the kernel is slow to clear new pages."""


class Counts(NamedTuple):
    """What the children of a process have done since it started."""

    items: int = 0
    """Items that were prepared or rejected by a child."""
    seconds: float = 0.0
    """How long they took, without waiting for a child."""
    started: int = 0
    """Children that were started, the first ones and those that replaced others."""
    died: int = 0
    """Children that ended although the process did not: crashed, killed from outside, or ended for taking too long."""
    crashed: int = 0
    """Items that were rejected as `decoder_crashed`."""
    timed_out: int = 0
    """Items that were rejected as `decoder_timeout`."""


@dataclass(frozen=True)
class Request:
    """An item for a child, and what its outcomes may be."""

    options: bytes
    content: bytes
    memory: int
    """What it may allocate before it says how many pixels it has, beside copies of the content."""
    expected: Sequence[messages.Expected]


class _Death(Enum):
    CRASHED = auto()
    KILLED = auto()
    TIMED_OUT = auto()


class Pool:
    """At most `size` children, which start when they are needed. It is thread-safe."""

    def __init__(
        self, task: str, reserve: Reserve, *, size: int | None = None, cpu_seconds: int = 30, seconds: float = 300
    ) -> None:
        """`task` is MODULE:FUNCTION, an `encoders.child.__main__.Task`.

        `reserve` waits until a child may decode so many pixels. An item may use the processor for `cpu_seconds`, and
        take `seconds` in all, which matters when a child does nothing, and when the machine has too much to do.
        """
        self._task = task
        self._reserve = reserve
        self._cpu_seconds, self._seconds = cpu_seconds, seconds
        self._size = size or PREPARING
        self._counts = dict.fromkeys(Counts._fields, 0.0)
        self._begin()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._begin)  # the children belong to the process that forked

    def _begin(self) -> None:
        self._lock = Lock()
        self._turns = Semaphore(self._size)
        self._idle: list[_Child] = []
        self._starter: _Starter | None = None

    def prepare(self, request: Request) -> list[messages.Array | Reason]:
        """Return the outcomes of an item.

        Raises Rejected with the reason of the task, `internal` if the task fails; `decoder_crashed` if children die of
        the item, or need more memory than they may; `decoder_timeout` if it takes too long. Raises Unavailable when no
        child can be started.
        """
        deaths: Counter[_Death] = Counter()
        with self._turns:
            while True:
                outcomes = self._attempt(request, fresh=bool(deaths))
                if isinstance(outcomes, Reason):
                    raise Rejected(outcomes)
                if not isinstance(outcomes, _Death):
                    return outcomes
                deaths[outcomes] += 1
                if deaths[_Death.TIMED_OUT]:
                    self._count(timed_out=1)
                    raise Rejected(Reason.DECODER_TIMEOUT)
                if deaths[_Death.CRASHED] == _CRASHES or deaths[_Death.KILLED] == _KILLS:
                    self._count(crashed=1)
                    raise Rejected(Reason.DECODER_CRASHED)

    def counts(self) -> Counts:
        """Return what the children have done since the pool was made."""
        with self._lock:
            numbers = dict(self._counts)
        return Counts(seconds=numbers.pop("seconds"), **{name: int(number) for name, number in numbers.items()})

    def close(self) -> None:
        """End the children that have no item. The next item starts new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _attempt(self, request: Request, *, fresh: bool) -> list[messages.Array | Reason] | Reason | _Death:
        child = self._take(fresh=fresh)
        began = time.monotonic()
        try:
            outcomes = child.ask(request, self._reserve)
        except messages.Closed:  # it had ended before, so the item is not at fault
            death = child.how_it_died()
            self._count_death(death)
            return death if fresh else self._attempt(request, fresh=not self._idle)
        except BaseException:
            child.end()
            raise
        if isinstance(outcomes, _Death):
            self._count_death(outcomes)
            return outcomes
        took = time.monotonic() - began
        self._count(items=1, seconds=took)
        metrics.DECODE.observe(took)
        with self._lock:
            self._idle.append(child)
        return outcomes

    def _take(self, *, fresh: bool) -> "_Child":
        """Return a child without an item; a new one if it shall be fresh."""
        if not fresh:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is not None:
                return child
        failed, last = 0, time.monotonic() + _START_SECONDS
        while failed < _STARTS and time.monotonic() < last:
            child = self._start()
            if child.is_ready():
                self._count(started=1)
                metrics.DECODER_STARTS.add(1)
                return child
            failed += child.how_it_died() is not _Death.KILLED
        raise Unavailable(
            "No process in which images are decoded can be started: give the worker more memory, or more processes."
        )

    def _start(self) -> "_Child":
        with self._lock:
            self._starter = self._starter or _Starter()
        try:
            ours, theirs = socket.socketpair()
            with theirs, ExitStack() as unless_started:
                unless_started.enter_context(ours)
                arguments = [str(theirs.fileno()), str(os.getpid()), self._task, str(self._cpu_seconds)]
                process = self._starter.start(arguments, theirs.fileno())
                unless_started.pop_all()
        except OSError:
            raise Unavailable("This machine refuses to start a process in which images are decoded.") from None
        return _Child(process, ours, self._seconds)

    def _count_death(self, death: _Death) -> None:
        self._count(died=1)
        metrics.DECODER_DEATHS.add(1, death.name.lower())

    def _count(self, **added: float) -> None:
        with self._lock:
            for name, more in added.items():
                self._counts[name] += more


class _Child:
    """The parent's side of a child."""

    def __init__(self, process: "subprocess.Popen[bytes]", link: socket.socket, seconds: float) -> None:
        self._process = process
        self._link = link
        self._seconds = seconds

    def is_ready(self) -> bool:
        """Return whether the child has started, after waiting for it."""
        self._wait_at_most(_START_SECONDS)
        try:
            is_ready = messages.receive_head(self._link).kind == messages.READY
        except (EOFError, OSError):
            return False
        self._wait_at_most(self._seconds)
        return is_ready

    def ask(self, request: Request, reserve: Reserve) -> list[messages.Array | Reason] | Reason | _Death:
        """Return what the child answers, or how it died: it is ended unless it answers in time and as it should.

        Raises Closed if it had ended before.
        """
        try:
            messages.send_request(self._link, request.options, request.content, request.memory)
            head = messages.receive_head(self._link)
            if head.kind != messages.RESERVE:
                return self._read(head, request)
            with reserve(head.height):
                self._link.sendall(messages.GO)
                return self._read(messages.receive_head(self._link), request)
        except messages.Nonsense:
            self.end()
            return _Death.CRASHED
        except BlockingIOError:  # the time of the link is over
            self.end()
            return _Death.TIMED_OUT
        except (EOFError, ConnectionError):
            return self.how_it_died()

    def _read(self, head: messages.Head, request: Request) -> list[messages.Array | Reason] | Reason | _Death:
        if head.kind == messages.NO_MEMORY:
            self.end()
            return _Death.CRASHED
        if head.kind == messages.REJECTED:
            return head.reason
        return messages.receive_outcomes(self._link, head, request.expected)

    def _wait_at_most(self, seconds: float) -> None:
        """Let calls of the link raise BlockingIOError if they take longer. A timeout of Python's would cost more."""
        time_value = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        for kind in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._link.setsockopt(socket.SOL_SOCKET, kind, time_value)

    def end(self) -> None:
        """End the child, whatever it does."""
        self._link.close()
        self._process.kill()
        self._process.wait()

    def how_it_died(self) -> _Death:
        """Return how the child ended, after the end of its link; it is ended if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)  # the kernel closes the link of a process before it has ended
        status = self._process.poll()
        self.end()
        if status == -signal.SIGXCPU:
            return _Death.TIMED_OUT
        return _Death.KILLED if status == -signal.SIGKILL else _Death.CRASHED


class _Starter:
    """A thread that starts children. They die with the thread that started them, which thus must last."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[tuple[list[str], int, Future[subprocess.Popen[bytes]]]] = SimpleQueue()
        Thread(target=self._serve, name="start-children", daemon=True).start()

    def start(self, arguments: list[str], link: int) -> "subprocess.Popen[bytes]":
        """Return a new child that inherits the file `link`. Raises OSError."""
        process: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((arguments, link, process))
        return process.result()

    def _serve(self) -> None:
        while True:
            arguments, link, process = self._orders.get()
            try:
                process.set_result(
                    subprocess.Popen(
                        [sys.executable, "-P", "-m", "encoders.child", *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        env=child_environment() | _ALLOCATOR,
                        pass_fds=[link],
                    )
                )
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                process.set_exception(error)
