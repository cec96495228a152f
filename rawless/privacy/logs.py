"""The log guard: what any library logs or warns while raw content is in hand is withheld."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

_inside: ContextVar[bool] = ContextVar("rawless_inside_boundary", default=False)
_WITHHELD = "withheld: this was logged while raw content was in hand"


@contextmanager
def withheld() -> Iterator[None]:
    """Log records and warnings made by this thread inside the block lose their text and arguments."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _guard_records() -> None:
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        if _inside.get():
            # The message too: many libraries format content into it before they log.
            made.msg, made.args, made.exc_info, made.stack_info = _WITHHELD, (), None, None
        return made

    logging.setLogRecordFactory(record)


def _guard_extra() -> None:
    make = logging.Logger.makeRecord

    def record(self: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if _inside.get():  # `extra` is the ninth, and is put onto the record after the factory made it
            args, kwargs = args[:8], {**kwargs, "extra": None}
        return make(self, *args, **kwargs)

    logging.Logger.makeRecord = record  # type: ignore[method-assign]


def _guard_warnings() -> None:
    show = warnings.showwarning

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        show(_WITHHELD if _inside.get() else message, category, filename, lineno, file, line)

    warnings.showwarning = shown


# On import, so that every process that can hold a `Raw` (a Beam worker too) has the guard in place.
_guard_records()
_guard_extra()
_guard_warnings()
