"""Running commands in this process, as a user would see them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rawless.local_stack import Stack
from rawless.main import run


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def rawless(stack: Stack, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs one command on the session's local stack."""

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture
def stream_file(tmp_path: Path) -> Path:
    """A stream file of its own."""
    path = tmp_path / "stream.yaml"
    path.write_text("stream: message\nmodality: text\nencoders: [minilm@1.0.0]\n")
    return path
