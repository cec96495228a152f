"""Compare the shares of the labels in train and test: where they differ by more than chance, the split is suspect."""

import math
from collections.abc import Iterator, Sequence

from rawless.datasets.snapshots import Count
from rawless.datasets.spec import Split

LEVEL = 0.001
"""The probability with which a snapshot whose labels do not depend on the split is reported."""
_LEAST_EXPECTED = 5
"""Rows of a label expected in either split; with fewer the test does not hold."""


def differing_shares(counts: Sequence[Count]) -> Iterator[str]:
    """Yield a sentence for each label whose share of test differs from that of train, by the two-proportion z-test.

    The test takes rows as independent. Its level is divided by the number of labels.
    """
    train, test = (
        {each.label: each.row_count for each in counts if each.split == split} for split in ("train", "test")
    )
    labels = sorted(train.keys() | test.keys())
    for label in labels if len(labels) > 1 else ():
        probability = _probability(train.get(label, 0), sum(train.values()), test.get(label, 0), sum(test.values()))
        if probability < LEVEL / len(labels):
            yield (
                f"The label {label} has {_share(train, label)} of train, but {_share(test, label)} of test: by chance "
                f"they would differ so much with a probability of {probability:.1g}."
            )


def _rows(counts: Sequence[Count], split: Split) -> dict[str, int]:
    return {each.label: each.row_count for each in counts if each.split == split}


def _probability(first: int, of_first: int, second: int, of_second: int) -> float:
    """Return the probability of shares that differ at least as much, if both are drawn alike."""
    share = (first + second) / (of_first + of_second)
    if min(of_first, of_second) * min(share, 1 - share) < _LEAST_EXPECTED:
        return 1.0
    error = math.sqrt(share * (1 - share) * (1 / of_first + 1 / of_second))
    return math.erfc(abs(first / of_first - second / of_second) / error / math.sqrt(2))


def _share(counts: dict[str, int], label: str) -> str:
    rows, total = counts.get(label, 0), sum(counts.values())
    return f"{rows / total:.1%} ({rows:,} of {total:,} rows)"
