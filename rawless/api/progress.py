"""How far a call is: an output that changes in a notebook, a spinner on a terminal, and nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

AFTER_SECONDS = 1.0
"""Calls that are shorter show nothing."""
EVERY_SECONDS = 0.2
"""A notebook stores each change of an output, so it is not changed more often."""

Report = Callable[[str], None]


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Report]:
    """Show the progress of a block, and yield a function that says what is being done.

    With a `total` what is done is a number of items, as in "1,200", and a bar is drawn.
    """
    if is_notebook():
        with _in_notebook(title, total) as report:
            yield report
        return
    from rich.console import Console
    from rich.markup import escape as escape_markup

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    of = "" if total is None else f" of {total:,}"
    with console.status(escape_markup(title)) as status:
        yield lambda what: status.update(escape_markup(f"{title}: {what}{of}"))


def is_notebook() -> bool:
    """Return whether the process is a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def _in_notebook(title: str, total: int | None) -> Iterator[Report]:
    import IPython.display as output

    html: Any = output.HTML  # untyped, as is `display`
    display: Any = output.display
    started = time.monotonic()
    handle: Any = None
    shown_at = started + AFTER_SECONDS - EVERY_SECONDS

    def report(what: str) -> None:
        nonlocal handle, shown_at
        if (now := time.monotonic()) - shown_at < EVERY_SECONDS:
            return
        shown_at = now
        page = html(_line(title, what, total, now - started))
        if handle is None:
            handle = display(page, display_id=True)
        else:
            handle.update(page)

    ending = "failed"
    try:
        yield report
        ending = "done"
    except KeyboardInterrupt:
        ending = "interrupted"
        raise
    finally:
        if handle is not None:
            handle.update(html(f"{escape(title)}: {ending} after {time.monotonic() - started:.1f} seconds."))


def _line(title: str, what: str, total: int | None, seconds: float) -> str:
    line = f"{escape(title)}: {escape(what)}"
    if total is None:
        return f"{line}… {seconds:.0f} seconds"
    done = int(what.replace(",", ""))
    left = f", about {seconds / done * (total - done):.0f} seconds left" if done else ""
    return f'<progress value="{done}" max="{total}"></progress> {line} of {total:,}{left}'
