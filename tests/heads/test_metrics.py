"""Measures are those of scikit-learn, and intervals hold what they are said to hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from rawless.heads import metrics as measures
from rawless.heads.metrics import Metric, bootstrap


def _answers(seed: int, rows: int, classes: int) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, classes, rows)
    logits = chance.normal(size=(rows, classes)).round(1) + 2 * (labels[:, None] == np.arange(classes))
    odds = np.exp(logits)
    return labels, (odds / odds.sum(1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 2**16), st.integers(30, 200), st.integers(2, 6))
def test_measures_of_classes_are_those_of_scikit_learn(seed: int, rows: int, classes: int) -> None:
    labels, probabilities = _answers(seed, rows, classes)
    found = measures.classification_metrics(labels, probabilities)
    predicted, places = probabilities.argmax(1), [c for c in range(classes) if 0 < (labels == c).sum() < rows]

    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found["roc_auc"] == pytest.approx(
        np.mean([metrics.roc_auc_score(labels == place, probabilities[:, place]) for place in places])
    )
    whole = probabilities.astype(float) / probabilities.astype(float).sum(1, keepdims=True)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, whole, labels=list(range(classes))), abs=1e-5)
    assert 0 <= found["calibration_error"] <= 1


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=50))
def test_measures_of_numbers_are_those_of_scikit_learn(told: list[tuple[float, float]]) -> None:
    labels, values = (np.array(each) for each in zip(*told, strict=True))
    found = measures.regression_metrics(labels, values)

    if np.var(labels) > 1e-6:
        assert found["r2"] == pytest.approx(metrics.r2_score(labels, values))
    assert found["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(labels, values))


def test_a_score_is_the_probability_of_the_second_of_two_classes() -> None:
    labels, probabilities = _answers(0, 100, 2)

    expected = measures.classification_metrics(labels, probabilities)
    assert measures.classification_metrics(labels, probabilities[:, 1]) == pytest.approx(expected)


def test_one_class_alone_has_no_roc_auc() -> None:
    labels, probabilities = np.zeros(10, int), np.full((10, 2), 0.5)

    assert np.isnan(measures.classification_metrics(labels, probabilities)["roc_auc"])
    results = bootstrap(measures.classification_metrics, labels, probabilities, seed=0)
    (auc,) = [metric for metric in results if metric.name == "roc_auc"]
    assert np.isnan(auc.value)
    assert str(auc) == "undefined"


def test_a_measure_reads_as_a_value_with_its_interval() -> None:
    assert str(Metric("accuracy", 0.9486, 0.913, 0.978)) == "0.949 (0.913 to 0.978)"


def test_ranks_give_recall_and_ndcg() -> None:
    found = measures.ranking_metrics(np.array([0, 1, 9, 10]))

    assert (found["recall@1"], found["recall@10"]) == (0.25, 0.75)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 4)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of 100 samples of a head that is right in 80% of all cases."""
    held = 0
    for seed in range(100):
        labels = np.zeros(200, int)
        right = np.random.default_rng(seed).random(200) < 0.8
        probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        (found,) = bootstrap(lambda y, p: {"accuracy": measures.accuracy(y, p)}, labels, probabilities, seed=seed)
        held += found.low <= 0.8 <= found.high

    assert 88 <= held <= 100
