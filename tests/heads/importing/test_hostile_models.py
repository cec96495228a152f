"""Malicious models do no harm, and any bytes are either imported or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.importing import trial
from rawless.heads.importing.importer import import_model
from tests.heads.foreign import (
    LABELS,
    PLAIN,
    ROWS,
    answer,
    from_scikit_learn,
    written,
)


def _huge_product(model: onnx.ModelProto) -> None:
    """Add two small constants whose product takes 3.6 gigabytes."""
    ones = np.ones((30_000, 1), np.float32)
    model.graph.initializer.extend([numpy_helper.from_array(ones, "a"), numpy_helper.from_array(ones.T, "b")])
    model.graph.node[-1].output[0] = "soft"
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["a", "b"], ["c"]),
            helper.make_node("ReduceMax", ["c"], ["d"], keepdims=0),
            helper.make_node("Mul", ["soft", "d"], ["answer"]),
        ]
    )


def _wrong_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def _unprintable(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "\x1b[2J"


def _branching(model: onnx.ModelProto) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["summed"], ["inside"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )
    model.graph.node[1].CopyFrom(helper.make_node("Relu", ["summed"], ["answer"], then_branch=branch))


def _expand(model: onnx.ModelProto, *shape: onnx.NodeProto) -> None:
    """Expand the answer to a shape, and reduce it again."""
    model.graph.node[-1].output[0] = "soft"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([1_000_000, 1, 1]), "million"),
            numpy_helper.from_array(np.array([0]), "first"),
            numpy_helper.from_array(np.array([1e9], np.float32), "billion"),
        ]
    )
    model.graph.node.extend(
        [
            *shape,
            helper.make_node("Expand", ["soft", "shape"], ["large"]),
            helper.make_node("ReduceMax", ["large", "first"], ["answer"], keepdims=0),
        ]
    )


def _expand_by_a_constant(model: onnx.ModelProto) -> None:
    _expand(model, helper.make_node("Identity", ["million"], ["shape"]))


def _expand_by_the_number_of_rows(model: onnx.ModelProto) -> None:
    """A batch of 7 rows has 98 values, one of 100,000 rows has 20 billion."""
    sizes = [
        helper.make_node("Shape", ["soft"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "first"], ["rows"]),
        helper.make_node("Concat", ["rows", "sizes"], ["shape"], axis=0),
    ]
    _expand(model, *sizes)


def _expand_by_a_value(model: onnx.ModelProto) -> None:
    """Random rows are small; a row of one huge value is not."""
    sizes = [
        helper.make_node("ReduceMax", ["vector"], ["highest"], keepdims=0),
        helper.make_node("Div", ["highest", "billion"], ["small"]),
        helper.make_node("Ceil", ["small"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["size"], to=TensorProto.INT64),
        helper.make_node("Shape", ["soft"], ["sizes"]),
        helper.make_node("Concat", ["size", "sizes"], ["shape"], axis=0),
    ]
    _expand(model, *sizes)


HOSTILE = {
    _huge_product: "cannot be run on both 1 and 7 rows in 2 GiB",
    _wrong_size: "is not a valid ONNX graph",
    _unprintable: "A name in the model .* is not printable",
    _expand_by_a_constant: "has an output of Expand that is not of a fixed size of at most 65,536 values for each row",
    _expand_by_the_number_of_rows: "has an output of Expand that is not of a fixed size",
    _expand_by_a_value: "has an output of Expand that is not of a fixed size",
    _branching: "The operator Relu of .* has an attribute that is not a number, string or tensor",
}


@pytest.mark.parametrize("make", HOSTILE)
def test_a_malicious_model_is_refused(tmp_path: Path, eight: EncoderSpec, make: Any) -> None:
    model = onnx.load(written(tmp_path / "model.onnx", PLAIN))
    make(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(UserError, match=HOSTILE[make]):
        import_model(tmp_path / "model.onnx", eight, "foreign")


def test_trees_with_a_cycle_are_refused(tmp_path: Path, eight: EncoderSpec) -> None:
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(ROWS, LABELS)
    model = onnx.load(from_scikit_learn(tmp_path / "model.onnx", forest, zipmap=False))
    targets = next(item for item in model.graph.node[0].attribute if item.name == "nodes_truenodeids")
    targets.ints[0] = 0  # itself
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(UserError, match="a branch has a cycle or no target"):
        import_model(tmp_path / "model.onnx", eight, "foreign")


def test_a_model_that_runs_too_long_is_stopped(tmp_path: Path, eight: EncoderSpec, monkeypatch: Any) -> None:
    monkeypatch.setattr(trial, "MAX_SECONDS", 0.01)

    with pytest.raises(UserError, match=r"did not answer 7 rows within 0\.01 seconds: make it smaller"):
        import_model(written(tmp_path / "model.onnx", PLAIN), eight, "foreign")


def test_any_bytes_are_imported_or_refused(tmp_path: Path, eight: EncoderSpec) -> None:
    path, generator, heads = written(tmp_path / "model.onnx", PLAIN), np.random.default_rng(0), 0
    original = path.read_bytes()
    for _ in range(30):
        content = bytearray(original)
        content[generator.integers(len(original))] ^= 1 << int(generator.integers(8))
        path.write_bytes(content if generator.random() < 0.8 else content[: generator.integers(len(original))])
        try:
            imported = import_model(path, eight, "foreign")
        except UserError:
            continue
        heads += 1
        assert np.isfinite(answer(imported)).all()
    assert 2 < heads < 28
