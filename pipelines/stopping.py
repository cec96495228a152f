"""Stopping the jobs of this process gently: what was read is finished, and nothing more is read."""

import threading

_asked = threading.Event()


def ask() -> None:
    """Have every job of this process read no more."""
    _asked.set()


def asked() -> bool:
    """Whether reading is to end."""
    return _asked.is_set()


def reset() -> None:
    """Let later jobs read again."""
    _asked.clear()
