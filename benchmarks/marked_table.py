"""Tables in Markdown in which each figure says what it rests on."""

import re
from collections.abc import Callable, Iterable, Sequence

from benchmarks.known import Basis, Known

LEGEND = ", ".join(f"{basis.mark} {basis.name.lower()}" for basis in Basis)
"""What the marks mean."""


class Marked(str):
    """The text of a figure, with its mark."""

    __slots__ = ()


def mark(quantity: Known, how: str | Callable[[float], str] = ",.0f") -> Marked:
    """Return a quantity as text, written by a format or a function, with its mark."""
    text = format(quantity.value, how) if isinstance(how, str) else how(quantity.value)
    return Marked(text + quantity.basis.mark)


def rate(value: float) -> str:
    """Return a number of events a second as text, with a decimal if it is small."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def both(*cells: Marked, between: str = " · ") -> Marked:
    """Return one cell of several figures."""
    return Marked(between.join(cells))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, labels: int = 1) -> str:
    """Return a table, whose first columns are labels. Raises ValueError for any other figure without a mark."""
    lines = [tuple(head), ("---",) * len(head)]
    for row in rows:
        for cell in row[labels:]:
            if not isinstance(cell, Marked) and re.search(r"\d", cell):
                raise ValueError(f"{cell!r}, beside {row[0]!r}, does not say what it rests on: pass it to `mark`.")
        lines.append(tuple(row))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
