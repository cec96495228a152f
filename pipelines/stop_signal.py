"""Stopping the jobs of this process: gently, so that what was read is finished and nothing more is read; or at once."""

import threading

_asked = threading.Event()
_insisted = threading.Event()


def ask() -> None:
    """Have every job of this process read no more."""
    _asked.set()


def asked() -> bool:
    """Whether reading is to end."""
    return _asked.is_set()


def insist() -> None:
    """Have every job of this process end at once, whatever its runner makes of the interrupt."""
    _insisted.set()


def insisted() -> bool:
    """Whether jobs are to end at once."""
    return _insisted.is_set()


def reset() -> None:
    """Let later jobs read again."""
    _asked.clear()
    _insisted.clear()
