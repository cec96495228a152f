"""What is printed may come from customers, so a terminal shows it and does not obey it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rawless.cli import output
from rawless.cli.main import run

OBEYED = "\x1b]52;c;ZXZpbA==\x07 \x1b[2J \x9b2J \x08\r \u202eabc\u202c \x7f"
"""Sequences that write to the clipboard, clear the screen, overwrite the line and reverse the text."""
PRINTS: dict[str, Callable[[], None]] = {
    "cell": lambda: output.print_table([{"text": OBEYED}]),
    "list": lambda: output.print_table([{"texts": [OBEYED]}]),
    "column": lambda: output.print_table([{OBEYED: 1}]),
    "title": lambda: output.print_table([{"wide": "-" * 60}], title=OBEYED),
    "line": lambda: output.echo(OBEYED),
    "warning": lambda: output.warn(OBEYED),
    "json": lambda: output.print_json({OBEYED: OBEYED}),
}


@pytest.mark.parametrize("kind", PRINTS)
def test_a_terminal_gets_no_control_characters(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    PRINTS[kind]()

    printed = "".join(capsys.readouterr())
    assert "ZXZpbA==" in printed
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed) == []


def test_json_has_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"text": f"{OBEYED} übung\n"})

    assert json.loads(capsys.readouterr().out) == {"text": f"{OBEYED} übung\n"}


def test_an_error_names_a_hostile_file_without_obeying_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stream", "check", str(tmp_path / "\x1b[2J.yaml")]) == 2

    error = capsys.readouterr().err
    assert "\\u001b[2J.yaml does not exist" in error
    assert "\x1b" not in error
