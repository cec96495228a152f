"""How far a call is: an output that changes in a notebook, a spinner on a terminal, and nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import Any

from rawless.work import Done, Work, duration

AFTER_SECONDS = 1.0
"""Calls that are shorter show nothing."""
EVERY_SECONDS = 0.2
"""A notebook stores each change of an output, so it is not changed more often."""

Refresh = Callable[[], None]
"""Shows again how far a work is."""


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show the progress of a block, and yield a function that says which step begins."""
    steps = [""]
    with _shown(Work(title, describe=lambda: steps[-1])) as refresh:

        def report(step: str) -> None:
            steps.append(step)
            refresh()

        yield report


@contextmanager
def progress_bar(title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show the progress of a block as a bar, and yield a function that sets how many of `total` are done."""
    done = [0]
    with _shown(Work(title, measure=lambda: Done(done[0], total, unit))) as refresh:

        def report(number: int) -> None:
            done[0] = number
            refresh()

        yield report


def is_notebook() -> bool:
    """Return whether the process is a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def _shown(work: Work) -> AbstractContextManager[Refresh]:
    return _in_notebook(work) if is_notebook() else _on_terminal(work)


@contextmanager
def _on_terminal(work: Work) -> Iterator[Refresh]:
    from rich.console import Console
    from rich.markup import escape as escape_markup

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with console.status(escape_markup(work.title)) as status:
        yield lambda: status.update(escape_markup(work.line(time.monotonic())))


@contextmanager
def _in_notebook(work: Work) -> Iterator[Refresh]:
    import IPython.display as output

    html: Any = output.HTML  # untyped, as is `display`
    display: Any = output.display
    handle: Any = None
    shown_at = work.started + AFTER_SECONDS - EVERY_SECONDS

    def refresh() -> None:
        nonlocal handle, shown_at
        if (now := time.monotonic()) - shown_at < EVERY_SECONDS:
            return
        shown_at = now
        page = html(_page(work, now))
        if handle is None:
            handle = display(page, display_id=True)
        else:
            handle.update(page)

    ending = "failed"
    try:
        yield refresh
        ending = "done"
    except KeyboardInterrupt:
        ending = "interrupted"
        raise
    finally:
        if handle is not None:
            spent = duration(time.monotonic() - work.started)
            handle.update(html(f"{escape(work.title)}: {ending} after {spent}."))


def _page(work: Work, now: float) -> str:
    share = work.share()
    bar = "" if share is None else f'<progress value="{share:.3f}" max="1"></progress> '
    return bar + escape(work.line(now))
