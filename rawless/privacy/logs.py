"""The log guard: it withholds what any library logs, or warns of, while raw content is processed."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

_inside: ContextVar[bool] = ContextVar("rawless_inside_boundary", default=False)
_WITHHELD = "withheld: logged while raw content was processed"


@contextmanager
def withheld() -> Iterator[None]:
    """Remove the text and arguments of log records and warnings that this thread makes within the block."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _guard_records() -> None:
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        created = make(*args, **kwargs)
        if _inside.get():
            # The message too: many libraries format content into it before they log.
            created.msg, created.args, created.exc_info, created.stack_info = _WITHHELD, (), None, None
        return created

    logging.setLogRecordFactory(record)


def _guard_extra() -> None:
    make = logging.Logger.makeRecord

    def record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if _inside.get():  # `extra` is the ninth argument, and is added after the factory has made the record
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
        show(_WITHHELD if _inside.get() else message, category, filename, lineno, file, line)

    warnings.showwarning = showwarning


# On import, so that the guard is active in every process that can contain a `Raw`, including Beam workers.
_guard_records()
_guard_extra()
_guard_warnings()
