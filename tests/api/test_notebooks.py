"""What a notebook shows: one sentence for an error, tables whose texts are escaped, and how far a call is."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from rawless.api import progress as progresses
from rawless.api.progress import progress, progress_bar
from rawless.api.shown import facts, table


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of IPython, which forgets its variables."""
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def kernel(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell that is one of a kernel, as in a notebook, and shows each change of an output."""
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr(progresses, "AFTER_SECONDS", 0.0)
    monkeypatch.setattr(progresses, "EVERY_SECONDS", 0.0)
    return shell


def _run(shell: InteractiveShell, code: str) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        shell.run_cell(code)
    return printed.getvalue()


@pytest.mark.parametrize("error", ["UserError", "Unavailable"])
def test_an_error_of_rawless_is_one_sentence(shell: InteractiveShell, error: str) -> None:
    shown = _run(
        shell, f"import rawless as rw\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    raise rw.{error}('It is so.')"
    )

    assert shown.strip() == f"{error}: It is so."


def test_an_error_of_the_user_has_its_traceback(shell: InteractiveShell) -> None:
    assert "ZeroDivisionError" in _run(shell, "1 / 0")
    assert "Traceback" in _run(shell, "1 / 0")


def test_tables_escape_every_text() -> None:
    page = table("<i>title</i>", ["<th>"], [["<script>alert(1)</script>"]]) + facts("&", {"<a>": "<b>"})

    assert "<script>" not in page
    assert "<i>" not in page
    assert "<a>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def _shown(steps: Callable[[], Any]) -> list[str]:
    """The contents that an output had, one after another."""
    with capture_output() as captured:
        steps()
    return [output.data["text/html"] for output in captured.outputs]


def test_a_notebook_shows_each_step_and_how_it_ended(kernel: InteractiveShell) -> None:
    def steps() -> None:
        with progress("Building <b>") as report:
            report("labels")
            report("splits")

    first, second, last = _shown(steps)

    assert "Building &lt;b&gt;: labels" in first
    assert "splits" in second
    assert "done after" in last


def test_a_notebook_shows_a_bar_with_the_time_that_is_left(
    kernel: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.monotonic()
    clock = iter((start + 10, start + 20, start + 90))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    def steps() -> None:
        with progress_bar("Encoding", 9_000, "items") as report:
            report(1_000)
            report(2_000)

    first, second, last = _shown(steps)

    assert first == '<progress value="0.111" max="1"></progress> Encoding: 11%, 1,000 of 9,000 items, after 10 s'
    assert "Encoding: 22%, 1 min 10 s left, 2,000 of 9,000 items, 100 items a second, after 20 s" in second
    assert last == "Encoding: done after 1 min 30 s."


@pytest.mark.parametrize(("error", "ending"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
def test_a_call_that_ends_early_says_so(kernel: InteractiveShell, error: type[BaseException], ending: str) -> None:
    def steps() -> None:
        with suppress(error), progress("Training") as report:
            report("reading")
            raise error

    assert f"Training: {ending} after" in _shown(steps)[-1]


def test_a_short_call_shows_nothing(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "kernel", object(), raising=False)

    def steps() -> None:
        with progress_bar("Encoding", 1, "items") as report:
            report(1)

    assert _shown(steps) == []


def test_nothing_is_shown_outside_of_notebooks_and_terminals(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Encoding", 1, "items") as report:
        report(1)

    assert capfd.readouterr() == ("", "")
