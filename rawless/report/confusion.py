"""The confusion matrix of a head as a table that scrolls in its own box, and the pairs of labels it confuses most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from rawless.heads.evaluation import Evaluation

MAX_CLASSES = 100
"""Classes of a matrix at most: those with the most errors, by which the size of the page is bounded."""
MAX_PAIRS = 25
"""Pairs of labels that are listed at most."""
MAX_IN_ORDER = 10
"""Classes up to which a matrix keeps the order of the dataset file."""


class Cell(NamedTuple):
    """The rows with one label and one prediction."""

    rows: int
    share: float
    """Among the rows with the label."""
    description: str


class Line(NamedTuple):
    """A label with its number of rows, and a cell for each prediction; None where there is no row."""

    label: str
    rows: int
    cells: Sequence[Cell | None]


class ConfusedPair(NamedTuple):
    """Rows of a label for which another was predicted."""

    label: str
    predicted: str
    rows: int
    of: int
    """Rows with the label."""
    back: int
    """Rows that are confused the other way round."""


@dataclass(frozen=True)
class ConfusionTable:
    """The confusion matrix of a head."""

    classes: Sequence[str]
    lines: Sequence[Line]
    hidden: int
    """Classes that are left out."""
    is_sorted: bool
    """Whether classes that are confused with each other are beside each other, not in the order of the file."""
    pairs: Sequence[ConfusedPair]
    more_pairs: int
    """Confused pairs that are not listed."""
    correct: int
    rows: int


def confusion_table(evaluation: Evaluation) -> ConfusionTable | None:
    """Return the confusion matrix of a classifier, or None for another head."""
    if not evaluation.confusion:
        return None
    names, matrix = evaluation.classes, np.array(evaluation.confusion, int)
    totals, errors = matrix.sum(1), matrix - np.diag(np.diag(matrix))
    wrong = errors.sum(0) + errors.sum(1)
    kept = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    order = kept if len(names) <= MAX_IN_ORDER else kept[_neighbours(errors[np.ix_(kept, kept)])]
    pairs = sorted(
        (
            ConfusedPair(names[n], names[m], int(errors[n, m]), int(totals[n]), int(errors[m, n]))
            for n, m in np.argwhere(errors).tolist()
        ),
        key=lambda pair: (-pair.rows, -pair.rows / pair.of, pair.label, pair.predicted),
    )
    return ConfusionTable(
        [names[n] for n in order],
        [_line(names, matrix[n], n, order) for n in order],
        len(names) - len(order), len(names) > MAX_IN_ORDER,
        pairs[:MAX_PAIRS], max(len(pairs) - MAX_PAIRS, 0),
        int(np.trace(matrix)), int(totals.sum()),
    )  # fmt: skip


def _line(names: Sequence[str], counts: npt.NDArray[np.int_], label: int, order: npt.NDArray[np.int_]) -> Line:
    total = int(counts.sum())

    def cell(predicted: int) -> Cell | None:
        rows = int(counts[predicted])
        if not rows:
            return None
        text = f"{names[label]}, predicted as {names[predicted]}: {rows:,} of {total:,} rows"
        return Cell(rows, round(rows / total, 3), text)

    return Line(names[label], total, [cell(predicted) for predicted in order.tolist()])


def _neighbours(errors: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    """Return an order in which classes that are confused with each other are near each other.

    It is the order of leaves of a hierarchical clustering in which neighbours are nearest: Bar-Joseph, Gifford and
    Jaakkola, 'Fast optimal leaf ordering for hierarchical clustering' (2001).
    """
    distances = 1.0 / (1 + errors + errors.T)
    np.fill_diagonal(distances, 0)
    leaves: npt.NDArray[np.int_] = leaves_list(linkage(squareform(distances), "average", optimal_ordering=True))
    return leaves
