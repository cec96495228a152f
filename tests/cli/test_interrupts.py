"""Ctrl-C ends the command line without a traceback while its modules are imported and while it exits."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ENTRY_POINT = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["rawless"].partition(":")
_INTERRUPTED_AT = f"""
import atexit, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            signal.raise_signal(signal.SIGINT)

moment = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
if moment == "exit":
    atexit.register(signal.raise_signal, signal.SIGINT)
from {ENTRY_POINT[0]} import {ENTRY_POINT[2]} as main
main()
"""


def _run(moment: str, *arguments: str | Path, ignored: bool = False) -> tuple[int, str]:
    """Return the exit code and stderr of a command that is interrupted when it imports a module, or when it exits."""
    handler = "SIG_IGN" if ignored else "default_int_handler"  # whatever the test run itself was started with
    code = f"import signal; signal.signal(signal.SIGINT, signal.{handler}){_INTERRUPTED_AT}"
    command = [sys.executable, "-c", code, moment, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("moment", ["rawless.cli.main", "typer", "apache_beam", "exit"])
def test_an_interrupt_ends_a_command_without_a_traceback(moment: str, stream_file: Path, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("{}\n")
    command = ["ingest", "--stream", stream_file, "--source", f"jsonl:{tmp_path}/events.jsonl"]
    arguments = ["--help"] if moment == "exit" else command
    assert _run(moment, *arguments) == (130, "Stopped.\n")


def test_a_command_that_was_started_without_interrupts_is_not_stopped() -> None:
    assert _run("typer", "--help", ignored=True) == (0, "")
