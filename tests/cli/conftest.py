"""Fixtures that run commands in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rawless.cli.main import run
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.shop import Shop, open_shop


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


@pytest.fixture(scope="session")
def ensured() -> set[str]:
    """The addresses of warehouses whose tables a command has compared with the schemas."""
    return set()


@pytest.fixture
def rawless(
    stack: Stack, ensured: set[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Return a function that runs one command on the session's local stack.

    Only the first command compares the tables with the schemas, which takes thirty requests.
    """
    ensure = Warehouse.ensure

    def ensure_once(self: Warehouse) -> None:
        place = f"{self.emulator} {self.config}"
        if place not in ensured:
            ensure(self)
            ensured.add(place)

    monkeypatch.setattr(Warehouse, "ensure", ensure_once)

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A small business on the local stack that commands use, one per test module."""
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    return open_shop(warehouse, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def stream_file(tmp_path: Path) -> Path:
    """A minimal stream file."""
    path = tmp_path / "stream.yaml"
    path.write_text(
        "stream: message\nmodality: text\nencoders: [minilm@1.0.0]\nevent_id: {pattern: '[A-Za-z0-9_-]{1,64}'}\n"
    )
    return path
