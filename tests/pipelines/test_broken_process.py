"""Jobs whose process crashes, or can encode no more: one event is lost at most, and nothing waits for ever."""

import ctypes
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from encoders import batcher, encoder
from encoders.text_model import TextModel
from rawless import broken_process
from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.steps.crash_record import FOLDER_VARIABLE, MAX_DEATHS
from rawless.steps.elements import ParsedEvent
from rawless.steps.encode import Encode
from rawless.warehouse.client import Warehouse
from tests.pipelines.conftest import EVER
from tests.programs import Program, exit_code_of
from tests.steps.test_encode import KILLER, Numbers, bundle, event, id_and_outcome, step
from tests.streams import ANY_ID

LIMIT = 120
CULPRIT = "culprit c7f1"


def crash() -> None:
    """Let tokenizing the culprit dereference a null pointer, as a fault in a library in C does."""
    prepare = TextModel.prepare

    def crashing(self: Any, content: bytes, *arguments: Any) -> Any:
        if CULPRIT.encode() in content:
            ctypes.string_at(0)
        return prepare(self, content, *arguments)

    TextModel.prepare = crashing  # type: ignore[method-assign]


def lose_device() -> None:
    """Let the device fail with the first event, and for everything afterwards, as CUDA does."""

    class Lost:
        name = "a device that is lost"

        def __call__(self, *_: object) -> None:
            error = torch.AcceleratorError(f"CUDA error: an illegal memory access was encountered {CULPRIT}")
            error.error_code = 700  # type: ignore[attr-defined]
            raise error

    process = Encode.process

    def losing(self: Any, element: ParsedEvent) -> Any:
        for each in self._encoders:
            each._runtime = Lost()
        return process(self, element)

    Encode.process = losing  # type: ignore[method-assign]


def lose_device_of_a_worker() -> None:
    """The same on a worker, which something starts again."""
    broken_process.end_when_broken()
    lose_device()


def hang() -> None:
    """Let the first batch never end."""
    process = Encode.process

    def hanging(self: Any, element: ParsedEvent) -> Any:
        batcher.STUCK_SECONDS, encoder._CHECK_SECONDS = 0.1, 0.05
        for each in self._encoders:
            each._runtime = lambda *_: threading.Event().wait()
        return process(self, element)

    Encode.process = hanging  # type: ignore[method-assign]


@pytest.fixture
def command(stack: Stack, tmp_path: Path, write_events: Callable[..., Path], tiny_file: Path) -> list[str]:
    """Ingests five texts."""
    stream = tmp_path / "stream.yaml"
    fields = {"stream": tmp_path.name, "modality": "text", "encoders": [str(tiny_file)], "event_id": ANY_ID}
    stream.write_text(yaml.safe_dump(fields))
    texts = ["one", "two", f"This is the {CULPRIT}.", "three", "four"]
    source = write_events(
        *({"event_id": f"e-{number}", "stream": tmp_path.name, "text": text} for number, text in enumerate(texts))
    )
    Warehouse(LOCAL_CONFIG, stack.bigquery).ensure()
    return ["ingest", "--stream", str(stream), "--source", f"jsonl:{source}", "--json"]


def outcome(command: list[str], folder: Path, plant: Callable[[], None] | None) -> tuple[int, str, str]:
    program = Program(*command, environment={**os.environ, FOLDER_VARIABLE: str(folder)}, plant=plant)
    out, err = program.communicate(timeout=LIMIT)
    assert program.returncode is not None
    return program.returncode, out, err


@pytest.mark.full
def test_an_event_that_kills_each_worker_is_rejected_at_last_and_its_neighbours_are_encoded(tmp_path: Path) -> None:
    deaths = [exit_code_of(_encode_in_a_worker, tmp_path) for _ in range(MAX_DEATHS)]

    assert deaths == [-signal.SIGSEGV] * MAX_DEATHS
    assert exit_code_of(_encode_in_a_worker, tmp_path) == 0
    outcomes = (tmp_path / "outcomes").read_text().splitlines()
    assert outcomes == ["e-1 1", "e-2 2", f"e-{KILLER} worker_crashed", "e-3 3", "e-4 4"]


def _encode_in_a_worker(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        rows = bundle(step(monkeypatch, Numbers()), *map(event, (1, 2, KILLER, 3, 4)))
    (folder / "outcomes").write_text("\n".join(" ".join(map(str, id_and_outcome(row))) for row in rows))


@pytest.mark.full
def test_an_event_that_crashes_its_process_again_and_again_is_rejected_and_its_neighbours_are_embedded(
    command: list[str], stack: Stack, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    record.mkdir()

    runs = [outcome(command, record, crash) for _ in range(MAX_DEATHS + 1)]

    assert [code for code, _, _ in runs] == [-signal.SIGSEGV] * MAX_DEATHS + [0]
    summary = json.loads(runs[-1][1])
    assert summary["rejections"] == {"worker_crashed": 1}
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    where = f"WHERE stream = '{tmp_path.name}' ORDER BY event_id"
    seen = warehouse.query(f"SELECT event_id FROM events.embedding_event({EVER}) {where}")
    assert [row["event_id"] for row in seen] == ["e-0", "e-1", "e-3", "e-4"]
    rejected = warehouse.query(f"SELECT event_id, stage, reason FROM events.rejection({EVER}) {where}")
    assert rejected == [{"event_id": "e-2", "stage": "encode", "reason": "worker_crashed"}]
    left = b"".join(file.read_bytes() for file in record.iterdir())
    assert CULPRIT.encode() not in left


LOST = "CUDA reported an illegal memory access, after which only a new process can use the device."
HANGS = "The encoder has produced nothing for 0 minutes although items wait: a thread hangs; restart the worker."


@pytest.mark.parametrize(("plant", "sentence"), [(lose_device, LOST), (lose_device_of_a_worker, LOST), (hang, HANGS)])
def test_a_job_that_cannot_go_on_ends_with_a_sentence_and_without_content(
    command: list[str], tmp_path: Path, plant: Callable[[], None], sentence: str
) -> None:
    code, out, err = outcome(command, tmp_path, plant)

    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"Error: {sentence}"
    assert CULPRIT not in err
