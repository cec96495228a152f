"""Print JSON, tables and lines on stdout, and warnings and progress on stderr, without what controls a terminal."""

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
from rich.table import Table

PROGRESS_AFTER_SECONDS = 2.0
_LONGEST_LIST = 4
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that change the order in which others are shown."""
_ESCAPED = {
    code: f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *_DIRECTIONS)
    if chr(code) not in "\n\t"
}


def printable(text: str) -> str:
    r"""Return a text with characters that control a terminal as JSON spells them, such as \u001b.

    Values of tables and names of files may come from customers: a terminal would obey them, as in writing to the
    clipboard, or hiding what precedes them.
    """
    return text.translate(_ESCAPED)


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    print(json_text(value), flush=True)


def json_text(value: Any) -> str:
    """Return a value as indented JSON."""
    return printable(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows that have the same keys as a table on stdout, with long vectors shortened."""
    table = Table(title=title and printable(title), title_justify="left", header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(printable(str(name)), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console(highlight=False, markup=False)
    console.print(table if rows else "no rows")


def echo(line: str) -> None:
    """Print a line on stdout."""
    Console(highlight=False, markup=False, soft_wrap=True).print(printable(line))


def note(line: str) -> None:
    """Print a line on stderr that says what is being done."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(printable(line))


def warn(message: str) -> None:
    """Print a warning on stderr."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"Warning: {printable(message)}")


@dataclass(frozen=True)
class _Status:
    """The text of a spinner, computed anew each time it is drawn."""

    title: str
    describe: Callable[[], str] | None

    def __rich__(self) -> str:
        return printable(f"{self.title}: {self.describe()}" if self.describe else self.title)


@contextmanager
def progress(title: str, describe: Callable[[], str] | None = None) -> Iterator[None]:
    """Show a spinner on stderr for work that takes over two seconds, if stderr is a terminal.

    `describe` returns how far the work is; it is called each time the spinner is drawn.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(_Status(title, describe))
    timer = threading.Timer(PROGRESS_AFTER_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


@contextmanager
def progress_steps(title: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner, and yield a function that sets the name of the current step."""
    step = [""]
    with progress(title, lambda: step[0]):
        yield lambda name: step.__setitem__(0, name)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr if that is a terminal, and yield a function that sets how many of `total` are done."""
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LONGEST_LIST and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)} values]"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else printable(str(value))


def _plain(value: Any) -> Any:
    """Convert a BigQuery value to JSON types: times to ISO 8601, bytes to base64, NaN and infinities to null."""
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
