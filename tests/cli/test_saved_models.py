"""`rawless head import` takes SavedModels, converted by a TensorFlow in an environment of its own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.heads.importing.tensorflow_converter import INTERPRETER
from rawless.heads.session import open_head
from tests.cli.conftest import Outcome
from tests.heads import saved_models, tensorflow_environment
from tests.serving.conftest import Bench, eventually, vector_of

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("tensorflow")]
Rawless = Callable[..., Outcome]


@pytest.fixture(scope="module")
def python() -> Path:
    return tensorflow_environment.interpreter()


@pytest.fixture(scope="module")
def models(python: Path, tiny_sealed: EncoderSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SavedModels and their answers."""
    folder = tmp_path_factory.mktemp("models")
    command = [str(python), "-I", saved_models.__file__, str(folder), str(tiny_sealed.dimension)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def take(rawless: Rawless, python: Path, models: Path, tiny_file: Path) -> Callable[..., Outcome]:
    """Return a function that imports one of the models by its name."""

    def run(name: str, *options: str | Path) -> Outcome:
        encoder = ("--encoder", tiny_file, "--as", name, "--tensorflow", python)
        return rawless("head", "import", models / name, *encoder, *options)

    return run


def _answer(imported: Outcome, rows: Any) -> Any:
    (answer,) = open_head(Path(imported.json["folder"])).answer(embedding=rows).values()
    return answer


@pytest.mark.parametrize("name", saved_models.LAYERS)
def test_a_keras_model_answers_like_the_original(take: Callable[..., Outcome], models: Path, name: str) -> None:
    """Keras exports two signatures of the same graph, so that none must be chosen."""
    imported, rows = take(name, "--json"), np.load(models / "rows.npy")

    expected = np.load(models / f"{name}.npy")
    np.testing.assert_allclose(_answer(imported, rows), expected, atol=1e-5)
    np.testing.assert_allclose(_answer(imported, rows[:1]), expected[:1], atol=1e-5)


def test_variables_and_tensors_are_listed(take: Callable[..., Outcome], tiny_sealed: EncoderSpec) -> None:
    imported = take("first", "--json").json
    dimension = tiny_sealed.dimension

    assert [
        [tensor["tensor"], tensor["name"], tensor["type"], tensor["shape"][-2:], tensor["becomes"]]
        for tensor in imported["tensors"]
        if tensor["tensor"] == "variable"
    ] == [
        ["variable", "kernel", "float32", [dimension, saved_models.CLASSES], None],
        ["variable", "bias", "float32", [saved_models.CLASSES], None],
    ]
    names = {tensor["name"]: tensor["becomes"] for tensor in imported["tensors"] if tensor["becomes"]}
    assert names == {"vectors": "embedding", "probabilities": "probabilities"}
    assert imported["hyperparameters"]["signature"] == "serving_default"
    assert (imported["libraries"]["tensorflow"], imported["libraries"]["tf2onnx"]) == ("2.21.0", "1.17.0")
    printed = take("first").out
    assert "Converted from the signature serving_default by tensorflow 2.21.0 and tf2onnx 1.17.0." in printed
    assert "kernel" in printed


def test_a_batch_of_one_becomes_any_number_of_rows(take: Callable[..., Outcome], models: Path) -> None:
    rows = np.load(models / "rows.npy")

    np.testing.assert_allclose(_answer(take("one_row", "--json"), rows), np.load(models / "first.npy"), atol=1e-5)


def test_a_pair_keeps_its_sides(take: Callable[..., Outcome], models: Path) -> None:
    rows = np.load(models / "rows.npy")
    head = open_head(Path(take("pair", "--json").json["folder"]))
    (answer,) = head.answer(left=rows, right=rows[::-1].copy()).values()

    np.testing.assert_allclose(answer, np.load(models / "pair.npy"), atol=1e-4)


def test_one_of_several_signatures_is_chosen(take: Callable[..., Outcome], models: Path) -> None:
    rows = np.load(models / "rows.npy")
    ambiguous, unknown = take("several"), take("several", "--signature", "third")
    chosen = take("several", "--signature", "probabilities", "--json")

    assert (ambiguous.code, unknown.code) == (2, 2)
    assert "has the signatures first, probabilities: choose one of them with --signature." in ambiguous.err
    assert "has no signature 'third', but first, probabilities: choose" in unknown.err
    np.testing.assert_allclose(_answer(chosen, rows), np.load(models / "first.npy"), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "has no signature: save it with"),
        ("other_operator", "uses the operator BesselI0, which is not allowed in a head"),
    ],
)
def test_what_cannot_be_a_head_is_refused(take: Callable[..., Outcome], name: str, words: str) -> None:
    refused = take(name)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


def test_the_classes_of_a_configuration_in_the_folder_are_read(take: Callable[..., Outcome], models: Path) -> None:
    (models / "plain" / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}))

    assert take("plain", "--json").json["classes"] == ["a", "b", "c"]


@pytest.fixture
def service(tmp_path: Path, tiny_sealed: EncoderSpec) -> Iterator[Bench]:
    with ExitStack() as running:
        (tmp_path / "heads").mkdir()
        yield replace(Bench(tmp_path, running), spec=tiny_sealed)


def test_new_weights_of_the_same_layout_go_live_without_a_restart(
    rawless: Rawless, service: Bench, models: Path, python: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INTERPRETER, str(python))
    options = ("--encoder", tiny_file, "--as", "live", "--classes", "a,b,c", "--json")
    versions = [rawless("head", "import", models / name, *options).json for name in ("first", "second")]
    assert rawless("head", "deploy", "live@1", "--to", service.heads).code == 0
    client = service.start({"live": {}})
    vector = vector_of(load(service.spec, "cpu"), b"hello")  # type: ignore[arg-type]

    assert [_probabilities(client)] == [_expected(versions[0], vector)]
    assert rawless("head", "deploy", "live@2", "--to", service.heads).code == 0
    eventually(lambda: "live@2 replaced live@1." in service.messages)
    assert [_probabilities(client)] == [_expected(versions[1], vector)]

    other = rawless("head", "import", models / "second", *options[:4], "--classes", "a,b,d", "--json").json
    refused = rawless("head", "deploy", f"live@{other['version']}", "--to", service.heads)
    assert refused.code == 2
    assert "its classes are a, b, d, not a, b, c" in refused.err


def _probabilities(client: httpx.Client) -> dict[str, float]:
    answered = client.post("/v1/heads/live/predict", json={"text": "hello"}).json()
    return {name: pytest.approx(value, abs=1e-5) for name, value in answered["probabilities"].items()}


def _expected(imported: dict[str, Any], vector: Any) -> dict[str, float]:
    (answer,) = open_head(Path(imported["folder"])).answer(embedding=np.asarray(vector, np.float32)[None]).values()
    return dict(zip(("a", "b", "c"), map(float, answer[0]), strict=True))
