"""Ctrl-C while jobs run: the first lets them finish what they have read, the second aborts them."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from rawless.steps import stop_signal

_MESSAGE = b"\nFinishing the events that were read. Press Ctrl-C again to stop immediately.\n"
_STDERR = 2


@contextmanager
def stop_on_interrupt(*others: signal.Signals) -> Iterator[None]:
    """Turn the first Ctrl-C, or other signal, within the block into a request to stop, and the second into an abort.

    Does nothing outside of the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop_signal.reset()
    previous = {number: signal.signal(number, _on_interrupt) for number in (signal.SIGINT, *others)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _on_interrupt(_: int, __: FrameType | None) -> None:
    if stop_signal.is_stop_requested():
        stop_signal.request_abort()
        raise KeyboardInterrupt
    stop_signal.request_stop()
    with suppress(OSError):  # the process that reads stderr may have been stopped too
        os.write(_STDERR, _MESSAGE)  # not print, which this signal may have interrupted
