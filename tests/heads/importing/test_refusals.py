"""Models that cannot be a head are refused with the name of what does not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.importing import onnx_reader
from rawless.heads.importing.allowed_operators import OPERATORS
from rawless.heads.importing.importer import import_model
from tests.heads.foreign import (
    LABELS,
    PLAIN,
    ROWS,
    from_scikit_learn,
    written,
)

REFUSED_MODELS = {
    "another dimension": (PLAIN.replace("[rows, 8]", "[rows, 9]"), "input vector of .* the shape .rows, 9.* 8 values"),
    "float64": (PLAIN.replace("float[", "double["), "input vector of .* is float64, but vectors are float32: export"),
    "a fixed batch": (PLAIN.replace("[rows, 8]", "[2, 8]"), "input vector of .* takes exactly 2 rows"),
    "a batch fixed inside": (
        PLAIN.replace("MatMul(vector", "MatMul(one").replace(
            "  summed", "  shape = Constant <value_ints = [1, 8]> ()\n  one = Reshape(vector, shape)\n  summed"
        ),
        "cannot be run on both 1 and 7 rows",
    ),
    "a free dimension": (PLAIN.replace("[rows, 8]", "[rows, width]"), "has the shape .rows, width., but vectors"),
    "a cube": (PLAIN.replace("[rows, 8]", "[rows, 8, 1]"), "shape .rows, 8, 1., but vectors have the shape .batch, 8."),
    "two answers": (
        PLAIN.replace("answer)\n<", "answer, float[rows, 2] summed)\n<"),
        r"has 2 float32 outputs \(answer, summed\), but a head has one: export only that one",
    ),
    "no answer": (
        PLAIN.replace("float[rows, 2] answer", "int64[rows, 1] answer").replace("Softmax", "ArgMax"),
        "has no float32 outputs",
    ),
    "an answer of float64": (
        PLAIN.replace("float[rows, 2] an", "double[rows, 2] an").replace("Softmax <axis = 1>", "Cast <to = 11>"),
        "output answer of .* is float64, but a head's output is float32",
    ),
    "no vector": (
        PLAIN.replace("float[rows, 8] vector", "").replace("MatMul(vector", "MatMul(weights"),
        "has no inputs, but a head takes one vector",
    ),
    "a third input": (
        PLAIN.replace("vector)", "vector, float[rows, 8] b, float[rows, 8] c)"),
        r"has 3 inputs \(vector, b, c\), but a head takes one vector",
    ),
    "another operator": (PLAIN.replace("Softmax <axis = 1>", "Hardmax"), "the operator Hardmax, which is not allowed"),
    "an operator of their own": (
        PLAIN.replace("Softmax <axis = 1>", "theirs.Soft").replace('"": 20', '"": 20, "theirs": 1'),
        "uses the operator theirs:Soft, which",
    ),
    "random numbers": (PLAIN.replace("Softmax <axis = 1>", "RandomUniformLike"), "operator RandomUniformLike"),
    "an operator across rows": (PLAIN.replace("axis = 1", "axis = 0"), "answers differently for a row alone"),
    "no softmax": (PLAIN.replace("Softmax <axis = 1>", "Identity"), "end it with a softmax"),
    "infinite numbers": (
        PLAIN.replace("Softmax <axis = 1> (summed)", "Div(summed, zero)").replace(
            "  summed", "  zero = Constant <value_floats = [0.0, 0.0]> ()\n  summed"
        ),
        "is not finite",
    ),
    "one number for all": (
        PLAIN.replace("Softmax <axis = 1>", "ReduceSum <keepdims = 1>"),
        r"returns the shape \[1, 1\] for 7 rows",
    ),
    "too new operators": (PLAIN.replace('"": 20', '"": 9999'), "is not a valid ONNX graph|does not load"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_MODELS)
def test_a_model_that_does_not_fit_is_refused(tmp_path: Path, eight: EncoderSpec, name: str) -> None:
    text, words = REFUSED_MODELS[name]
    path = written(tmp_path / "model.onnx", text)

    with pytest.raises(UserError, match=words) as refused:
        import_model(path, eight, "foreign")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "contains no ONNX graph"),
        (b"{'an': 'essay'} that is long enough to be read as something", "is not an ONNX model, or is truncated"),
        (helper.make_model(helper.make_graph([], "empty", [], [])).SerializeToString(), "contains no ONNX graph"),
    ],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, eight: EncoderSpec, content: bytes, words: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(UserError, match=words):
        import_model(path, eight, "foreign")
    with pytest.raises(UserError, match="does not exist: check the path"):
        import_model(tmp_path / "none.onnx", eight, "foreign")
    with pytest.raises(UserError, match=r"is not a SavedModel, since it has no saved_model\.pb"):
        import_model(tmp_path, eight, "foreign")
    with pytest.raises(UserError, match="The name 'Not One' is not 1 to 63"):
        import_model(path, eight, "Not One")


def test_a_model_that_is_too_large_is_refused(tmp_path: Path, eight: EncoderSpec, monkeypatch: Any) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_reader.MAX_BYTES + 1)
    with pytest.raises(UserError, match="has 50,000,001 bytes, but a head may have 50,000,000"):
        import_model(path, eight, "foreign")

    monkeypatch.setattr(onnx_reader, "MAX_NODES", 1)
    with pytest.raises(UserError, match="has 2 operators, but a head may have 1"):
        import_model(written(path, PLAIN), eight, "foreign")


def test_weights_in_another_file_are_refused_and_not_read(tmp_path: Path, eight: EncoderSpec) -> None:
    model = onnx.load(written(tmp_path / "plain.onnx", PLAIN))
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights), weights.name))  # as raw bytes
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()

    with pytest.raises(UserError, match="keeps its weights in another file: export it as one file"):
        import_model(tmp_path / "model.onnx", eight, "foreign")


def test_scans_and_free_strings_are_refused(tmp_path: Path, eight: EncoderSpec) -> None:
    near = KNeighborsClassifier().fit(ROWS, LABELS)
    words = LogisticRegression().fit(ROWS, np.array(["a", "b", "two words"])[LABELS])

    with pytest.raises(UserError, match="uses the operator Scan, which is not allowed in a head"):
        import_model(from_scikit_learn(tmp_path / "scan.onnx", near, zipmap=False), eight, "foreign")
    with pytest.raises(UserError, match=r"has a string that is not 1 to 64 of the characters .*: train the model with"):
        import_model(from_scikit_learn(tmp_path / "words.onnx", words, zipmap=False), eight, "foreign")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("a",), "There are 1 class names, but the model .* returns 2 columns"),
        (("a", "b", "c"), "There are 3 class names, but the model .* returns 2 columns"),
        (("a", "two words"), "The class 'two words' is not 1 to 64"),
        (("a", ""), "The class '' is not 1 to 64"),
        (("a", "a"), "Two classes have the same name"),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    tmp_path: Path, eight: EncoderSpec, classes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign", classes)


def test_the_guide_names_each_operator() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "heads-import.md").read_text()

    for domain, allowed in OPERATORS.items():
        assert f"| `{domain}` | {', '.join(sorted(allowed))} |" in guide
    assert f"{onnx_reader.MAX_BYTES:,} bytes" in guide
    assert f"{onnx_reader.MAX_NODES:,} operators" in guide
