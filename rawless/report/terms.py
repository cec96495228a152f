"""Explanations of measures and baselines for readers of a report."""

from typing import NamedTuple

from rawless.heads.metrics import BINS, CALIBRATION_ERROR


class Term(NamedTuple):
    """The explanation of a measure."""

    is_more_better: bool
    is_share: bool
    """Whether its values are between 0 and 1, or nearly so, and can share an axis with other such measures."""
    description: str


TERMS = {
    "accuracy": Term(True, True, "The share of rows that are predicted correctly."),
    "macro_f1": Term(
        True, True, "The harmonic mean of precision and recall, averaged over the labels, so that each counts equally."
    ),
    "roc_auc": Term(
        True,
        True,
        "The probability that a random row of a label is scored higher for it than a random other row; 0.5 is chance.",
    ),
    "log_loss": Term(False, False, "The mean negative logarithm of the probability of the true label; 0 is perfect."),
    CALIBRATION_ERROR: Term(
        False, False, f"The mean difference between confidence and accuracy in {BINS} equal bins of confidence."
    ),
    "r2": Term(True, True, "The share of the label's variance that is explained; 0 is no better than the mean."),
    "mean_absolute_error": Term(False, False, "The mean absolute error, in the label's unit."),
    "root_mean_squared_error": Term(
        False, False, "The square root of the mean squared error, in which large errors weigh more."
    ),
    "recall@1": Term(True, True, "How often the matching document is ranked first."),
    "recall@10": Term(True, True, "How often the matching document is among the first ten."),
    "ndcg@10": Term(True, True, "Like recall@10, but a higher rank of the matching document counts more."),
    "roc_auc_of_distance": Term(
        True, True, "The probability that a random row that is out of scope is farther than a random test row."
    ),
    "roc_auc_of_confidence": Term(
        True, True, "The same for the confidence of the head alone, which is lower for the row that is out of scope."
    ),
    "abstention_out_of_scope": Term(True, True, "The share of the rows out of scope from which the head abstains."),
    "abstention_on_test": Term(False, True, "The share of the test rows from which the head abstains."),
}
BASELINES = {
    "majority": "predicts the label shares of the training rows for every row",
    "nearest_centroid": "predicts the label whose mean embedding is nearest",
    "cosine": "compares embeddings by their cosine; for pairs with the cut that is best on the training rows",
    "mean": "predicts the mean label of the training rows for every row",
    "without_features": "is the same kind of head, trained on the embeddings alone",
}


def display_name(name: str) -> str:
    """Return the name of a measure or baseline as it is shown to readers."""
    return name.replace("_", " ")
