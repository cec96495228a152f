"""Print JSON, tables and lines on stdout, and warnings and progress on stderr, without what controls a terminal."""

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rawless.work import Done

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


@contextmanager
def progress(
    title: str, describe: Callable[[], str] | None = None, measure: "Callable[[], Done | None] | None" = None
) -> Iterator[None]:
    """Show on stderr how far work is that takes longer than some seconds; see `rawless.cli.progress_display`.

    `describe` returns the step in words, and `measure` how much is done of how much, None while that is unknown. Both
    are called each time that something is shown, by another thread.
    """
    from rawless.cli.progress_display import shown
    from rawless.work import Work

    with shown(Work(title, describe, measure), printable):
        yield


@contextmanager
def progress_steps(title: str) -> Iterator[Callable[[str], None]]:
    """Show as `progress` does, and yield a function that sets the name of the current step."""
    steps: list[str] = []
    with progress(title, lambda: f"step {len(steps)}, {steps[-1]}" if steps else ""):
        yield steps.append


@contextmanager
def progress_bar(title: str, total: int, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Show as `progress` does, and yield a function that sets how many of `total` are done."""
    from rawless.work import Done

    done = [0]
    with progress(title, measure=lambda: Done(done[0], total, unit)):
        yield lambda number: done.__setitem__(0, number)


def _cell(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LONGEST_LIST and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)} values]"
    if isinstance(value, list) and len(value) > _LONGEST_LIST and isinstance(value[0], dict):
        return printable(f"[{value[0]}, … {len(value)} values]")
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
