"""Run every command of the README and of the pages in docs/, and compare what it prints with what the page shows."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from rawless.local import stack
from rawless.privacy.pseudonyms import KEY_VARIABLE
from terraform.checks.runbooks import headings
from tests.keys import FIXED_KEY
from tests.programs import Program

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "docs" / "README.md"
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[\w-]+)?\)")
_ANCHOR = re.compile(r"\]\(([^)#:]*)#([\w-]+)\)")
_CONSOLE = re.compile(r"(?:<!-- compare: (shape)(?:, service: (\S+))? -->\n)?```console\n(.*?)```", re.DOTALL)


def _pages() -> list[Path]:
    """The pages in the order in which the index links them, which is that of their commands."""
    links = _LINK.findall(INDEX.read_text(encoding="utf-8"))
    return [(INDEX.parent / link).resolve() for link in links if link.endswith(".md")]


PAGES = _pages()


class Command(NamedTuple):
    """A command of a page, and the output that the page shows."""

    page: str
    line: str
    output: str
    compares_shape: bool
    """Whether numbers and ids depend on the machine, so that only the rest is compared."""
    service: str | None
    """The file of the service that answers the command."""


def _commands(page: Path) -> Iterator[Command]:
    for shape, service, block in _CONSOLE.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            # A quoted argument may continue over several lines.
            end = next(i for i in range(1, len(lines) + 1) if "\n".join(lines[:i]).count('"') % 2 == 0)
            line, output = "\n".join(lines[:end]), "\n".join(lines[end:])
            if line.startswith(("rawless", "curl")):
                yield Command(page.name, line, output, bool(shape), service or None)


COMMANDS = [command for page in PAGES for command in _commands(page)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A fresh home, this environment's commands on the path, and a fixed key, because splits depend on it."""
    home = tmp_path_factory.mktemp("docs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"RAWLESS_HOME": str(home), "PATH": path, "COLUMNS": "100", KEY_VARIABLE: FIXED_KEY}
    yield {**os.environ, **variables}
    stack.down(home)


def _run(command: str, environment: dict[str, str]) -> str:
    if command.startswith("rawless "):
        program = Program(*_words(command), environment=environment, folder=ROOT)
        out, err = program.communicate()
        code = program.returncode
    else:
        done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
        out, err, code = done.stdout, done.stderr, done.returncode
    assert code == 0, err
    return out.replace(environment["RAWLESS_HOME"], ".rawless")


def _words(command: str) -> list[str]:
    """The arguments of a `rawless` command, as the shell expands them."""
    script = f"rawless() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    printed = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return printed.split("\0")[:-1]


def _normalized(output: str) -> list[str]:
    """The lines without what depends on the machine and the time."""
    time = r"[\d.,]+ seconds in total, of which the job ran [\d.,]+( \([\d.,]+ of them idle\))?, reading"
    output = re.sub(rf"{time} [\d.,]+ events a second", "SPEED", output)
    output = re.sub(r"\b[0-9a-f]{24}\b", "SNAPSHOT", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", output))
    return [line.rstrip() for line in output.strip().splitlines()]


def _shape(output: str) -> list[str]:
    """The lines without numbers and ids, which depend on the texts that the installed packages contain."""
    plain = re.sub(r"\b(licence|reference|docstring|package)-\d+|\b[0-9a-f]{24,64}\b|\b[0-9a-f-]{36}\b", "ID", output)
    lines = [" ".join(line.split()) for line in plain.strip().splitlines() if "━" not in line]
    return [re.sub(r"[\d.,]*\d(e-\d+)?", "N", line) for line in lines]


def _check(command: Command, printed: str) -> None:
    comparable: Callable[[str], list[str]] = _shape if command.compares_shape else _normalized
    assert comparable(printed) == comparable(command.output), f"{command.page}: {command.line}"


@pytest.mark.full
@pytest.mark.slow
def test_every_command_prints_what_its_page_shows(environment: dict[str, str]) -> None:
    """All in one home, because commands build on those before them; the demo is the README's first command."""
    _check_demo(environment)
    commands = [command for command in COMMANDS if not command.compares_shape]
    assert len(commands) >= 9
    for command in commands:
        _check(command, _run(command.line, environment))
    _check_python(environment)


def _check_demo(environment: dict[str, str]) -> None:
    demo, *requests = [command for command in COMMANDS if command.compares_shape]
    printed = _run(demo.line, environment)
    _check(demo, printed)
    assert "found in 0 places\n" in printed
    assert "could not read" not in printed
    assert "in 27 of 27 spellings" in printed
    (file,) = {request.service for request in requests}
    assert len(requests) == 2
    with _service(str(file).replace(".rawless", environment["RAWLESS_HOME"]), environment) as url:
        answers = [_run(request.line.replace("localhost:8080", url), environment) for request in requests]
    for request, answer in zip(requests, answers, strict=True):
        _check(request, answer)


@contextmanager
def _service(file: str, environment: dict[str, str]) -> Iterator[str]:
    """The address of a service that runs until the block ends."""
    service = Program("serve", file, "--port", "0", "--json", environment=environment)
    try:
        yield json.loads("".join(iter(service.stdout.readline, "}\n")) + "}")["url"]
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate()
    assert service.returncode == 0


def _check_python(environment: dict[str, str]) -> None:
    """The README's Python prints what its last comment says."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == code.splitlines()[-1].rpartition("# ")[2]


def test_the_index_links_every_page() -> None:
    assert len(PAGES) == len(set(PAGES))
    assert {*INDEX.parent.glob("*.md")} - {INDEX} <= {*PAGES}


def test_every_console_block_starts_with_a_prompt() -> None:
    for page in PAGES:
        assert all(block.startswith("$ ") for _, _, block in _CONSOLE.findall(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_and_make_targets_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"`(?:\$ )?make (\w+)", text))

    assert [link for link in _LINK.findall(text) if not (page.parent / link).exists()] == []
    for link, anchor in _ANCHOR.findall(text):
        assert anchor in headings(page.parent / link if link else page)
    for target in targets:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*/*.yaml")), ids=lambda file: file.parent.name)
def test_a_page_shows_the_file_of_the_example(file: Path) -> None:
    assert any(file.read_text(encoding="utf-8").strip() in page.read_text(encoding="utf-8") for page in PAGES)
