"""How far work is, on stderr: a line that changes on a terminal, and few lines where nobody watches.

Nothing is shown of what is fast. A line has the title, the step, what is done of how much, the rate and the time that
is left; the last two only where the total is known. It contains counts and names that Rawless chose, and no content.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from rawless.work import Work

SHOWN_AFTER_SECONDS = 2.0
"""On a terminal."""
LINE_SECONDS = 10.0
"""Between two lines where stderr is no terminal, at least; later each takes a quarter longer than all before."""
_LONGEST_PAUSE_SECONDS = 600.0
_BAR_WIDTH = 20
_NARROW = 80


@contextmanager
def shown(work: Work, printable: Callable[[str], str]) -> Iterator[None]:
    """Show how far a work is while the block runs. `printable` removes what a terminal would obey."""
    console = Console(stderr=True, highlight=False, markup=False)
    is_watched = console.is_interactive and sys.stderr is not None and sys.stderr.isatty()  # whatever FORCE_COLOR says
    with _changing_line(console, work, printable) if is_watched else _lines(work, printable):
        yield


@contextmanager
def _changing_line(console: Console, work: Work, printable: Callable[[str], str]) -> Iterator[None]:
    live = Live(_Line(work, printable), console=console, transient=True, refresh_per_second=5, redirect_stdout=False)
    timer = threading.Timer(SHOWN_AFTER_SECONDS, live.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may be starting the display, which would then stay
        live.stop()


@contextmanager
def _lines(work: Work, printable: Callable[[str], str]) -> Iterator[None]:
    ended = threading.Event()

    def write() -> None:
        # Not by rich, which would close stdout too where nobody reads stderr any more.
        with suppress(OSError, ValueError):
            while sys.stderr is not None and not ended.wait(_pause(time.monotonic() - work.started)):
                print(printable(work.line(time.monotonic())), file=sys.stderr, flush=True)

    thread = threading.Thread(target=write, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)  # not for ever: a reader of stderr may have stopped


def _pause(elapsed: float) -> float:
    return min(max(LINE_SECONDS, elapsed / 4), _LONGEST_PAUSE_SECONDS)


@dataclass
class _Line:
    """The line on a terminal: a spinner, a bar where the total is known and there is room, and the text."""

    work: Work
    printable: Callable[[str], str]
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        spinner = self._spinner.render(console.get_time())
        line = Text.assemble(spinner if isinstance(spinner, Text) else "", " ", no_wrap=True, overflow="ellipsis")
        share = self.work.share()
        if share is not None and options.max_width >= _NARROW:
            full = round(_BAR_WIDTH * share)
            line.append("━" * full, style="green").append("━" * (_BAR_WIDTH - full), style="dim").append(" ")
        line.append(self.printable(self.work.line(time.monotonic())))
        line.truncate(options.max_width, overflow="ellipsis")
        yield line
