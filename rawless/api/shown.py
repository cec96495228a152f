"""What objects look like in a notebook: small tables, whose texts are escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0"


def facts(title: str, rows: Mapping[str, Any]) -> str:
    """Return a table of two columns in HTML: a name and a value in each row."""
    lines = [_row([name, value], header=1) for name, value in rows.items()]
    return _table(title, lines)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in HTML with a line of headings."""
    return _table(title, [_row(columns, header=len(columns)), *(_row(row, header=1) for row in rows)])


def _table(title: str, lines: Sequence[str]) -> str:
    return f"<p><b>{escape(title)}</b></p><table>{''.join(lines)}</table>"


def _row(values: Sequence[Any], header: int) -> str:
    """Return a row whose first `header` cells are headings."""
    tags = ["th" if n < header else "td" for n in range(len(values))]
    cells = (f'<{tag} style="{_CELL}">{escape(str(value))}</{tag}>' for tag, value in zip(tags, values, strict=True))
    return f"<tr>{''.join(cells)}</tr>"
