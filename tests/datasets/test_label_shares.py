"""A build warns when labels are distributed differently in train and test."""

import pytest
from scipy import stats

from rawless.datasets.label_shares import LEVEL, differing_shares
from rawless.datasets.snapshots import Count
from tests.shop import AS_OF, Shop


def _counts(train: dict[str, int], test: dict[str, int]) -> list[Count]:
    splits = {"train": train, "test": test, "validation": {"yes": 1000}}
    return [Count(split, label, rows) for split, labels in splits.items() for label, rows in labels.items()]


@pytest.mark.parametrize("positives", range(0, 100, 7))
def test_a_share_is_reported_exactly_when_the_chi_squared_test_rejects_it(positives: int) -> None:
    train, test = {"yes": 300, "no": 700}, {"yes": positives, "no": 100 - positives}
    table = [list(train.values()), list(test.values())]
    is_rejected = stats.chi2_contingency(table, correction=False).pvalue < LEVEL / 2

    sentences = list(differing_shares(_counts(train, test)))

    assert len(sentences) == 2 * is_rejected


def test_the_sentence_has_the_numbers() -> None:
    (no, yes) = differing_shares(_counts({"yes": 300, "no": 700}, {"yes": 70, "no": 30}))

    assert yes == (
        "The label yes has 30.0% (300 of 1,000 rows) of train, but 70.0% (70 of 100 rows) of test: by chance they "
        "would differ so much with a probability of 7e-16."
    )
    assert no.startswith("The label no has 70.0% ")


@pytest.mark.parametrize(
    ("train", "test"),
    [({"yes": 300, "no": 700}, {}), ({"yes": 3, "no": 1}, {"no": 12}), ({"": 900}, {"": 100}), ({}, {})],
    ids=["empty test", "few rows", "numbers", "nothing"],
)
def test_what_cannot_be_tested_is_not_reported(train: dict[str, int], test: dict[str, int]) -> None:
    assert list(differing_shares(_counts(train, test))) == []


def test_a_build_warns_of_it(shop: Shop) -> None:
    later = [f"e-{number}" for number in range(60)]
    shop.load(
        "confirmed",
        {
            "event_id": [f"e-{number}" for number in range(120)],
            "value": ["cat"] * len(later) + ["dog", "dog", "cat"] * 20,
            "confirmed_at": [AS_OF] * 120,
        },
    )
    boundaries = {"validation_from": "2026-01-01T12:00:00Z", "test_from": "2026-01-02T00:00:00Z"}

    warnings = shop.build(rules=[], split={"by": "time", **boundaries}).warnings

    assert any("dog has 66.1% (39 of 59 rows) of train, but 0.0% (0 of 60 rows) of test" in each for each in warnings)
