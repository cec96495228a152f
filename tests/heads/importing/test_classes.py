"""The classes that a model names are read, and must be those of the snapshot that it is evaluated on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.importing.importer import import_model
from tests.heads.foreign import LABELS, PLAIN, ROWS, answer, from_scikit_learn, written

pytestmark = pytest.mark.usefixtures("in_this_process")
NAMES = np.array(["account", "app", "payment"])
CLASSIFIERS: dict[str, Any] = {
    "logistic_regression": LogisticRegression(),
    "perceptron": MLPClassifier((10,), solver="lbfgs", max_iter=5000, random_state=0),
}


def _with(path: Path, **metadata: str) -> Path:
    """Write a model of two classes with these metadata."""
    model = onnx.load(written(path, PLAIN))
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_are_those_of_the_graph(tmp_path: Path, eight: EncoderSpec, name: str, zipmap: bool) -> None:
    """In an attribute of its classifier, in a constant from which the label is taken, or in a ZipMap."""
    model = clone(CLASSIFIERS[name]).fit(ROWS, NAMES[LABELS])
    file = from_scikit_learn(tmp_path / "model.onnx", model, zipmap=zipmap)

    imported = import_model(file, eight, "foreign")
    assert imported.manifest.classes == tuple(NAMES)
    assert imported.classes_from == "its label output"
    np.testing.assert_allclose(answer(imported), model.predict_proba(ROWS), atol=1e-4)
    assert import_model(file, eight, "foreign", tuple(NAMES)).manifest.classes == tuple(NAMES)
    assert import_model(file, eight, "foreign", ("a", "b", "c")).manifest.classes == ("a", "b", "c")
    with pytest.raises(
        UserError,
        match=r"^The classes payment, app, account are in another order .* says account, app, payment: ",
    ):
        import_model(file, eight, "foreign", ("payment", "app", "account"))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("classes", '["cat", "dog"]'),
        ("labels", "['cat', 'dog']"),
        ("labels", "cat, dog"),
        ("classes", "cat\ndog\n"),
        ("id2label", '{"1": "dog", "0": "cat"}'),
        ("id2label", "{0: 'cat', 1: 'dog'}"),
    ],
)
def test_classes_are_those_of_the_metadata(tmp_path: Path, eight: EncoderSpec, key: str, text: str) -> None:
    imported = import_model(_with(tmp_path / "model.onnx", **{key: text}), eight, "foreign")

    assert imported.manifest.classes == ("cat", "dog")
    assert imported.classes_from == f"its metadata `{key}`"
    assert b"metadata" not in imported.graph
    assert import_model(tmp_path / "model.onnx", eight, "foreign", ("a", "b")).manifest.classes == ("a", "b")


def test_classes_are_those_of_a_configuration_beside_the_file(tmp_path: Path, eight: EncoderSpec) -> None:
    path = written(tmp_path / "model.onnx", PLAIN)
    for config in ("{}", "[]", "not JSON"):
        (tmp_path / "config.json").write_text(config)
        assert import_model(path, eight, "foreign").manifest.classes == ("0", "1")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))
    assert import_model(path, eight, "foreign").manifest.classes == ("cat", "dog")


def test_names_come_before_the_numbers_of_an_encoding(tmp_path: Path, eight: EncoderSpec) -> None:
    model = onnx.load(from_scikit_learn(tmp_path / "model.onnx", LogisticRegression().fit(ROWS, LABELS)))
    helper.set_model_props(model, {"classes": json.dumps(NAMES.tolist())})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    assert import_model(tmp_path / "model.onnx", eight, "foreign").manifest.classes == tuple(NAMES)


@pytest.mark.parametrize(
    ("metadata", "config", "words"),
    [
        ({"classes": "a,b,c"}, None, "by its metadata `classes` are a, b, c, but it returns 2 columns: .*--classes"),
        ({"classes": "a,a"}, None, "are a, a, but it returns 2 columns"),
        ({"labels": '["a", "two words"]'}, None, "`labels` include 'two words', which is not 1 to 64 .*--classes"),
        ({"labels": '["a", null]'}, None, "`labels` is not a list of names, or a mapping"),
        ({"labels": '["a", ["b"]]'}, None, "`labels` is not a list of names, or a mapping"),
        ({"labels": "[" * 500}, None, r"`labels` is not a list of names \(\w+\)"),
        (
            {"id2label": '{"1": "a", "2": "b"}'},
            None,
            "`id2label` is not a list of names, or a mapping from",
        ),
        ({"labels": "a," * 50_001}, None, "has 100,002 characters, but it may have 100,000"),
        ({}, ["a", "b", "c"], r"by id2label in .*config\.json are a, b, c, but it returns 2 columns"),
        ({"classes": "cat,dog"}, ["dog", "cat"], r"are cat, dog, but by id2label in .* they are dog, cat: correct one"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    tmp_path: Path, eight: EncoderSpec, metadata: dict[str, str], config: list[str] | None, words: str
) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps({"id2label": config}))

    with pytest.raises(UserError, match=words) as refused:
        import_model(_with(tmp_path / "model.onnx", **metadata), eight, "foreign")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
