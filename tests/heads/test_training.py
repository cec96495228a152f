"""Heads learn what is there to learn, as well as the field's own models do, and say when there was too little."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rawless.heads.evaluation import Evaluation
from rawless.heads.examples import make_head
from rawless.heads.fit import fit, mean_loss
from rawless.heads.training import train
from tests.heads.conftest import DIGITS, make_task


def _trained(*arguments: Any, **spec: Any) -> Evaluation:
    return train(make_task(*arguments, **spec), lambda _: None).evaluation


def _measure(evaluation: Evaluation, name: str) -> float:
    return next(each.value for each in evaluation.measures if each.name == name)


def _baseline(evaluation: Evaluation, baseline: str, name: str) -> float:
    return next(each.value for each in evaluation.baselines[baseline] if each.name == name)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_classifier_is_as_good_as_logistic_regression(digits: tuple[Any, Any], kind: str) -> None:
    vectors, labels = digits
    found = _trained((vectors,), labels, DIGITS, kind=kind)
    cut = len(labels) * 6 // 10, len(labels) * 8 // 10
    other = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    other.fit(vectors[: cut[0]], labels[: cut[0]])

    main = found.main
    assert main.name == "accuracy"
    assert main.value > 0.9
    assert main.high >= other.score(vectors[cut[1] :], labels[cut[1] :])
    assert _baseline(found, "majority", "accuracy") < 0.2
    assert 0.8 < _baseline(found, "nearest_centroid", "accuracy") < main.value


def test_a_number_is_learned(digits: tuple[Any, Any]) -> None:
    vectors, _ = digits
    numbers = vectors @ np.linspace(-1, 1, 64, dtype=np.float32)
    found = _trained((vectors,), numbers)

    assert found.main.name == "r2"
    assert found.main.value > 0.99
    assert _baseline(found, "mean", "r2") < 0.01
    assert found.confusion == ()


def test_a_pair_is_learned_that_cosine_cannot_tell() -> None:
    """Two vectors belong together when the one is the other turned, so their cosine says nothing."""
    chance = np.random.default_rng(0)
    left, other = chance.standard_normal((2, 4000, 8)).astype(np.float32)
    same = np.arange(4000) % 2
    right = np.where(same[:, None], np.roll(left, 1, axis=1), other)
    found = _trained((left, right), same, ("no", "yes"), kind="pair")

    assert found.main.value > 0.9
    assert _baseline(found, "cosine", "roc_auc") < 0.6
    assert found.classes == ("no", "yes")


def test_a_query_transform_turns_queries_towards_their_documents_for_each_tenant() -> None:
    chance = np.random.default_rng(0)
    documents = chance.standard_normal((2000, 16)).astype(np.float32)
    tenants = np.arange(2000) % 2 + 1
    turns = [np.linalg.qr(chance.standard_normal((16, 16)))[0] for _ in range(2)]
    queries = np.stack([document @ turns[place - 1] for document, place in zip(documents, tenants, strict=True)])
    spec = {"kind": "query_transform", "learning_rate": 0.01, "tenant": "shop"}
    one = _trained((queries, documents), np.ones(2000, int), ("no", "yes"), **(spec | {"tenant": None}))
    each = _trained((queries, documents, tenants), np.ones(2000, int), ("no", "yes"), ("", "a", "b"), **spec)

    assert _baseline(each, "cosine", "recall@10") < 0.2
    assert _measure(each, "recall@1") > 0.95
    assert _measure(each, "recall@1") > _measure(one, "recall@1") + 0.2


def test_the_same_seed_gives_the_same_head_and_another_seed_another(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits

    def weights(seed: int) -> torch.Tensor:
        task = make_task((vectors,), labels, DIGITS, kind="mlp", epochs=3, seed=seed)
        head = make_head(task)
        fit(head, task.spec, task.splits["train"].rows, task.splits["validation"].rows)
        return torch.cat([each.flatten() for each in head.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_training_stops_early_and_keeps_the_best_epoch(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    task = make_task((vectors,), labels, DIGITS, kind="mlp", learning_rate=0.05, patience=3, epochs=500)
    head, validation = make_head(task), task.splits["validation"].rows
    history = fit(head, task.spec, task.splits["train"].rows, validation)

    assert len(history.validation) == history.best_epoch + 3 < 500
    assert mean_loss(head, validation) == pytest.approx(min(history.validation), abs=1e-4)


def test_too_few_rows_are_told_with_the_learning_curve(digits: tuple[Any, Any]) -> None:
    vectors, labels = (each[:200] for each in digits)
    few, all_rows = _trained((vectors,), labels, DIGITS), _trained(digits[:1], digits[1], DIGITS)

    assert [point.rows for point in few.learning_curve] == [12, 30, 60, 120]
    assert any("Some classes have fewer than 50 rows in train: 0 " in sentence for sentence in few.warnings)
    assert any("The learning curve still rises" in sentence for sentence in few.warnings)
    assert not any("fewer than 50" in sentence for sentence in all_rows.warnings)


def test_what_is_measured_adds_up_and_tells_rows_by_id(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    wrong = labels.copy()
    swapped = np.arange(0, 100, 10)
    wrong[swapped] = (wrong[swapped] + 1) % 10
    found = _trained((vectors,), wrong, DIGITS)

    test = found.rows["test"]
    assert sum(map(sum, found.confusion)) == sum(each.rows for each in found.calibration) == test
    right = sum(row[place] for place, row in enumerate(found.confusion))
    assert right / test == pytest.approx(found.main.value)
    assert len(found.mistakes) == test - right
    assert {each.of for each in found.slices} == {"month"}
    assert sum(each.rows for each in found.slices) == test
    assert {each.event_id for each in found.suspects} >= {f"e-{place}" for place in swapped[:8]}
    for each in found.measures:
        assert each.low <= each.value <= each.high


def test_an_unknown_kind_of_layer_is_no_part_of_a_linear_head() -> None:
    with pytest.raises(ValueError, match="hidden belongs to kinds mlp and pair"):
        make_task((np.ones((10, 2)),), np.ones(10), kind="linear", hidden=(3,))
