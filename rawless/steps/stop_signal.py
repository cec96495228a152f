"""Requests to stop the jobs of this process: to read nothing more and finish what was read, or to abort."""

import threading

_stop = threading.Event()
_abort = threading.Event()


def request_stop() -> None:
    """Make every job of this process stop reading and finish what it has read."""
    _stop.set()


def is_stop_requested() -> bool:
    """Return whether jobs should stop reading."""
    return _stop.is_set()


def request_abort() -> None:
    """Make every job of this process end immediately, however its runner handles the interrupt."""
    _abort.set()


def is_abort_requested() -> bool:
    """Return whether jobs should end immediately."""
    return _abort.is_set()


def reset() -> None:
    """Withdraw all requests, so that later jobs read."""
    _stop.clear()
    _abort.clear()
