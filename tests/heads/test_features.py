"""Heads take the features of a snapshot beside the vector, inside one graph."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from encoders.catalogue import lookup
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest
from rawless.heads.deployment import layout_difference
from rawless.heads.examples import Task, make_head, open_task
from rawless.heads.features import HeadFeature
from rawless.heads.feed_forward import FeedForward
from rawless.heads.fit import predict
from rawless.heads.importing.importer import import_model
from rawless.heads.onnx_graph import to_onnx
from rawless.heads.out_of_scope import evaluate_out_of_scope
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.readers import frame, torch_dataset
from rawless.heads.reevaluate import reevaluate
from rawless.heads.session import HeadSession, open_head
from rawless.heads.spec import HeadSpec, head_spec
from rawless.heads.training import TrainedHead, train
from tests.heads.conftest import make_task
from tests.heads.test_reevaluate import make_session
from tests.shop import Shop, open_shop
from tests.warehouse_pool import WarehousePool

BALANCE = HeadFeature(name="balance", type="number", range=(0, 5000), step=1)
PLAN = HeadFeature(name="plan", classes=("free", "gold", "team"))
VISITS = HeadFeature(name="visits", type="number", range=(-1, 1), step=0.5)
SETS = {"numbers": (BALANCE, VISITS), "classes": (PLAN,), "both": (BALANCE, PLAN, VISITS)}
DIMENSION, ROWS = 4, 400


def _column(feature: HeadFeature) -> st.SearchStrategy[float]:
    """Values of a column of the input, some of them missing."""
    lowest, highest = feature.range or (0, len(feature.classes) - 1)
    steps = st.integers(0, round((highest - lowest) / (feature.step or 1)))
    return st.one_of(st.just(float("nan")), steps.map(lambda count: lowest + count * (feature.step or 1)))


def _random_features(features: tuple[HeadFeature, ...]) -> Any:
    generator = np.random.default_rng(1)
    columns = [
        generator.integers(0, 5000, ROWS) if feature.range else generator.integers(0, 3, ROWS) for feature in features
    ]
    matrix = np.stack(columns, axis=1).astype(np.float32)
    return np.where(generator.random(matrix.shape) < 0.2, np.nan, matrix)


VECTORS = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)


def _task(features: tuple[HeadFeature, ...] = SETS["both"], **fields: Any) -> Task:
    inputs = (VECTORS, _random_features(features)) if features else (VECTORS,)
    given = {"labels": np.arange(ROWS) % 2, "classes": ("no", "yes"), "epochs": 2} | fields
    return make_task(inputs, features=features, **given)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_label_that_depends_on_features_alone_is_learned_and_compared_with_a_head_without_them(kind: str) -> None:
    """A person with an unknown plan, or with a large enough balance for the plan, is a yes."""
    matrix = _random_features((BALANCE, PLAN))
    balance, plan = np.nan_to_num(matrix[:, 0], nan=2500), matrix[:, 1]
    labels = (np.isnan(plan) | (balance > 4000 - 1500 * plan)).astype(int)
    rows = np.repeat(np.arange(ROWS), 2)
    given = labels[rows]
    given[:10] = 1 - given[:10]
    task = make_task(
        (np.random.default_rng(2).standard_normal((2 * ROWS, DIMENSION)), matrix[rows]), given, ("no", "yes"),
        features=(BALANCE, PLAN), kind=kind, epochs=60, learning_rate=0.05, domain="none",
    )  # fmt: skip
    evaluation = train(task, lambda _: None).evaluation
    alone = {measure.name: measure.value for measure in evaluation.baselines["without_features"]}

    assert evaluation.main.value >= 0.95
    assert alone["accuracy"] <= 0.7  # 0.6 of the labels are yes
    suspects = [suspect.event_id for suspect in evaluation.suspects[:20]]
    assert len({f"e-{number}" for number in range(10)} & set(suspects)) >= 5
    assert not any("features" in sentence for sentence in evaluation.warnings)


@cache
def _exported(name: str, is_number: bool) -> tuple[FeedForward, HeadSession]:
    fields: dict[str, Any] = {"labels": VECTORS[:, 0], "classes": ()} if is_number else {}
    task = _task(SETS[name], kind="mlp", hidden=(5,), **fields)
    head = make_head(task)
    assert isinstance(head, FeedForward)
    graph = to_onnx(head, DIMENSION)
    at = task.manifest.created_at
    manifest = HeadManifest(
        head="a", version=1, kind="mlp", encoder="tiny", encoder_version="1.0.0", fingerprint="f" * 64,
        snapshot_id=None, classes=task.classes, **artefact.tensors(graph), metrics=(), hyperparameters={},
        libraries={}, created_at=at, features=task.features,
    )  # fmt: skip
    return head, HeadSession(manifest, graph.SerializeToString())


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("is_number", [False, True], ids=["classes", "number"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_graph_answers_like_the_module_for_any_values_and_missing_ones(
    name: str, is_number: bool, data: st.DataObject
) -> None:
    head, session = _exported(name, is_number)
    rows = data.draw(st.lists(st.tuples(*map(_column, SETS[name])), max_size=5))
    features = np.array(rows, np.float32).reshape(len(rows), len(SETS[name]))
    vectors = VECTORS[: len(rows)]
    (answers,) = session.answer(embedding=vectors, features=features).values()

    expected = predict(head, (torch.from_numpy(vectors), torch.from_numpy(features))) if rows else torch.empty(0)
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(answers.ravel(), expected.numpy().ravel(), atol=1e-4)


def test_numbers_are_standardised_by_the_present_values_and_what_is_missing_is_said() -> None:
    head = make_head(_task())
    assert isinstance(head, FeedForward)
    assert head.columns is not None
    rows = torch.tensor([[100.0, 1.0, torch.nan], [300.0, torch.nan, 1.0], [torch.nan, 2.0, 1.0]])
    head.columns.fit(rows)

    assert head.columns(rows).tolist() == [
        [-1, 0, 0, 1, 0, 0, 0, 1],  # balance, visits, the three plans, and which of the three features is missing
        [1, 0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
    ]


def _write(trained: TrainedHead, folder: Path) -> HeadManifest:
    graph, domain = graphs_of(trained)
    return artefact.write(folder, manifest_of(trained), graph, trained.evaluation, domain)


def test_the_folder_describes_the_features_in_order_and_a_head_without_any_is_as_before(tmp_path: Path) -> None:
    trained = train(_task(), lambda _: None)
    manifest = _write(trained, tmp_path / "with")
    session = open_head(tmp_path / "with")

    assert [str(tensor) for tensor in manifest.inputs] == [
        "embedding float32 ['batch', 4]",
        "features float32 ['batch', 3]",
    ]
    assert session.manifest.features == SETS["both"]
    assert session.are_in_domain(VECTORS) is not None
    assert "features" in json.loads((tmp_path / "with" / "manifest.json").read_text())
    assert "features" not in manifest.model_copy(update={"features": ()}).model_dump(mode="json")
    assert manifest_of(replace(trained, task=trained.task.without_features())).features == ()


def test_a_manifest_that_does_not_describe_its_features_is_refused() -> None:
    _, session = _exported("classes", False)
    manifest = session.manifest.model_copy(update={"features": ()})

    with pytest.raises(UserError, match=r"describes 0 features, but its inputs are .* features float32"):
        HeadSession(manifest, b"")
    other = session.manifest.model_copy(update={"features": (PLAN.model_copy(update={"classes": ("a", "b", "c")}),)})
    assert layout_difference(session.manifest, other) == "its features are plan (a, b, c), not plan (free, gold, team)"


def test_a_head_with_features_is_not_imported(tmp_path: Path) -> None:
    spec = lookup("minilm@1.0.0")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("embedding", spec.dimension), ("features", 2))
    ]
    output = helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n", spec.dimension + 2])
    node = helper.make_node("Concat", ["embedding", "features"], ["value"], axis=1)
    onnx.save(helper.make_model(helper.make_graph([node], "g", inputs, [output])), tmp_path / "model.onnx")

    with pytest.raises(UserError, match="takes features beside the vector, but an imported head takes vectors alone"):
        import_model(tmp_path / "model.onnx", spec, "topic")


SPLIT = {"by": "person", "train": 0.4, "validation": 0.3, "test": 0.3}
PERSONS = [f"person-{number}" for number in range(40)]
DECLARED = {"table": "account_plan", "value": "plan", "known_at": "booked_at", "classes": ["free", "gold"]}
MONEY = {
    "table": "account_plan", "value": "amount", "known_at": "booked_at", "type": "number", "range": [0, 100], "step": 1,
}  # fmt: skip


in_one_process = pytest.mark.xdist_group("features")
"""Of the test run, so that the snapshots are built once."""


class Built(NamedTuple):
    """A shop with two snapshots of the features amount, which some persons lack, and plan. No test modifies it."""

    shop: Shop
    snapshot: Manifest
    other: Manifest


@pytest.fixture(scope="module")
def built(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    warehouse = warehouses.take()
    shop = open_shop(warehouse, tmp_path_factory.mktemp("shop"))
    amounts = [None if number % 4 == 0 else number for number in range(40)]
    plans = ["free" if number % 2 else "gold" for number in range(40)]
    table = {"subject_key": PERSONS, "plan": plans, "amount": amounts}
    shop.load("account_plan", table | {"booked_at": [shop.as_of - timedelta(days=400)] * 40})
    features = {"plan": DECLARED, "amount": MONEY}
    snapshots = [shop.build(features=features, split=SPLIT | {"salt": salt}).manifest for salt in ("a", "b")]
    yield Built(shop, *snapshots)
    warehouses.give_back(warehouse)


def _spec(snapshot: Manifest, **fields: Any) -> HeadSpec:
    return head_spec({"head": "topic", "snapshot": snapshot.snapshot_id, "kind": "linear", "epochs": 1} | fields)


def _declaring(snapshot: Manifest, features: dict[str, Any]) -> Manifest:
    """Return a manifest whose dataset declares other features."""
    return replace(snapshot, spec={"spec": snapshot.spec["spec"] | {"features": features}})


@in_one_process
def test_the_features_of_a_snapshot_reach_heads_and_torch_alike(built: Built) -> None:
    warehouse, snapshot = built.shop.warehouse, built.snapshot
    data, table = torch_dataset(warehouse, snapshot.snapshot_id), frame(warehouse, snapshot.snapshot_id)
    task = open_task(warehouse, _spec(snapshot), snapshot)
    plans = [["free", "gold"].index(plan) for plan in table["feature.plan"]]
    expected = np.array([table["feature.amount"], plans], np.float32).T
    is_train = np.array(table["split"] == "train")
    (vector, features), _ = data[0]

    assert [str(feature) for feature in task.features] == ["amount (0 to 100)", "plan (free, gold)"]
    assert (vector.shape, features.shape, tuple(data.features)) == ((8,), (2,), task.features)
    np.testing.assert_array_equal(data.sides[1].numpy(), expected)
    np.testing.assert_array_equal(task.splits["train"].rows.inputs[1].numpy(), expected[is_train])
    assert np.isnan(expected).any()


@in_one_process
def test_a_head_takes_the_features_that_its_file_names_and_is_judged_on_snapshots_that_have_them(built: Built) -> None:
    warehouse, snapshot = built.shop.warehouse, built.snapshot
    head = make_session(built.shop, snapshot, features=["plan"])

    assert [feature.name for feature in head.manifest.features] == ["plan"]
    assert open_task(warehouse, _spec(snapshot, features=[]), snapshot).features == ()
    assert reevaluate(warehouse, head, snapshot).rows > 10
    assert evaluate_out_of_scope(warehouse, head, built.other).rows == built.other.rows
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, r"takes the feature plan, but the features of \w+ are none: choose"),
        (
            {"plan": DECLARED | {"classes": ["gold", "free"]}},
            r"plan \(free, gold\), but \w+ has plan \(gold, free\)",
        ),
    )
    for declared, message in refused:
        for judge in (reevaluate, evaluate_out_of_scope):
            with pytest.raises(UserError, match=message):
                judge(warehouse, head, _declaring(built.other, declared))  # type: ignore[operator]
    with pytest.raises(UserError, match=r"takes the feature price, but the features of \w+ are amount, plan: choose"):
        open_task(warehouse, _spec(snapshot, features=["price"]), snapshot)
