"""Heads that are replaced while they answer, and heads that are rejected."""

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest

from encoders.catalogue import lookup
from encoders.encoder import Encoder
from encoders.spec import Probe
from rawless.errors import UserError
from rawless.heads import deployment
from rawless.serving.classification import call_head
from rawless.serving.config import load_config
from rawless.serving.head_store import HeadRequirement, HeadStore
from tests.drawn_heads import write_head
from tests.serving.conftest import Bench, eventually

PREDICT = "/v1/heads/topic/predict"


def _version(client: httpx.Client) -> int:
    return int(client.post(PREDICT, json={"text": "hello"}).json()["model"]["version"])


def _metric(client: httpx.Client, line: str) -> float:
    values = [metric for metric in client.get("/metrics").text.splitlines() if metric.startswith(line)]
    return float(values[0].split()[-1]) if values else 0.0


def test_a_new_version_is_loaded_and_rolled_back_without_a_restart(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    first = _version(client)
    bench.deploy("topic", 2)
    eventually(lambda: _version(client) == 2)
    deployment.rollback(bench.heads, "topic")
    eventually(lambda: _version(client) == 1)

    assert first == 1
    assert bench.messages == [
        "topic@2 replaced topic@1.",
        "topic@1 replaced topic@2.",
    ]


def test_no_request_is_lost_through_many_changes(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}}, limits={"watch_seconds": 0.01})
    seen: dict[int, set[float]] = {}
    failed: list[int] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            response = client.post(PREDICT, json={"text": "hello"})
            if response.status_code == 200:
                prediction = response.json()
                version = prediction["model"]["version"]
                seen.setdefault(version, set()).add(round(prediction["probabilities"]["app"], 4))
            else:
                failed.append(response.status_code)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for version in range(1, 22):
        if version > 1:
            bench.deploy("topic", version)
        eventually(lambda version=version: version in seen)  # type: ignore[misc]
    ended.set()
    for caller in callers:
        caller.join()

    assert failed == []
    assert sorted(seen) == list(range(1, 22))
    assert all(len(answers) == 1 for answers in seen.values())  # never one head's answer under another's version


def test_another_layout_is_rejected_until_the_service_restarts(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    bench.deploy("topic", 2, classes=("yes", "no"), new_layout=True)
    eventually(lambda: bench.messages != [])
    version, current = _version(client), _metric(client, 'rawless_head_current{head="topic"}')
    restarted = bench.start({"topic": {}})

    assert "topic@2 was rejected, topic@1 stays live: its layout differs" in bench.messages[0]
    assert (version, current) == (1, 0)
    assert _version(restarted) == 2
    assert len(bench.messages) == 1  # reported once, not at every refresh


def test_a_broken_version_is_rejected(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    bench.deploy("topic", 2)
    (bench.heads / "topic" / "3").mkdir()
    pointer = bench.heads / "topic" / deployment.FILE
    eventually(lambda: _version(client) == 2)
    pointer.write_text(pointer.read_text().replace('"version": 2', '"version": 3'))
    eventually(lambda: len(bench.messages) == 2)
    pointer.write_text("{")
    eventually(lambda: len(bench.messages) == 3)

    assert "topic@3 was rejected, topic@2 stays live" in bench.messages[1]
    assert "cannot be read" in bench.messages[2]
    assert _version(client) == 2


def test_a_version_whose_files_arrive_after_its_deployment_is_loaded(bench: Bench, tmp_path: Path) -> None:
    """A bucket or a manual copy may deliver them in any order."""
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    write_head(tmp_path / "elsewhere", "topic", 2)
    pointer = bench.heads / "topic" / deployment.FILE

    pointer.write_text(pointer.read_text().replace('"version": 1', '"version":2').replace('"version":1', '"version":2'))
    eventually(lambda: bench.messages != [])
    shutil.copytree(tmp_path / "elsewhere" / "topic" / "2", bench.heads / "topic" / "2")
    eventually(lambda: _version(client) == 2)

    assert "topic@2 was rejected, topic@1 stays live" in bench.messages[0]
    assert bench.messages[-1] == "topic@2 replaced topic@1."


@pytest.mark.parametrize("manifest", ["[" * 100_000, '{"head": "\\ud800"}', "9" * 5000])
def test_a_manifest_that_breaks_its_reader_does_not_stop_the_refresh(bench: Bench, manifest: str) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {}})

    bench.deploy("topic", 2)
    eventually(lambda: _version(client) == 2)
    write_head(bench.heads, "topic", 3)
    (bench.heads / "topic" / "3" / "manifest.json").write_text(manifest)
    pointer = bench.heads / "topic" / deployment.FILE
    pointer.write_text(pointer.read_text().replace('"version": 2', '"version": 3'))
    eventually(lambda: len(bench.messages) == 2)
    deployment.rollback(bench.heads, "topic")
    eventually(lambda: _version(client) == 1)


def test_a_failed_refresh_is_retried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh, errors = HeadStore.refresh, [RuntimeError("words"), RuntimeError("words")]

    def failing(heads: HeadStore) -> list[str]:
        if errors:
            raise errors.pop()
        return refresh(heads)

    monkeypatch.setattr(HeadStore, "refresh", failing)
    bench.deploy("topic")
    client = bench.start({"topic": {}})
    bench.deploy("topic", 2)
    eventually(lambda: _version(client) == 2)

    assert bench.messages[0] == "A periodic check of the service failed (RuntimeError); it will be retried."
    assert len(bench.messages) == 2


