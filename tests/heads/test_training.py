"""Heads learn as well as scikit-learn's models, and training warns when there is too little data."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rawless.heads.evaluation import Evaluation
from rawless.heads.examples import make_head
from rawless.heads.fit import fit, mean_loss, predict
from rawless.heads.kinds.query_transform import QueryTransform
from rawless.heads.training import train
from tests.heads.conftest import DIGITS, make_task

digits_in_one_process = pytest.mark.xdist_group("digits")
"""Of the test run, so that each head is trained once."""


def _trained(*arguments: Any, **spec: Any) -> Evaluation:
    return train(make_task(*arguments, **spec), lambda _: None).evaluation


def _metric(evaluation: Evaluation, name: str) -> float:
    return next(metric.value for metric in evaluation.measures if metric.name == name)


def _baseline(evaluation: Evaluation, baseline: str, name: str) -> float:
    return next(metric.value for metric in evaluation.baselines[baseline] if metric.name == name)


@pytest.fixture(scope="module")
def of_digits(digits: tuple[Any, Any]) -> Callable[[str], Evaluation]:
    """The evaluation of a kind of head that was trained on the digits."""
    return cache(lambda kind: _trained(digits[:1], digits[1], DIGITS, kind=kind))


@digits_in_one_process
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_classifier_is_as_good_as_logistic_regression(
    digits: tuple[Any, Any], of_digits: Callable[[str], Evaluation], kind: str
) -> None:
    vectors, labels = digits
    evaluation = of_digits(kind)
    cut = len(labels) * 6 // 10, len(labels) * 8 // 10
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    logistic.fit(vectors[: cut[0]], labels[: cut[0]])

    main = evaluation.main
    assert main.name == "accuracy"
    assert main.value > 0.9
    assert main.high >= logistic.score(vectors[cut[1] :], labels[cut[1] :])
    assert _baseline(evaluation, "majority", "accuracy") < 0.2
    assert 0.8 < _baseline(evaluation, "nearest_centroid", "accuracy") < main.value
    assert _baseline(evaluation, "nearest_centroid", "log_loss") < 0.6


def test_a_regression_learns_numbers(digits: tuple[Any, Any]) -> None:
    vectors, _ = digits
    numbers = vectors @ np.linspace(-1, 1, 64, dtype=np.float32)
    evaluation = _trained((vectors,), numbers)

    assert evaluation.main.name == "r2"
    assert evaluation.main.value > 0.99
    assert _baseline(evaluation, "mean", "r2") < 0.01
    assert evaluation.confusion == ()


def test_a_pair_head_learns_what_cosine_cannot_distinguish() -> None:
    """Two vectors match when one is the other with its values shifted, so their cosine carries no information."""
    generator = np.random.default_rng(0)
    left, other = generator.standard_normal((2, 4000, 8)).astype(np.float32)
    same = np.arange(4000) % 2
    right = np.where(same[:, None], np.roll(left, 1, axis=1), other)
    evaluation = _trained((left, right), same, ("no", "yes"), kind="pair")

    assert evaluation.main.value > 0.9
    assert _baseline(evaluation, "cosine", "roc_auc") < 0.6
    assert evaluation.classes == ("no", "yes")


def test_the_cosine_of_pairs_is_cut_where_it_is_best_on_train() -> None:
    """All vectors are similar, so that a cosine of 0.5 separates nothing; one of about 0.9 separates the matches."""
    generator = np.random.default_rng(0)
    left, noise = generator.standard_normal((2, 3000, 16)) + np.array([[[3.0]], [[0.0]]])
    same = np.arange(3000) % 2
    right = left + noise * np.where(same, 0.5, 2.5)[:, None]
    evaluation = _trained((left, right), same, ("no", "yes"), kind="pair", epochs=1)

    assert _baseline(evaluation, "cosine", "accuracy") > 0.95
    assert _baseline(evaluation, "cosine", "log_loss") < 0.2


def test_a_query_transform_maps_queries_to_their_documents_for_each_tenant() -> None:
    generator = np.random.default_rng(0)
    documents = generator.standard_normal((2000, 16)).astype(np.float32)
    tenants = np.arange(2000) % 2 + 1
    rotations = [np.linalg.qr(generator.standard_normal((16, 16)))[0] for _ in range(2)]
    queries = np.stack([document @ rotations[tenant - 1] for document, tenant in zip(documents, tenants, strict=True)])
    spec = {"kind": "query_transform", "learning_rate": 0.01, "tenant": "shop"}
    shared = _trained((queries, documents), np.ones(2000, int), ("no", "yes"), **(spec | {"tenant": None}))
    by_tenant = _trained((queries, documents, tenants), np.ones(2000, int), ("no", "yes"), ("", "a", "b"), **spec)

    assert _baseline(by_tenant, "cosine", "recall@10") < 0.2
    assert _metric(by_tenant, "recall@1") > 0.95
    assert _metric(by_tenant, "recall@1") > _metric(shared, "recall@1") + 0.2


def test_a_query_is_not_ranked_among_its_own_documents() -> None:
    """Each event is the query of the next one, and nearer to itself than to any other."""
    vectors = np.random.default_rng(0).standard_normal((301, 16)).astype(np.float32).cumsum(0)
    numbers = np.stack((np.arange(300), np.arange(1, 301)), axis=1)
    spec = {"kind": "query_transform", "events": numbers, "epochs": 1}
    evaluation = _trained((vectors[:-1], vectors[1:]), np.ones(300, int), ("no", "yes"), **spec)
    test = vectors[240:301] / np.linalg.norm(vectors[240:301], axis=1, keepdims=True)
    cosines = test[:-1] @ test[1:].T
    cosines[np.arange(1, 60), np.arange(59)] = -1  # the query itself

    assert _baseline(evaluation, "cosine", "recall@1") == pytest.approx(np.mean(cosines.argmax(1) == np.arange(60)))
    assert _baseline(evaluation, "cosine", "recall@1") > 0.3


@pytest.mark.parametrize("is_match", [0, 1], ids=["itself", "a second match"])
def test_what_a_query_also_matches_is_not_its_wrong_answer(is_match: int) -> None:
    """One query has two rows; beside its document there is only itself, or another document that matches it."""
    query, document = torch.eye(4)[:2].reshape(2, 1, 4).expand(2, 2, 4)
    events = torch.tensor([[0, 1], [0, 2]] if is_match else [[0, 1], [3, 0]])
    head = QueryTransform(4)

    assert head.loss(torch.tensor([1, is_match]), query, document, events) == 0
    assert head.loss(torch.tensor([1, is_match]), query, document, torch.tensor([[0, 1], [3, 4]])) > 0


def test_a_query_transform_is_never_worse_than_the_cosine_on_validation() -> None:
    """The cosine finds what can be found, and too few noisy pairs teach a map that is worse than none."""
    documents, noise = np.random.default_rng(0).standard_normal((2, 600, 64))
    spec = {"kind": "query_transform", "learning_rate": 0.05}
    task = make_task((documents + 2.5 * noise, documents), np.ones(600, int), ("no", "yes"), **spec)
    trained, rows = train(task, lambda _: None), task.splits["validation"].rows
    head, cosine = (
        task.kind.metric(task.manifest)(*task.kind.outcomes(rows, predict(each, rows.inputs[:1]).numpy()))
        for each in (trained.head, make_head(task))
    )

    assert 0 < cosine["recall@1"] < cosine["recall@10"] < 1
    assert all(head[name] >= value for name, value in cosine.items())


def test_a_head_that_is_worse_than_a_baseline_says_so() -> None:
    """The queries of train and validation are rotated, those of test are not."""
    generator = np.random.default_rng(0)
    documents = generator.standard_normal((600, 16))
    queries = documents @ np.linalg.qr(generator.standard_normal((16, 16)))[0]
    queries[480:] = documents[480:]
    evaluation = _trained((queries, documents), np.ones(600, int), ("no", "yes"), kind="query_transform")

    assert evaluation.main.value < _baseline(evaluation, "cosine", "recall@10") == 1
    assert any("worse than the baseline cosine: its recall@10 on test is 0" in each for each in evaluation.warnings)


def test_a_seed_determines_the_weights(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits

    def weights(seed: int) -> torch.Tensor:
        task = make_task((vectors,), labels, DIGITS, kind="mlp", epochs=3, dropout=0.2, seed=seed)
        head = make_head(task)
        fit(head, task.spec, task.splits["train"].rows, task.splits["validation"].rows)
        return torch.cat([parameter.flatten() for parameter in head.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_training_stops_early_and_keeps_the_best_epoch(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    task = make_task((vectors,), labels, DIGITS, kind="mlp", learning_rate=0.05, patience=3, epochs=500)
    head, validation = make_head(task), task.splits["validation"].rows
    history = fit(head, task.spec, task.splits["train"].rows, validation)

    assert len(history.validation) == history.best_epoch + 3 < 500
    assert mean_loss(head, validation) == pytest.approx(min(history.validation), abs=1e-4)


@digits_in_one_process
def test_training_warns_of_too_few_rows(digits: tuple[Any, Any], of_digits: Callable[[str], Evaluation]) -> None:
    vectors, labels = (array[:200] for array in digits)
    few_rows, all_rows = _trained((vectors,), labels, DIGITS), of_digits("linear")

    assert [point.rows for point in few_rows.learning_curve] == [12, 30, 60, 120]
    assert any("Some classes have fewer than 50 rows in train: " in sentence for sentence in few_rows.warnings)
    assert any("The learning curve still rises" in sentence for sentence in few_rows.warnings)
    assert not any("fewer than 50" in sentence for sentence in all_rows.warnings)


def test_a_warning_names_the_ten_classes_with_the_fewest_rows() -> None:
    labels = np.repeat(np.arange(14), np.arange(14) + 3)[np.random.default_rng(0).permutation(133)]
    vectors = np.random.default_rng(0).standard_normal((133, 4)).astype(np.float32)
    evaluation = _trained((vectors,), labels, tuple(f"class-{n:02}" for n in range(14)), epochs=1)
    (warning,) = [sentence for sentence in evaluation.warnings if "fewer than 50" in sentence]

    assert warning.endswith(" and 4 more.")
    assert "class-00" in warning
    assert "class-13" not in warning
    assert warning.count("class-") == 10


def test_an_evaluation_adds_up_and_names_rows_by_id(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    wrong = labels.copy()
    swapped = np.arange(0, 100, 10)
    wrong[swapped] = (wrong[swapped] + 1) % 10
    evaluation = _trained((vectors,), wrong, DIGITS)

    test = evaluation.rows["test"]
    assert sum(map(sum, evaluation.confusion)) == sum(part.rows for part in evaluation.calibration) == test
    correct = sum(row[index] for index, row in enumerate(evaluation.confusion))
    assert correct / test == pytest.approx(evaluation.main.value)
    assert len(evaluation.mistakes) == test - correct
    assert {part.of for part in evaluation.slices} == {"month"}
    assert sum(part.rows for part in evaluation.slices) == test
    assert {suspect.event_id for suspect in evaluation.suspects} >= {f"e-{index}" for index in swapped[:8]}
    for metric in evaluation.measures:
        assert metric.low <= metric.value <= metric.high


def test_a_linear_head_has_no_hidden_layers() -> None:
    with pytest.raises(ValueError, match="hidden belongs to kinds mlp and pair"):
        make_task((np.ones((10, 2)),), np.ones(10), kind="linear", hidden=(3,))
