"""A head's folder answers like the trained head, describes what it needs, and is refused after a change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest
from rawless.heads.examples import Task
from rawless.heads.fit import predict
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.session import open_head
from rawless.heads.training import TrainedHead, train
from tests.drawn_heads import write_head
from tests.heads.conftest import make_task

GENERATOR = np.random.default_rng(0)
LEFT, RIGHT = GENERATOR.standard_normal((2, 300, 6)).astype(np.float32)
YES = np.arange(300) % 2
TASKS: dict[str, dict[str, Any]] = {
    "linear": {"inputs": (LEFT,), "labels": np.arange(300) % 3, "classes": ("a", "b", "c")},
    "mlp": {"inputs": (LEFT,), "labels": np.arange(300) % 3, "classes": ("a", "b", "c"), "hidden": (5, 4)},
    "number": {"inputs": (LEFT,), "labels": LEFT.sum(1), "kind": "mlp", "dropout": 0.2},
    "pair": {"inputs": (LEFT, RIGHT), "labels": YES, "classes": ("no", "yes")},
    "query_transform": {"inputs": (LEFT, RIGHT), "labels": YES, "classes": ("no", "yes")},
    "tenants": {
        "inputs": (LEFT, RIGHT, YES + 1), "labels": YES, "classes": ("no", "yes"), "tenants": ("", "x", "y"),
        "kind": "query_transform", "tenant": "shop",
    },
}  # fmt: skip


def _trained(name: str) -> TrainedHead:
    return train(make_task(**({"kind": name} | TASKS[name] | {"epochs": 2})), lambda _: None)


def _write(trained: TrainedHead, folder: Path) -> HeadManifest:
    graph, domain = graphs_of(trained)
    return artefact.write(folder, manifest_of(trained, 1), graph, trained.evaluation, domain)


def _inputs(task: Task, names: tuple[str, ...], rows: slice) -> dict[str, Any]:
    inputs = task.kind.head_inputs(task.splits["test"].rows)
    return {name: values[rows].numpy() for name, values in zip(names, inputs, strict=True)}


@pytest.mark.parametrize("name", TASKS)
def test_the_exported_head_answers_like_the_trained_one_for_any_batch_size(name: str, tmp_path: Path) -> None:
    trained = _trained(name)
    manifest = _write(trained, tmp_path / "head")
    session = open_head(tmp_path / "head")
    names = tuple(tensor.name for tensor in manifest.inputs)
    inputs = _inputs(trained.task, names, slice(None))
    expected = predict(trained.head, [torch.from_numpy(values) for values in inputs.values()]).numpy()

    (batch,) = session.answer(**inputs).values()
    np.testing.assert_allclose(batch, expected, atol=1e-5)
    for row in range(5):
        (single,) = session.answer(**_inputs(trained.task, names, slice(row, row + 1))).values()
        np.testing.assert_allclose(single, expected[row : row + 1], atol=1e-5)
    (empty,) = session.answer(**_inputs(trained.task, names, slice(0, 0))).values()
    assert len(empty) == 0


def test_the_manifest_describes_inputs_outputs_and_encoder(tmp_path: Path) -> None:
    manifest = _write(_trained("tenants"), tmp_path / "head")

    query, tenant = manifest.inputs
    assert (tuple(query), tuple(tenant)) == (("query", ("batch", 6), "float32"), ("tenant", ("batch",), "int64"))
    assert [tuple(tensor) for tensor in manifest.outputs] == [("embedding", ("batch", 6), "float32")]
    assert (manifest.encoder, manifest.encoder_version, manifest.fingerprint) == ("tiny", "1.0.0", "f" * 64)
    assert manifest.tenants == ("", "x", "y")
    assert manifest.hyperparameters["seed"] == 0
    assert set(manifest.libraries) == {"python", "numpy", "onnx", "torch"}
    assert artefact.read_evaluation(tmp_path / "head") is not None


def test_the_folder_contains_no_pickle_and_the_graph_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "other"):
        _write(_trained("mlp"), tmp_path / name)

    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"head.onnx", "domain.onnx", "manifest.json", "evaluation.json"}
    for file in ("head.onnx", "domain.onnx"):
        graphs = [(tmp_path / name / file).read_bytes() for name in ("one", "other")]
        assert graphs[0] == graphs[1]
        assert str(tmp_path).encode() not in graphs[0]


@pytest.mark.parametrize("file", ["head.onnx", "manifest.json"])
def test_a_head_that_was_changed_is_refused(tmp_path: Path, file: str) -> None:
    _write(_trained("linear"), tmp_path / "head")
    path = tmp_path / "head" / file
    if file == "manifest.json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "0" * 64}))
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(UserError, match="was changed after it was written"):
        open_head(tmp_path / "head")


def test_a_folder_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a head"):
        open_head(tmp_path)
    _write(_trained("linear"), tmp_path / "head")
    with pytest.raises(UserError, match="already exists: name a new one"):
        _write(_trained("linear"), tmp_path / "head")


def _external(model: onnx.ModelProto) -> None:
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")


def _random(model: onnx.ModelProto) -> None:
    output = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "certain"
    model.graph.node.extend(
        [
            helper.make_node("RandomNormalLike", ["certain"], ["noise"]),
            helper.make_node("Add", ["certain", "noise"], [output]),
        ]
    )


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("own", "Mine", ["x"], ["y"], [], [helper.make_opsetid("", 20)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "of topic@1 keeps its weights in another file"),
        (_random, "of topic@1 uses the operator RandomNormalLike, which is not allowed"),
        (_function, "of topic@1 has functions"),
    ],
)
def test_a_graph_that_no_head_has_is_refused_although_its_digest_matches(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    """Whoever writes the folder computes the digest."""
    manifest = write_head(tmp_path, "topic")
    model = onnx.load(tmp_path / "topic" / "1" / "head.onnx")
    change(model)
    artefact.write(tmp_path / "forged", manifest, model.SerializeToString())

    with pytest.raises(UserError, match=message):
        open_head(tmp_path / "forged")


def test_vectors_of_another_encoder_are_refused(tmp_path: Path) -> None:
    _write(_trained("linear"), tmp_path / "head")
    session = open_head(tmp_path / "head")

    session.check("f" * 64)
    with pytest.raises(UserError, match=r"takes vectors of tiny@1\.0\.0 .* but these have 000000000000"):
        session.check("0" * 64)
