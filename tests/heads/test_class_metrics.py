"""Metrics of classes agree with scikit-learn, their intervals cover, and stored curves are near the whole ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from rawless.heads.class_metrics import MAX_CURVE_POINTS, class_curves, class_measures, share


def _answers(seed: int, rows: int, classes: int, decimals: int = 3) -> tuple[Any, Any]:
    """Return labels, and probabilities of which some are equal."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    odds = np.exp(generator.normal(size=(rows, classes)) + 1.5 * (labels[:, None] == np.arange(classes)))
    return labels, (odds / odds.sum(1, keepdims=True)).round(decimals)


@given(st.integers(0, 2**16), st.integers(10, 200), st.integers(2, 6))
@settings(max_examples=30)
def test_they_agree_with_scikit_learn(seed: int, rows: int, classes: int) -> None:
    labels, probabilities = _answers(seed, rows, classes, decimals=2)
    predicted, names = probabilities.argmax(1), [f"c{n}" for n in range(classes)]
    confusion = metrics.confusion_matrix(labels, predicted, labels=range(classes))
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=np.nan)

    found = class_measures(names, confusion)
    curves = {curve.name: curve for curve in class_curves(names, labels, probabilities)}

    for n, each in enumerate(found):
        precision, recall, f1, support = (values[n] for values in expected)
        assert each.precision.value == pytest.approx(precision, nan_ok=True)
        assert each.recall.value == pytest.approx(recall, nan_ok=True)
        assert each.f1.value == pytest.approx(f1, nan_ok=True)
        assert each.rows == support
        truth, scores = labels == n, probabilities[:, n]
        assert (each.name in curves) == (0 < support < rows)
        if curve := curves.get(each.name):
            assert curve.roc_auc.value == pytest.approx(metrics.roc_auc_score(truth, scores))
            assert curve.average_precision.value == pytest.approx(metrics.average_precision_score(truth, scores))
        for measure in (each.precision, each.recall, each.f1, *((curve.roc_auc,) if curve else ())):
            assert np.isnan(measure.value) or 0 <= measure.low <= measure.value <= measure.high <= 1


def _distance(whole: tuple[Any, Any], stored: list[tuple[float, float]]) -> float:
    """Return the largest distance of points of a whole curve, in a coordinate, from the line through stored points."""
    places = np.linspace(0, len(stored) - 1, 20 * len(stored))
    x, y = (np.interp(places, np.arange(len(stored)), values) for values in np.array(stored).T)
    points = np.array(whole).T[::20]
    return float(np.maximum(np.abs(points[:, :1] - x), np.abs(points[:, 1:] - y)).min(1).max())


def test_a_stored_curve_has_few_points_and_is_within_its_stated_error_of_the_whole_one() -> None:
    labels, probabilities = _answers(1, 20_000, 3, decimals=6)
    (curve, *_) = class_curves(["a", "b", "c"], labels, probabilities)
    truth, scores = labels == 0, probabilities[:, 0]
    false_rate, true_rate, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)

    assert len(curve.true_positives) <= MAX_CURVE_POINTS
    assert 0 < curve.error < 0.02
    assert _distance((false_rate, true_rate), curve.roc()) <= curve.error + 0.002
    assert _distance((recall[:-1], precision[:-1]), curve.precision_recall()) <= curve.error + 0.002
    assert (curve.true_positives[-1], curve.false_positives[-1]) == (truth.sum(), (~truth).sum())


def test_a_class_whose_rows_are_all_right_has_an_interval_that_says_how_few_they_are() -> None:
    few, many = (class_measures(["a", "b"], [[count, 0], [0, count]])[0] for count in (4, 400))

    assert few.recall.value == few.f1.value == many.recall.value == few.recall.high == 1
    assert few.recall.low == pytest.approx(0.5101, abs=1e-4)  # 4 / (4 + 1.96 squared)
    assert many.recall.low > 0.99
    perfect = next(class_curves(["a", "b"], np.array([0, 0, 1, 1]), np.array([[1, 0], [0.9, 0.1], [0.2, 0.8], [0, 1]])))
    assert perfect.roc_auc.value == perfect.roc_auc.high == 1
    assert 0.2 < perfect.roc_auc.low < 0.7


def test_intervals_contain_the_true_value_in_about_95_percent_of_samples() -> None:
    """For samples of 30 rows of a class with a recall of 0.9 and an area of 0.76 of two normal distributions."""
    covered = {"recall": 0, "roc_auc": 0}
    for seed in range(150):
        generator = np.random.default_rng(seed)
        recall = share("recall", int((generator.random(30) < 0.9).sum()), 30)
        scores = np.r_[generator.normal(1, 1, 30), generator.normal(0, 1, 60)]
        labels = np.r_[np.zeros(30, int), np.ones(60, int)]
        (curve, _) = class_curves(["a", "b"], labels, np.stack((scores, -scores), axis=1))
        covered["recall"] += recall.low <= 0.9 <= recall.high
        covered["roc_auc"] += curve.roc_auc.low <= 0.7602 <= curve.roc_auc.high

    assert all(0.9 * 150 <= count <= 0.99 * 150 for count in covered.values()), covered
