"""The wheel with each extra, installed into an environment of its own in the locked versions, does what it is for."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from rawless.local import stack as local_stack
from tests.deployment.conftest import install_wheel
from tests.deployment.programs import serving

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("installations")]
ROOT = Path(__file__).parents[2]
LIST = (
    "from importlib.metadata import distributions; print(*{each.metadata['Name'].lower() for each in distributions()})"
)
BUILD = """
import sys
from pathlib import Path
import rawless
sys.path.insert(0, sys.argv[1])
from shop import open_shop

home = rawless.open()
built = open_shop(home.warehouse, Path.cwd()).build()
frame = home.dataset("uploads").to_pandas()
assert {"event_id", "label", "split", "embedding"} <= set(frame.columns), frame.columns
print(len(frame), len(built.manifest.classes))
"""
HEAD = "{head: pets, snapshot: uploads, kind: linear, epochs: 3}"
PREDICT = """
import sys
from pathlib import Path
import numpy as np
import rawless

answers = rawless.head(Path(sys.argv[1])).predict(np.zeros((2, 8)))
print(len(answers), answers.filter(like="probability").shape[1])
"""
EVENT = {
    "event_id": "11111111-1111-4111-8111-111111111111",
    "occurred_at": "2026-11-01T00:00:00Z",
    "stream": "message",
    "subject_id": "a-customer",
    "text": "a text",
}

Install = Callable[[str], Path]


@pytest.fixture(scope="module")
def install(environment: Path) -> Install:
    """Installs the wheel with some extras, and returns the folder of its programs."""

    @cache
    def install(extras: str) -> Path:
        folder = environment.parent / (extras or "base")
        install_wheel(environment, folder, extras)
        return folder / "bin"

    return install


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder that all installations share."""
    folder = tmp_path_factory.mktemp("installations") / "home"
    yield folder
    local_stack.down(folder)


@pytest.fixture
def variables(home: Path, given: Path) -> dict[str, str]:
    """The environment of programs, without that of the tests."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    folders = {"RAWLESS_SPECS": str(given / "specs"), "RAWLESS_WEIGHTS": str(given / "weights")}
    return {**kept, **folders, "RAWLESS_HOME": str(home), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def run(tmp_path: Path, variables: dict[str, str]) -> Callable[..., str]:
    """Runs a program in an empty folder and returns what it prints."""

    def run(*command: str | Path, code: int = 0) -> str:
        done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def _installed(run: Callable[..., str], programs: Path) -> set[str]:
    return set(run(programs / "python", "-c", LIST).split())


def test_the_base_is_a_client_and_a_command_line(install: Install, run: Callable[..., str]) -> None:
    programs = install("")

    assert not {"torch", "numpy", "apache-beam", "google-cloud-bigquery"} & _installed(run, programs)
    assert run(programs / "rawless", "--version").startswith(f"rawless {version('rawless')}")
    assert "ingest" in run(programs / "rawless", "--help")
    assert "run `pip install 'rawless[science]'`." in run(programs / "rawless", "dataset", "list", code=2)
    run(programs / "python", "-c", "from rawless.client import Client; Client('http://127.0.0.1:9').close()")


def test_a_scientist_builds_a_dataset_without_beam_and_torch(install: Install, run: Callable[..., str]) -> None:
    programs = install("science")
    shutil.copy(ROOT / "tests" / "shop.py", programs.parent)

    installed = _installed(run, programs)
    assert not {"torch", "apache-beam", "transformers"} & installed
    assert not [name for name in installed if name.startswith(("nvidia-", "cuda-"))]
    assert run(programs / "python", "-c", BUILD, programs.parent).split() == ["114", "2"]
    assert "uploads" in run(programs / "rawless", "dataset", "list")


def test_a_head_is_trained_with_torch_and_used_without(
    install: Install, run: Callable[..., str], tmp_path: Path, home: Path
) -> None:
    science, train = install("science"), install("train")
    shutil.copy(ROOT / "tests" / "shop.py", science.parent)
    run(science / "python", "-c", BUILD, science.parent)
    (tmp_path / "head.yaml").write_text(HEAD)

    refused = run(science / "rawless", "head", "train", "head.yaml", code=2)
    run(train / "rawless", "head", "train", "head.yaml")

    assert "`rawless head train` needs torch, which is not installed: run `pip install 'rawless[train]'`." in refused
    assert "pets" in run(science / "rawless", "head", "list")
    assert run(science / "python", "-c", PREDICT, home / "heads" / "pets" / "1").split() == ["2", "2"]
    assert "apache-beam" not in _installed(run, train)


def test_a_job_embeds_events(install: Install, run: Callable[..., str], tmp_path: Path, given: Path) -> None:
    programs = install("ingest,local")
    (tmp_path / "events.jsonl").write_text(json.dumps(EVENT))

    stream = given / "config" / "stream.yaml"
    said = run(programs / "rawless", "ingest", "--stream", stream, "--source", "jsonl:events.jsonl")

    assert re.search(r"1 events? read, 1 embeddings? by our-texts@1.0.0", said)
    assert not {"plotly", "umap-learn", "onnxruntime"} & _installed(run, programs)


def test_a_job_without_the_local_stack_says_how_to_get_it(
    install: Install, run: Callable[..., str], tmp_path: Path, given: Path, variables: dict[str, str]
) -> None:
    programs = install("ingest")
    (tmp_path / "events.jsonl").write_text(json.dumps(EVENT))
    variables["RAWLESS_HOME"] = str(tmp_path / "home")

    stream = given / "config" / "stream.yaml"
    said = run(programs / "rawless", "ingest", "--stream", stream, "--source", "jsonl:events.jsonl", code=2)

    assert said.startswith("Error: The local stack needs bqemulator,")
    assert said.endswith("run `pip install 'rawless[local]'`.\n")


def test_a_service_answers_without_beam(
    install: Install, run: Callable[..., str], given: Path, variables: dict[str, str]
) -> None:
    programs = install("serve")
    words = [programs / "rawless", "serve", given / "config" / "service.yaml", "--role", "encoder", "--port", "0"]

    with serving(words, variables) as url:
        answer = httpx.get(f"{url}/health", trust_env=False)

    assert answer.status_code == 200
    assert not {"apache-beam", "bqemulator", "plotly"} & _installed(run, programs)
