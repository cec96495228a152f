"""Every command of the README, run as it stands there, answers what stands there."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawless.local import stack
from rawless.privacy.pseudonyms import KEY_VARIABLE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _console() -> list[tuple[str, str]]:
    """Every command of the console blocks, with the output that follows it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            # A quoted argument may go on over several lines.
            end = next(i for i in range(1, len(lines) + 1) if "\n".join(lines[:i]).count('"') % 2 == 0)
            found.append(("\n".join(lines[:end]), "\n".join(lines[end:])))
    return found


COMMANDS = [(command, output) for command, output in _console() if command.startswith("rawless")]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A fresh home, the commands of this environment on the path, and one key, since splits depend on it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"RAWLESS_HOME": str(tmp_path), "PATH": path, "COLUMNS": "100", KEY_VARIABLE: "A" * 43 + "="}
    yield {**os.environ, **own}
    stack.down(tmp_path)


def _run(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(environment["RAWLESS_HOME"], ".rawless")


def _comparable(output: str) -> str:
    """Without what depends on the machine and the time."""
    output = re.sub(r"[\d.,]+ seconds( \([\d.,]+ of them idle\))?, [\d.,]+ events a second", "SPEED", output)
    output = re.sub(r"\b[0-9a-f]{24}\b", "SNAPSHOT", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", output))
    return "\n".join(line.rstrip() for line in output.splitlines()).strip()


def test_the_commands_answer_what_the_readme_says(environment: dict[str, str]) -> None:
    """One after the other, since each builds on those before it."""
    assert len(COMMANDS) >= 3
    for command, output in COMMANDS:
        assert _comparable(_run(command, environment)) == _comparable(output)


def test_the_demo_answers_what_the_readme_says(environment: dict[str, str]) -> None:
    """Counts and neighbours depend on the texts that the installed packages carry: only their places are compared."""
    (shown,) = re.findall(r"<!-- output: rawless demo -->\n```text\n(.*?)```", README, re.DOTALL)

    answered = _run("rawless demo", environment)

    assert _shape(answered) == _shape(shown)
    assert "found in 0 places" in answered
    assert "in 9 of 9 spellings" in answered
    _check_served(environment)


def _check_served(environment: dict[str, str]) -> None:
    """What the README asks the demo's service, and what it is answered, but for numbers and ids."""
    (shown,) = re.findall(r"<!-- output: serve -->\n```text\n(.*?)```", README, re.DOTALL)
    asked = re.findall(r"^\$ (curl .*)\n(.*)$", shown, re.MULTILINE)
    assert len(asked) == 2
    command = ["rawless", "serve", f"{environment['RAWLESS_HOME']}/service/serve.yaml", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
        lines = iter(service.stdout.readline, "}\n") if service.stdout else ()
        url = json.loads("".join(lines) + "}")["url"]
        answers = [(_run(each.replace("localhost:8080", url), environment), expected) for each, expected in asked]
        service.send_signal(signal.SIGTERM)

    assert service.returncode == 0
    for answered, expected in answers:
        assert _shape(answered) == _shape(expected)


def _shape(output: str) -> list[str]:
    plain = re.sub(r"\b(licence|reference|docstring|package)-\d+|\b[0-9a-f]{24,64}\b|\b[0-9a-f-]{36}\b", "ID", output)
    return [re.sub(r"[\d.,]*\d(e-\d+)?", "N", " ".join(line.split())) for line in plain.splitlines() if "━" not in line]


@pytest.mark.parametrize("target", re.findall(r"`?(?:\$ )?make (\w+)", README))
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").iterdir()))
def test_the_stream_file_of_the_readme_is_the_example(example: str) -> None:
    assert (ROOT / "examples" / example / "stream.yaml").read_text().strip() in README
