"""Whoever waits sees how far the work is and what is left, on a terminal and where there is none."""

import io
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from rawless.cli import output, progress_display
from rawless.cli.commands.ingest import measure
from rawless.events.sources.jsonl import JsonlSource
from rawless.steps import progress
from rawless.work import Done, Work, duration

LIMIT = 20.0


def told(work: Work, *times: float) -> str:
    """What is told of a work at the last of several times, in seconds since its start."""
    return [work.line(work.started + seconds) for seconds in times][-1]


def test_a_known_total_tells_the_share_the_rate_and_the_time_that_is_left() -> None:
    done = [0]
    work = Work("Exporting", measure=lambda: Done(done[0], 4_000, "rows"))
    assert told(work, 5.0) == "Exporting: after 5 s"
    done[0] = 1_000
    assert told(work, 10.0) == "Exporting: 25%, 1,000 of 4,000 rows, after 10 s"
    done[0] = 2_000
    assert told(work, 20.0) == "Exporting: 50%, 20 s left, 2,000 of 4,000 rows, 100 rows a second, after 20 s"
    done[0] = 4_100  # as of a file that grew
    assert told(work, 41.0) == "Exporting: 100%, 0 s left, 4,000 of 4,000 rows, 97 rows a second, after 41 s"


def test_an_unknown_total_is_not_invented() -> None:
    work = Work("Reading", lambda: "12 read", lambda: None)
    assert told(work, 1.0, 90.0) == "Reading: 12 read, after 1 min 30 s"
    assert work.share() is None


def test_bytes_are_told_in_the_unit_of_their_total() -> None:
    work = Work("Reading", measure=lambda: Done(1_500_000, 6_000_000, "bytes"))
    assert told(work, 1.0) == "Reading: 25%, 1.5 of 6.0 MB, after 1 s"


def test_what_is_read_counts_as_far_as_its_rows_are_written(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"x" * 100)
    measured = measure("measured", JsonlSource(str(tmp_path / "events.jsonl"), 1_000), encoders=2)
    assert measured() is None
    for kind, number in {"read": 4, "bytes": 80, "embeddings": 2, "rejections": 2}.items():
        progress.add("measured", kind, number)
    assert measured() == Done(40, 100, "bytes")
    assert measure("measured", JsonlSource(str(tmp_path / "missing"), 1_000), encoders=2)() is None


def test_what_is_predicted_counts_as_far_as_its_rows_are_written(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"x" * 100)
    measured = measure("predicted", JsonlSource(str(tmp_path / "events.jsonl"), 1_000), encoders=1)
    for kind, number in {"read": 4, "bytes": 80, "predictions": 2}.items():
        progress.add("predicted", kind, number)
    assert measured() == Done(40, 100, "bytes")


def test_times_are_told_in_words() -> None:
    assert [duration(seconds) for seconds in (0.2, 59.4, 61, 7_500)] == ["0 s", "59 s", "1 min 01 s", "2 h 05 min"]


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
def test_the_line_fits_any_terminal(width: int) -> None:
    work = Work("Ingesting support_message", lambda: "1,000 read", lambda: Done(1, 2, "rows"))
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)
    console.print(progress_display._Line(work, output.printable))
    (line,) = file.getvalue().splitlines()
    assert cell_len(line) <= width
    assert ("━" in line) == (width >= 80)
    assert "Ingesting" in line


def test_a_title_does_not_control_the_terminal() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    console.print(progress_display._Line(Work("Loading \x1b[2J"), output.printable))
    assert "\\u001b[2J" in file.getvalue()
    assert "\x1b" not in file.getvalue()


class Stderr(io.StringIO):
    """A stream that is no terminal, and says when it was told something."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self._awaited = awaited
        self.is_told = threading.Event()

    def write(self, text: str) -> int:
        number = super().write(text)
        if self._awaited in self.getvalue():
            self.is_told.set()
        return number


def test_without_a_terminal_lines_are_written_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stderr = Stderr("Exporting: 25%, 1 of 4 rows, after 0 s\n")
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.001)
    with output.progress_bar("Exporting", 4) as done:
        done(1)
        assert stderr.is_told.wait(LIMIT)
    assert "\x1b" not in stderr.getvalue()
    assert capsys.readouterr().out == ""


def test_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Stderr("Training: step 2, evaluating, after 0 s\n")
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.001)
    with output.progress_steps("Training") as report:
        report("training")
        report("evaluating")
        assert stderr.is_told.wait(LIMIT)


def test_lines_become_rarer_while_work_takes_longer() -> None:
    pauses = [progress_display._pause(elapsed) for elapsed in (0.0, 30.0, 400.0, 1e6)]
    assert pauses == [10.0, 10.0, 100.0, 600.0]


def test_nothing_is_told_of_what_is_fast(capfd: pytest.CaptureFixture[str]) -> None:
    with output.progress("Loading"), output.progress_bar("Exporting", 3) as done:
        done(3)
    assert capfd.readouterr() == ("", "")


_PROGRAM = """
import signal, threading
from rawless.cli import output, progress_display
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
progress_display.SHOWN_AFTER_SECONDS = progress_display.LINE_SECONDS = 0.01
with output.progress("Working"):
    threading.Event().wait(60)
"""


def on_a_terminal(terminal: str, until: bytes) -> bytes:
    """What a program prints on a terminal until and after Ctrl-C, which it gets when it has printed `until`."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": terminal, "COLUMNS": "40"}
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as program:
        os.close(theirs)
        printed = b""
        while until not in printed:
            printed += os.read(ours, 1_000)
        program.send_signal(signal.SIGINT)
        with suppress(OSError):  # by which Linux says that the other side is closed
            while more := os.read(ours, 1_000):
                printed += more
        assert program.wait(LIMIT) != 0
    os.close(ours)
    return printed


def test_output_is_complete_though_nobody_reads_the_progress() -> None:
    program = _PROGRAM.replace("threading.Event().wait(60)", "threading.Event().wait(0.5)") + 'print("done")'
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=writing, timeout=LIMIT)
    os.close(writing)
    assert done.stdout == b"done\n"


def test_an_interrupt_leaves_the_terminal_whole() -> None:
    hidden, shown = b"\x1b[?25l", b"\x1b[?25h"
    printed = on_a_terminal("xterm", until=b"Working")
    assert hidden in printed
    assert shown in printed.rpartition(hidden)[2]


def test_a_terminal_that_knows_no_commands_gets_none() -> None:
    printed = on_a_terminal("dumb", until=b"Working: after 0 s")
    assert b"\x1b" not in printed
