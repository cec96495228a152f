"""The log guard: it withholds what any library logs, warns of, or fails to catch, where it could contain raw content.

A library may process content in threads of its own, and continue there after the boundary was left. So once a process
has handled content, only threads that have been inside a boundary themselves, and the main thread, log outside of it.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TextIO

from rawless.errors import Unavailable, UserError

_inside: ContextVar[bool] = ContextVar("rawless_inside_boundary", default=False)
_handles_content = False
_known_thread = threading.local()
_WITHHELD = "withheld: logged while raw content was processed"
_UNCAUGHT = "withheld: reported in a process that handles raw content"
_OWN = (UserError, Unavailable)
"""Errors whose sentence never contains content, which commands print too. What they were raised from may, and the
frames too, so neither is shown."""
_REPORTERS = frozenset({"asyncio", "concurrent.futures"})
"""Loggers by which the standard library reports exceptions that nothing caught, in whatever thread notices."""


@contextmanager
def withheld() -> Iterator[None]:
    """Remove the text and arguments of log records and warnings that are made within the block.

    Those of other threads are removed too, except of the threads that have ever entered such a block, and the main one.
    """
    global _handles_content
    _handles_content = True
    _known_thread.has_entered = True
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _is_withheld() -> bool:
    """Return whether what this thread logs now could contain raw content."""
    if _inside.get() or not _handles_content:
        return _inside.get()
    is_main = threading.get_ident() == threading.main_thread().ident
    return not is_main and not getattr(_known_thread, "has_entered", False)


def _guard_records() -> None:
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        created = make(*args, **kwargs)
        if _is_withheld():
            # The message too: many libraries format content into it before they log.
            created.msg, created.args, created.exc_info, created.stack_info = _WITHHELD, (), None, None
        elif _handles_content and created.name in _REPORTERS:
            kind, _, trace = created.exc_info or (None, None, None)
            clean = (RuntimeError, _without_content(kind, trace), None) if kind else None
            created.msg, created.args, created.exc_info, created.stack_info = _UNCAUGHT, (), clean, None
        return created

    logging.setLogRecordFactory(record)


def _guard_extra() -> None:
    make = logging.Logger.makeRecord

    def record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if _is_withheld():  # `extra` is the ninth argument, and is added after the factory has made the record
            args, kwargs = args[:8], {**kwargs, "extra": None}
        return make(self, *args, **kwargs)

    logging.Logger.makeRecord = record  # type: ignore[method-assign]


def _guard_warnings() -> None:
    show = warnings.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        show(_WITHHELD if _is_withheld() else message, category, filename, lineno, file, line)

    warnings.showwarning = showwarning


def _without_content(error: type[BaseException], trace: TracebackType | None) -> RuntimeError:
    """Return an exception that says of which type an uncaught one is, and where it was raised."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(trace)]
    places = "".join(f"\n  {code.co_filename}:{line} in {code.co_name}" for code, line in frames)
    return RuntimeError(f"{error.__qualname__}, whose text is withheld in a process that handles raw content{places}")


def _guard_uncaught() -> None:
    """Replace exceptions that nothing caught before they reach the hooks that report them."""
    report, report_in_thread, report_ignored = sys.excepthook, threading.excepthook, sys.unraisablehook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _handles_content and kind in _OWN:
            error, trace = kind(str(error)), None
        elif _handles_content:
            kind, error, trace = RuntimeError, _without_content(kind, trace), None
        report(kind, error, trace)

    def thread_excepthook(args: threading.ExceptHookArgs) -> None:
        if _handles_content and args.exc_type is not SystemExit:  # which ends a thread silently
            clean = _without_content(args.exc_type, args.exc_traceback)
            args = threading.ExceptHookArgs((RuntimeError, clean, None, args.thread))
        report_in_thread(args)

    def unraisablehook(args: "sys.UnraisableHookArgs") -> None:
        if _handles_content:  # not the object either, whose repr may be content
            clean = _without_content(args.exc_type, args.exc_traceback)
            args = type(args)((RuntimeError, clean, None, None, None))  # type: ignore[call-arg]
        report_ignored(args)

    sys.excepthook, threading.excepthook, sys.unraisablehook = excepthook, thread_excepthook, unraisablehook


# On import, so that the guard is active in every process that can contain a `Raw`, including Beam workers.
_guard_records()
_guard_extra()
_guard_warnings()
_guard_uncaught()
