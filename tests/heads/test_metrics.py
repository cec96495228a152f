"""Metrics agree with scikit-learn, and intervals have their nominal coverage."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics

from rawless.heads import metrics as own_metrics
from rawless.heads.metrics import Metric, bootstrap, resampled


def _answers(seed: int, rows: int, classes: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)).round(1) + 2 * (labels[:, None] == np.arange(classes))
    odds = np.exp(logits)
    return labels, (odds / odds.sum(1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 2**16), st.integers(30, 200), st.integers(2, 6))
def test_classification_metrics_agree_with_scikit_learn(seed: int, rows: int, classes: int) -> None:
    labels, probabilities = _answers(seed, rows, classes)
    result = own_metrics.classification_metrics(labels, probabilities)
    predicted, classes_present = probabilities.argmax(1), [c for c in range(classes) if 0 < (labels == c).sum() < rows]

    assert result["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert result["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert result["roc_auc"] == pytest.approx(
        np.mean([metrics.roc_auc_score(labels == index, probabilities[:, index]) for index in classes_present])
    )
    normalised = probabilities.astype(float) / probabilities.astype(float).sum(1, keepdims=True)
    assert result["log_loss"] == pytest.approx(
        metrics.log_loss(labels, normalised, labels=list(range(classes))), abs=1e-5
    )
    assert 0 <= result["calibration_error_10_bins"] <= 1


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=50))
@example([(0.0, 0.0), (1e-155, 1.0)])  # a variance by which a float cannot be divided
def test_regression_metrics_agree_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    labels, values = (np.array(values) for values in zip(*pairs, strict=True))
    result = own_metrics.regression_metrics(labels, values)

    if np.var(labels) > 1e-6:
        assert result["r2"] == pytest.approx(metrics.r2_score(labels, values))
    assert result["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(labels, values))


def test_a_score_is_the_probability_of_the_second_class() -> None:
    labels, probabilities = _answers(0, 100, 2)

    expected = own_metrics.classification_metrics(labels, probabilities)
    assert own_metrics.classification_metrics(labels, probabilities[:, 1]) == pytest.approx(expected)


def test_roc_auc_of_a_single_class_is_undefined() -> None:
    labels, probabilities = np.zeros(10, int), np.full((10, 2), 0.5)

    assert np.isnan(own_metrics.classification_metrics(labels, probabilities)["roc_auc"])
    results = bootstrap(own_metrics.classification_metrics, labels, probabilities, seed=0)
    (auc,) = [metric for metric in results if metric.name == "roc_auc"]
    assert np.isnan(auc.value)
    assert str(auc) == "undefined"


def test_a_metric_is_printed_as_a_value_with_its_interval() -> None:
    assert str(Metric("accuracy", 0.9486, 0.913, 0.978)) == "0.949 (0.913 to 0.978)"


def test_ranking_metrics_are_recall_and_ndcg() -> None:
    result = own_metrics.ranking_metrics(np.array([0, 1, 9, 10]))

    assert (result["recall@1"], result["recall@10"]) == (0.25, 0.75)
    assert result["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 4)


def test_intervals_contain_the_true_value_in_about_95_percent_of_samples() -> None:
    """For 100 samples of a head with an accuracy of 0.8."""
    covered = 0
    for seed in range(100):
        labels = np.zeros(200, int)
        correct = np.random.default_rng(seed).random(200) < 0.8
        probabilities = np.where(correct[:, None], [0.9, 0.1], [0.1, 0.9])
        (result,) = bootstrap(lambda y, p: {"accuracy": own_metrics.accuracy(y, p)}, labels, probabilities, seed=seed)
        covered += result.low <= 0.8 <= result.high

    assert 88 <= covered <= 100


def test_samples_of_persons_contain_all_rows_of_a_person_and_rows_without_one_are_drawn_alone() -> None:
    persons = ["a", None, "b", "a", None, "b", "b"]
    for rows in resampled(persons, seed=1, samples=20):
        drawn = Counter(rows.tolist())
        assert drawn[0] == drawn[3]
        assert drawn[2] == drawn[5] == drawn[6]
        assert drawn[0] + drawn[1] + drawn[2] + drawn[4] == 4
    alone = next(resampled([None] * 5, seed=3))
    assert alone.tolist() == np.random.default_rng(3).integers(0, 5, 5).tolist()
