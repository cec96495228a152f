"""An imported model answers like the original, and becomes a version like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from torch import nn

from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import find
from rawless.errors import UserError
from rawless.heads import registry
from rawless.heads.importing.importer import import_model, with_metrics
from rawless.heads.metrics import Metric
from rawless.heads.publish import publish
from rawless.heads.session import HeadSession, open_head
from rawless.warehouse.client import Warehouse
from tests.heads.foreign import (
    DIMENSION,
    LABELS,
    PLAIN,
    ROWS,
    answer,
    from_scikit_learn,
    from_tensorflow,
    from_torch,
    has_tensorflow,
    spec,
    written,
)
from tests.shop import open_shop
from tests.tiny_towers import Towers
from tests.warehouse_pool import WarehousePool

CLASSIFIERS: dict[str, Any] = {
    "logistic_regression": LogisticRegression(),
    "perceptron": MLPClassifier((10,), solver="lbfgs", max_iter=5000, random_state=0),
    "trees": RandomForestClassifier(5, max_depth=3, random_state=0),
}


class Pairs(nn.Module):
    """Returns one number for two vectors, with its inputs in reverse order."""

    def forward(self, right: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        return torch.tanh((left - 2 * right).sum(1, keepdim=True))


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    return spec(tmp_path_factory.mktemp("eight"))[0]


def test_an_imported_head_takes_the_vectors_of_its_encoders_space(tmp_path: Path, towers: Towers) -> None:
    image, text, foreign = (tower.model_copy(update={"dimension": DIMENSION}) for tower in towers)
    imported = import_model(written(tmp_path / "model.onnx", PLAIN), image, "foreign")
    head = HeadSession(imported.manifest, imported.graph)

    head.check(text.fingerprint, text.space)
    with pytest.raises(UserError, match="takes vectors of tiny-clip-image"):
        head.check(foreign.fingerprint, foreign.space)


def test_a_torch_model_answers_like_the_original(tmp_path: Path, eight: EncoderSpec) -> None:
    layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3), nn.Softmax(1))
    imported = import_model(from_torch(tmp_path / "model.onnx", layers), eight, "foreign", ("a", "b", "c"))

    np.testing.assert_allclose(answer(imported), layers(torch.from_numpy(ROWS)).detach(), atol=1e-5)
    assert imported.manifest.classes == ("a", "b", "c")
    assert [tuple(tensor) for tensor in imported.manifest.outputs] == [("probabilities", ("batch", 3), "float32")]
    assert (imported.manifest.kind, imported.manifest.fingerprint) == ("imported", eight.fingerprint)
    assert str(Path(torch.__file__).parent).encode() not in imported.graph


@pytest.mark.parametrize("labels", [LABELS, np.array(["no", "maybe", "yes"])[LABELS]], ids=["numbers", "words"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_scikit_learn_classifier_returns_its_probabilities(
    tmp_path: Path, eight: EncoderSpec, name: str, labels: Any
) -> None:
    model = CLASSIFIERS[name].fit(ROWS, labels)
    imported = import_model(from_scikit_learn(tmp_path / "model.onnx", model, zipmap=False), eight, "foreign")

    np.testing.assert_allclose(answer(imported), model.predict_proba(ROWS), atol=1e-4)
    assert [item.name for item in imported.signature.labels] == ["label"]
    assert imported.manifest.classes == tuple(map(str, model.classes_))


def test_a_scikit_learn_regression_returns_a_number_for_each_row(tmp_path: Path, eight: EncoderSpec) -> None:
    model = Ridge().fit(ROWS, ROWS.sum(1))
    imported = import_model(from_scikit_learn(tmp_path / "model.onnx", model), eight, "foreign")

    np.testing.assert_allclose(answer(imported), model.predict(ROWS), atol=1e-4)
    assert [tuple(tensor) for tensor in imported.manifest.outputs] == [("value", ("batch",), "float32")]


@pytest.mark.skipif(not has_tensorflow(), reason="TensorFlow and tf2onnx are not installed")
def test_a_tensorflow_model_answers_like_the_original(tmp_path: Path, eight: EncoderSpec) -> None:
    weights = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    imported = import_model(from_tensorflow(tmp_path / "model.onnx", weights), eight, "foreign")

    powers = np.exp(np.maximum(ROWS, 0) @ weights)
    np.testing.assert_allclose(answer(imported), powers / powers.sum(1, keepdims=True), atol=1e-5)


class _Normalised(nn.Module):
    """A classifier of vectors of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(DIMENSION, 3)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layer(nn.functional.normalize(vectors, dim=1)), dim=1)


def test_a_torch_model_may_begin_with_normalisation(tmp_path: Path, eight: EncoderSpec) -> None:
    model = _Normalised().eval()
    imported = import_model(from_torch(tmp_path / "model.onnx", model), eight, "foreign")

    assert "Expand" in {node.op_type for node in onnx.load_from_string(imported.graph).graph.node}
    np.testing.assert_allclose(answer(imported), model(torch.from_numpy(ROWS)).detach().numpy(), atol=1e-6)


NAMES = np.array(["account", "app", "payment"])


