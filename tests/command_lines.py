"""Whether the command line has a command and its options, as a page or a report spells them."""

import re
from functools import cache
from itertools import takewhile
from typing import Any

import typer

from rawless.cli.main import app

_SPAN = re.compile(r"`(rawless(?: [^`]+)?)`")
_FENCE = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^ *(?:\$ )?(rawless (?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)


def commands_in(page: str) -> list[str]:
    """The commands of a page in Markdown: those in code spans, and the lines of shell blocks."""
    blocks = _FENCE.findall(page)
    spans = _SPAN.findall(_FENCE.sub("", page))
    return [*(" ".join(span.split()) for span in spans), *(line for block in blocks for line in _LINE.findall(block))]


def problem(command: str) -> str | None:
    """What the command line lacks of a command. Words in capitals, `…` and values are whatever a user writes."""
    words = [word.strip("[].,;()") for word in command.replace("\\|", "|").replace("\\\n", " ").split()[1:]]
    words = list(takewhile(lambda word: word != "--", words))
    nodes: list[Any] = [_root()]
    for word in words:
        if word.startswith("-") or not all(hasattr(node, "commands") for node in nodes) or word in ("COMMAND", "…", ""):
            break
        names = word.split("|")
        if missing := [name for name in names if not any(name in node.commands for node in nodes)]:
            return f"there is no command {missing[0]}"
        nodes = [node.commands[name] for node in nodes for name in names if name in node.commands]
    known = {spelling for node in nodes for each in node.params for spelling in (*each.opts, *each.secondary_opts)}
    options = {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"}
    return f"there is no option {min(options - known)}" if options - known else None


@cache
def _root() -> Any:
    return typer.main.get_command(app)