def test_a_folder_that_hangs_delays_neither_kill_switches_nor_the_shutdown(bench: Bench) -> None:
    """A mounted bucket may hang; a pipe without a writer does."""
    bench.deploy("topic")
    pointer = bench.heads / "topic" / deployment.FILE
    with bench.running:
        client = bench.start({"topic": {"rules": {"kill_switch": "stop"}}})
        pointer.unlink()
        os.mkfifo(pointer)
        (bench.folder / "stop").touch()
        eventually(lambda: client.post(PREDICT, json={"text": "a"}).json()["abstention"] == "kill_switch")

    os.close(os.open(pointer, os.O_WRONLY))  # ends the thread that reads it


def _rewritten(folder: Path, **fields: Any) -> None:
    """Rewrite a head's manifest with other fields and a matching digest."""
    from rawless.heads.artefact import HeadManifest

    path = folder / "manifest.json"
    manifest = HeadManifest.model_validate(json.loads(path.read_text()) | fields)
    path.write_text(manifest.sealed((folder / "head.onnx").read_bytes()).model_dump_json())


def test_heads_that_do_not_fit_are_rejected_before_the_first_request(bench: Bench) -> None:
    resnet = lookup("resnet18-seeded@1.0.0")
    bench.deploy("of_images", spec=resnet)
    bench.deploy("of_pairs", kind="pair")
    bench.deploy("numbers", kind="number")
    bench.deploy("renamed")
    _rewritten(bench.heads / "renamed" / "1", head="other")
    bench.deploy("misdeclared")
    _rewritten(bench.heads / "misdeclared" / "1", classes=("a", "b"))
    write_head(bench.heads, "undeployed")
    write_head(bench.heads, "another_width", spec=resnet)
    _rewritten(bench.heads / "another_width" / "1", fingerprint=lookup("minilm@1.0.0").fingerprint)
    deployment.deploy(bench.heads, "another_width", 1)
    bench.deploy("two_answers")
    _with_two_answers(bench.heads / "two_answers" / "1")
    for head, options, message in (
        ("of_images", {}, "is deployed for vectors of resnet18-seeded@1.0.0 only"),
        ("of_pairs", {}, "takes left, right, but heads.of_pairs answers for single items"),
        ("numbers", {"rules": {"minimum_confidence": 0.5}}, "returns a number, so heads.numbers.rules"),
        ("renamed", {}, "contains other@1"),
        ("misdeclared", {}, r"returns probabilities \[1, 3\], which is not what its manifest declares"),
        ("undeployed", {}, "is not deployed in .*rawless head deploy undeployed"),
        ("another_width", {}, "but its encoder's vectors have 384 values"),
        ("two_answers", {}, "does not answer"),
        ("missing", {}, "is not deployed"),
    ):
        with pytest.raises(UserError, match=message):
            bench.start({head: options})


def _with_two_answers(folder: Path) -> None:
    model = onnx.load(folder / "head.onnx")
    model.graph.output.append(model.graph.output[0])
    model.graph.output[1].name = model.graph.node[0].output[0]
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 384
    from rawless.heads.artefact import tensors

    (folder / "head.onnx").write_bytes(model.SerializeToString())
    _rewritten(folder, **{field: [list(tensor) for tensor in declared] for field, declared in tensors(model).items()})


def test_an_encoder_that_is_unsealed_or_drifted_does_not_start(bench: Bench, minilm: Encoder) -> None:
    bench.deploy("topic")
    _, served = load_config(bench.file({"topic": {}}))
    probe = minilm.spec.probe
    assert probe is not None
    from rawless.serving.app import AppFactory

    config, _ = load_config(bench.file({"topic": {}}))
    unsealed = minilm.spec.model_copy(update={"probe": None})
    drifted = minilm.spec.model_copy(update={"probe": Probe.of(probe.input, probe.values + 0.5)})
    for spec, message in ((unsealed, "is not sealed"), (drifted, "does not reproduce its golden probe")):
        dependencies = bench.dependencies()._replace(specs={"minilm@1.0.0": spec})
        with pytest.raises(UserError, match=message):
            AppFactory(config, served, dependencies).create_app("all", "127.0.0.1")


def test_an_answer_that_is_not_finite_is_an_error(bench: Bench, minilm: Encoder) -> None:
    """Also if the answer for zeros, which is checked when the head is loaded, is finite."""
    from rawless.serving.errors import RequestError

    bench.deploy("number", kind="number")
    requirements = {
        "number": HeadRequirement(
            {minilm.spec.fingerprint: minilm.spec}, is_of_pairs=False, served_head="number", needs_classes=False
        )
    }
    heads, vector = HeadStore(bench.heads, requirements, lambda *_: None), np.full(384, 3e38, np.float32)

    with pytest.raises(RequestError, match="head_failed"):
        call_head(heads.get("number", minilm.spec.fingerprint, vector), vector, {})


def test_a_head_is_never_called_with_vectors_of_another_encoder(bench: Bench, minilm: Encoder) -> None:
    from rawless.serving.errors import RequestError

    bench.deploy("topic")
    requirements = {
        "topic": HeadRequirement(
            {minilm.spec.fingerprint: minilm.spec}, is_of_pairs=False, served_head="topic", needs_classes=False
        )
    }
    heads = HeadStore(bench.heads, requirements, lambda *_: None)

    with pytest.raises(RequestError, match="head_mismatch"):
        heads.get("topic", "e" * 64, minilm.spec.probe.values)  # type: ignore[union-attr]
