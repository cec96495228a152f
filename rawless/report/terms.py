"""The words for measures: which way is better, and what each says in a sentence."""

from typing import NamedTuple


class Term(NamedTuple):
    """A measure: whether more of it is better, whether it lies between 0 and 1 or thereabouts, and what it says."""

    is_more_better: bool
    is_share: bool
    says: str


TERMS = {
    "accuracy": Term(True, True, "The share of rows that are told right."),
    "macro_f1": Term(
        True, True, "Precision and recall in one number for each label, averaged, so that rare labels count as much."
    ),
    "roc_auc": Term(
        True, True, "How often a row of a label gets a higher probability for it than a row of another; 0.5 is chance."
    ),
    "log_loss": Term(False, False, "How surprised the probabilities were by what was true; 0 is never."),
    "calibration_error": Term(False, False, "How far confidence and share of right answers are apart, on average."),
    "r2": Term(True, True, "How much of the label's variance is explained; 0 is no better than the mean."),
    "mean_absolute_error": Term(False, False, "How far the answers are off, on average, in the label's unit."),
    "root_mean_squared_error": Term(False, False, "The same with large errors weighing more."),
    "recall@1": Term(True, True, "How often the matching document comes first."),
    "recall@10": Term(True, True, "How often the matching document is among the first ten."),
    "ndcg@10": Term(True, True, "Like recall@10, and the higher up the better."),
}
BASELINES = {
    "majority": "answers the labels' shares in train, whatever the row",
    "nearest_centroid": "takes the label whose mean embedding is nearest",
    "cosine": "compares the two embeddings as they are",
    "mean": "answers the mean label of train, whatever the row",
}


def words(name: str) -> str:
    """A measure's or baseline's name as people write it."""
    return name.replace("_", " ")
