"""`rawless console` prints a link, answers the browser that follows it, and tells everything else what to do."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from rawless.local.stack import Stack
from tests.cli.conftest import Outcome
from tests.programs import Program

Rawless = Callable[..., Outcome]


def _link(console: Program) -> str:
    """The link that it prints next."""
    lines = "".join(iter(console.stdout.readline, "}\n")) + "}"
    return str(json.loads(lines)["url"])


def test_it_answers_the_browser_that_followed_the_link_until_it_is_stopped(stack: Stack) -> None:
    console = Program("console", "--no-browser", "--json")
    try:
        first = httpx.URL(_link(console))
        with httpx.Client(base_url=first.copy_with(raw_path=b"/"), trust_env=False, follow_redirects=True) as client:
            assert client.get("/").status_code == 401
            assert "<h1>Overview</h1>" in client.get(first).text
            second = _link(console)
            assert client.get("/heads").status_code == 200
    finally:
        console.send_signal(signal.SIGINT)
        out, err = console.communicate(timeout=60)

    assert first.host == "127.0.0.1"
    assert second != str(first)
    assert (console.returncode, out, err) == (0, "", "")


def test_without_a_home_folder_none_is_made(rawless: Rawless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAWLESS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    refused = rawless("console", "--no-browser")

    assert refused.code == 2
    assert "There is no home folder here or above" in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--heads", "nowhere"], "--heads is nowhere, which is no folder"),
        (["--service", "nowhere.yaml"], "The service file nowhere.yaml does not exist"),
        (["--warehouse", "nowhere.yaml"], "The warehouse file nowhere.yaml does not exist"),
        (["--port", "70000"], "65535"),
    ],
)
def test_a_mistake_is_one_sentence(stack: Stack, rawless: Rawless, arguments: list[str], words: str) -> None:
    refused = rawless("console", "--no-browser", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.count("\n") == 1
    assert words in refused.err
