"""Ctrl-C outside of a command: while its modules are imported, and while the interpreter exits."""

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process at once and without a traceback, unless it is ignored, as in the background."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, so that a command can clean up."""
    if signal.getsignal(signal.SIGINT) is end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end(_: int = signal.SIGINT, __: FrameType | None = None) -> None:
    """End this process as one that was interrupted."""
    os.write(2, b"Stopped.\n")
    os._exit(INTERRUPTED)
