"""What commands print: JSON or tables on stdout, progress on stderr."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

PROGRESS_AFTER_SECONDS = 2.0
_LONGEST_LIST = 4


def print_json(value: Any) -> None:
    """One JSON value, indented, on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Rows with the same keys as a table on stdout; long vectors are shortened."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(str(name), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console(highlight=False, markup=False)
    console.print(table if rows else "no rows")


def say(sentence: str) -> None:
    """A line on stdout."""
    Console(highlight=False, markup=False, soft_wrap=True).print(sentence)


def warn(sentence: str) -> None:
    """A line on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"Warning: {sentence}")


@dataclass(frozen=True)
class _Line:
    """What the spinner says, asked anew each time it is drawn."""

    what: str
    told: Callable[[], str] | None

    def __rich__(self) -> str:
        return f"{self.what}: {self.told()}" if self.told else self.what


@contextmanager
def progress(what: str, told: Callable[[], str] | None = None) -> Iterator[None]:
    """A spinner on stderr for work over two seconds, on a terminal only; `told` says how far it is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(_Line(what, told))
    timer = threading.Timer(PROGRESS_AFTER_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LONGEST_LIST and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)} values]"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")
