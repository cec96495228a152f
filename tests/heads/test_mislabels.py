"""Wrong labels are found by classifiers that have not seen their rows."""

from typing import Any

import numpy as np
import pytest

from rawless.heads.mislabels import suspected_mislabels
from tests.heads.conftest import make_task

ROWS, CLASSES, WRONG = 1000, 8, 10
NAMES = tuple(f"c{number}" for number in range(CLASSES))


def _planted(seed: int, copies: int = 1) -> tuple[Any, Any, set[str]]:
    """Return text-like vectors, labels of which 1% are wrong, and the ids of those.

    Each vector occurs `copies` times in a row, with little noise and the same label.
    """
    generator, count = np.random.default_rng(seed), ROWS // copies
    labels = generator.integers(0, CLASSES, count)
    vectors = 0.33 * generator.standard_normal((CLASSES, 128))[labels] + generator.standard_normal((count, 128))
    wrong = generator.choice(count, WRONG // copies, replace=False)
    labels[wrong] = (labels[wrong] + generator.integers(1, CLASSES, len(wrong))) % CLASSES
    vectors = vectors.repeat(copies, 0) + 0.01 * generator.standard_normal((ROWS, 128))
    ids = {f"e-{copies * number + copy}" for number in wrong for copy in range(copies)}
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels.repeat(copies), ids


@pytest.mark.parametrize("seed", range(3))
def test_the_most_suspect_rows_are_mislabels(seed: int) -> None:
    vectors, labels, wrong = _planted(seed)
    suspects = suspected_mislabels(make_task((vectors,), labels, NAMES))

    assert len(wrong.intersection(suspect.event_id for suspect in suspects[:WRONG])) >= 8
    assert [suspect.suspicion for suspect in suspects] == sorted((each.suspicion for each in suspects), reverse=True)
    assert all(suspect.label != suspect.suggested for suspect in suspects)


def test_a_person_whose_rows_are_all_wrong_is_not_believed() -> None:
    """The five rows of a person are alike, so that a classifier that has seen four of them learns the wrong label."""
    vectors, labels, wrong = _planted(0, copies=5)
    persons = [f"person-{number // 5}" for number in range(ROWS)]
    suspects = suspected_mislabels(make_task((vectors,), labels, NAMES, persons=persons))

    assert {suspect.event_id for suspect in suspects[:WRONG]} == wrong


def test_few_persons_have_no_suspects() -> None:
    vectors, labels, _ = _planted(0)

    assert suspected_mislabels(make_task((vectors,), labels, NAMES, persons=["one"] * ROWS)) == []
