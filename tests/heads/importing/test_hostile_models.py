"""A model that means harm does none, and bytes of any kind are a head or refused."""

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
    spec,
    written,
)


@pytest.fixture
def eight(tmp_path: Path) -> EncoderSpec:
    return spec(tmp_path)[0]


def _greedy(model: onnx.ModelProto) -> None:
    """Two small constants, and their product of 3.6 gigabytes."""
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


def _lying(model: onnx.ModelProto) -> None:
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


HOSTILE = {
    _greedy: "cannot be run on both 1 and 7 rows in 2 GiB",
    _lying: "is not a valid ONNX graph",
    _unprintable: "A name in the model .* is not printable",
    _branching: "The operator Relu of .* has an attribute that is not a number, string or tensor",
}


@pytest.mark.parametrize("make", HOSTILE)
def test_what_means_harm_does_none(tmp_path: Path, eight: EncoderSpec, make: Any) -> None:
    model = onnx.load(written(tmp_path / "model.onnx", PLAIN))
    make(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(UserError, match=HOSTILE[make]):
        import_model(tmp_path / "model.onnx", eight, "made")


def test_trees_without_an_end_are_refused(tmp_path: Path, eight: EncoderSpec) -> None:
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(ROWS, LABELS)
    model = onnx.load(from_scikit_learn(tmp_path / "model.onnx", forest, zipmap=False))
    ways = next(each for each in model.graph.node[0].attribute if each.name == "nodes_truenodeids")
    ways.ints[0] = 0  # itself
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(UserError, match="a branch has a cycle or no target"):
        import_model(tmp_path / "model.onnx", eight, "made")


def test_a_model_that_does_not_end_is_stopped(tmp_path: Path, eight: EncoderSpec, monkeypatch: Any) -> None:
    monkeypatch.setattr(trial, "MAX_SECONDS", 0.01)

    with pytest.raises(UserError, match=r"did not answer 7 rows within 0\.01 seconds: make it smaller"):
        import_model(written(tmp_path / "model.onnx", PLAIN), eight, "made")


def test_whatever_the_bytes_are_they_are_a_head_or_refused(tmp_path: Path, eight: EncoderSpec) -> None:
    path, chance, heads = written(tmp_path / "model.onnx", PLAIN), np.random.default_rng(0), 0
    whole = path.read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        content[chance.integers(len(whole))] ^= 1 << int(chance.integers(8))
        path.write_bytes(content if chance.random() < 0.8 else content[: chance.integers(len(whole))])
        try:
            imported = import_model(path, eight, "made")
        except UserError:
            continue
        heads += 1
        assert np.isfinite(answer(imported)).all()
    assert 5 < heads < 55
