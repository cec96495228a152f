"""Ask questions on a terminal, each until it is answered as its rule says."""

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from rawless.cli.output import note
from rawless.errors import UserError

T = TypeVar("T")


def can_ask() -> bool:
    """Return whether a person can answer: both input and messages are a terminal's."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str, check: Callable[[str], T]) -> T:
    """Ask on stderr until `check` takes the answer, and return what it returns; it raises UserError for a wrong one."""
    while True:
        answer = typer.prompt(question, default=default, err=True)
        try:
            return check(str(answer).strip())
        except UserError as error:
            note(str(error))
