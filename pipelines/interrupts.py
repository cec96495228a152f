"""Ctrl-C while jobs run: the first has them finish what they read, a second stops at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pipelines import stop_signal

_TOLD = b"\nFinishing what was read; Ctrl-C again stops at once.\n"
_STDERR = 2


@contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Inside, the first Ctrl-C asks the jobs of this process to read no more; outside of the main thread, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop_signal.reset()
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(_: int, __: FrameType | None) -> None:
    if stop_signal.asked():
        stop_signal.insist()
        raise KeyboardInterrupt
    stop_signal.ask()
    with suppress(OSError):  # whoever listened may have been stopped too
        os.write(_STDERR, _TOLD)  # not print: this may have come in the middle of one
