"""What commands print: JSON or tables on stdout, progress on stderr."""

import base64
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PROGRESS_AFTER_SECONDS = 2.0
_LONGEST_LIST = 4


def print_json(value: Any) -> None:
    """One JSON value, indented, on stdout."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


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


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner that is told the step that goes on, and says it."""
    step = [""]
    with progress(what, lambda: step[0]):
        yield lambda name: step.__setitem__(0, name)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, on a terminal only, which is told how many of `total` are done by now."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LONGEST_LIST and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)} values]"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    """A value of BigQuery in JSON's terms: times in ISO 8601, bytes in base64, numbers that JSON lacks as null."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value if isinstance(value, str | int | bool | None) else str(value)
