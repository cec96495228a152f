"""An encoder of dimension 8, and trials without a process of their own."""

from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.heads.importing import importer, trial
from tests.heads.foreign import spec


@pytest.fixture(scope="session")
def eight(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    return spec(tmp_path_factory.mktemp("eight"))[0]


@pytest.fixture
def in_this_process(monkeypatch: Any) -> None:
    """Try models here: to start a process for each takes most of the time."""

    def run(graph: bytes) -> tuple[trial.Array, list[trial.Array]]:
        batch, *singles = trial.try_here(graph)
        return batch, singles

    monkeypatch.setattr(importer, "run_trial", run)
