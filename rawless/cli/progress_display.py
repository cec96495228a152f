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
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

SHOWN_AFTER_SECONDS = 2.0
"""On a terminal."""
LINE_SECONDS = 10.0
"""Between two lines where stderr is no terminal, at least; later each takes a quarter longer than all before."""
_LONGEST_PAUSE_SECONDS = 600.0
_BAR_WIDTH = 20
_NARROW = 80
_JUDGED_AFTER_SECONDS = 1.0
"""No time is told that is left before so much work was seen."""


class Done(NamedTuple):
    """How much is done of how much, in bytes, rows or whatever `unit` says."""

    done: int
    total: int
    unit: str


@dataclass
class Work:
    """What a command does, and how far it is."""

    title: str
    describe: Callable[[], str] | None = None
    measure: Callable[[], Done | None] | None = None
    started: float = field(default_factory=time.monotonic)
    _first: tuple[float, int] | None = None
    """When something was first done, and how much then: starting takes time that the rest does not."""

    def line(self, now: float) -> str:
        """Return what is told of the work at a time of the monotonic clock."""
        step = self.describe() if self.describe else ""
        parts = [*self._measured(now), *([step] if step else []), f"after {duration(now - self.started)}"]
        return f"{self.title}: {', '.join(parts)}"

    def share(self) -> float | None:
        """Return which part of the work is done, from 0 to 1, None if that is unknown."""
        measured = self.measure() if self.measure else None
        return min(1.0, measured.done / measured.total) if measured and measured.total and measured.done else None

    def _measured(self, now: float) -> list[str]:
        measured = self.measure() if self.measure else None
        if measured is None or not measured.total or not measured.done:
            return []  # it has not begun, or what does it cannot be seen from here
        done = min(measured.done, measured.total)
        told = [f"{done / measured.total:.0%}", amount(done, measured.total, measured.unit)]
        if self._first is None:
            self._first = (now, done)
        if now - self._first[0] < _JUDGED_AFTER_SECONDS or done <= self._first[1]:
            return told
        rate = (done - self._first[1]) / (now - self._first[0])
        left = f"{duration((measured.total - done) / rate)} left"
        return [told[0], left, told[1], f"{_rate(rate, measured.unit)} a second"]


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


def duration(seconds: float) -> str:
    """Return a time in words, such as 45 s, 3 min 20 s or 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600:,} h {whole % 3_600 // 60:02} min"


def amount(done: int, total: int, unit: str) -> str:
    """Return how much is done of how much, such as 12 of 40 MB."""
    if unit != "bytes":
        return f"{done:,} of {total:,} {unit}"
    name, factor = _size(total)
    digits = 0 if factor == 1 else 1
    return f"{done / factor:,.{digits}f} of {total / factor:,.{digits}f} {name}"


def _rate(rate: float, unit: str) -> str:
    if unit != "bytes":
        return f"{rate:,.0f} {unit}" if rate >= 10 else f"{rate:,.1f} {unit}"
    name, factor = _size(rate)
    return f"{rate / factor:,.1f} {name}"


def _size(size: float) -> tuple[str, int]:
    """Return the unit in which a number of bytes is written, and its size."""
    return next(
        ((name, factor) for name, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)) if size >= factor),
        ("bytes", 1),
    )