@pytest.mark.parametrize("name", ["logistic_regression", "perceptron"])
def test_classes_are_those_that_the_model_itself_names(tmp_path: Path, eight: EncoderSpec, name: str) -> None:
    """In an attribute of its classifier, or in a constant from which the label is taken."""
    model = clone(CLASSIFIERS[name]).fit(ROWS, NAMES[LABELS])
    file = from_scikit_learn(tmp_path / "model.onnx", model, zipmap=False)

    assert import_model(file, eight, "foreign").manifest.classes == tuple(NAMES)
    assert import_model(file, eight, "foreign", tuple(NAMES)).manifest.classes == tuple(NAMES)
    assert import_model(file, eight, "foreign", ("a", "b", "c")).manifest.classes == ("a", "b", "c")
    with pytest.raises(
        UserError, match=r"^The classes payment, app, account are in another order .* says account, app, payment: "
    ):
        import_model(file, eight, "foreign", ("payment", "app", "account"))


def test_two_inputs_are_a_pair_and_keep_their_sides(tmp_path: Path, eight: EncoderSpec) -> None:
    imported = import_model(from_torch(tmp_path / "model.onnx", Pairs(), 2), eight, "foreign")

    answers = answer(imported, left=ROWS, right=ROWS[::-1].copy())
    np.testing.assert_allclose(answers, np.tanh((ROWS - 2 * ROWS[::-1]).sum(1)), atol=1e-5)
    assert [item.name for item in imported.manifest.inputs] == ["left", "right"]


def test_inner_names_that_are_reserved_are_replaced(tmp_path: Path, eight: EncoderSpec) -> None:
    """The input has the name that the output gets, and an inner tensor the name that the input gets."""
    text = PLAIN.replace("vector", "probabilities").replace("summed", "embedding").replace("weights", "value")
    plain = import_model(written(tmp_path / "plain.onnx", PLAIN), eight, "foreign")
    other = import_model(written(tmp_path / "other.onnx", text), eight, "foreign")

    np.testing.assert_array_equal(answer(other), answer(plain))
    assert (other.manifest.inputs, other.manifest.outputs) == (plain.manifest.inputs, plain.manifest.outputs)
    assert {item.name for item in onnx.load_from_string(other.graph).graph.initializer} == {"value_inside"}


@pytest.fixture(scope="module")
def evaluating(
    warehouses: WarehousePool, eight: EncoderSpec, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """A warehouse with a snapshot of classes whose vectors are the encoder's."""
    warehouse = warehouses.take()
    shop = open_shop(warehouse, tmp_path_factory.mktemp("shop"))
    shop.upload(range(120), stream="eight", encoder="eight", encoder_fingerprint=eight.fingerprint)
    shop.build(dataset="of_classes", stream="eight", encoder="eight@1.0.0")
    yield warehouse
    warehouses.give_back(warehouse)


in_one_process = pytest.mark.xdist_group("evaluating")
"""Of the test run, so that the snapshot is built once."""


@in_one_process
def test_a_model_is_evaluated_published_and_registered(
    evaluating: Warehouse, tmp_path: Path, eight: EncoderSpec
) -> None:
    snapshot = find(evaluating, "of_classes")
    imported = import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign", ("cat", "dog"))
    manifest = with_metrics(evaluating, imported, snapshot)
    published = [publish(evaluating, manifest, imported.graph, tmp_path / "heads") for _ in range(2)]

    assert [(manifest.version, folder) for manifest, folder in published] == [
        (number, tmp_path / "heads" / "foreign" / str(number)) for number in (1, 2)
    ]
    session = open_head(published[1][1])
    np.testing.assert_allclose(session.answer(embedding=ROWS)["probabilities"], answer(imported))
    assert [item.name for item in session.manifest.metrics][:2] == ["accuracy", "macro_f1"]
    assert all(isinstance(metric, Metric) and metric.low <= metric.value <= metric.high for metric in manifest.metrics)
    assert session.manifest.hyperparameters["judged_on"] == snapshot.snapshot_id


@in_one_process
def test_a_model_is_not_evaluated_on_other_classes_or_vectors(
    evaluating: Warehouse, tmp_path: Path, eight: EncoderSpec
) -> None:
    snapshot = find(evaluating, "of_classes")
    path = written(tmp_path / "model.onnx", PLAIN)
    number = from_torch(tmp_path / "number.onnx", nn.Linear(8, 1))
    other = eight.model_copy(update={"tolerance": 0.01})

    with pytest.raises(UserError, match=r"foreign predicts 0, 1, but the labels of .* are cat, dog"):
        with_metrics(evaluating, import_model(path, eight, "foreign"), snapshot)
    with pytest.raises(UserError, match=r"foreign predicts a number, but the labels of .* are cat, dog"):
        with_metrics(evaluating, import_model(number, eight, "foreign"), snapshot)
    with pytest.raises(UserError, match="takes vectors of eight@1"):
        with_metrics(evaluating, import_model(path, other, "foreign", ("cat", "dog")), snapshot)


def test_a_head_that_cannot_be_registered_leaves_no_folder(
    warehouse: Warehouse, tmp_path: Path, eight: EncoderSpec, monkeypatch: Any
) -> None:
    imported = import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign")

    def fail(*arguments: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(registry, "register", fail)
    with pytest.raises(ConnectionError):
        publish(warehouse, imported.manifest, imported.graph, tmp_path / "heads")
    assert not (tmp_path / "heads" / "foreign" / "1").exists()
