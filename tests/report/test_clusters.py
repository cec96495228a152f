"""Clusters group rows by their vectors, whatever their labels, and name typical rows."""

import numpy as np
import pytest

from rawless.report.clusters import MAX_CLUSTERS, MIN_ROWS, clusters

CENTRES = np.random.default_rng(0).standard_normal((4, 16))


def _rows(count: int = 120, seed: int = 1) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return rows of four groups of different sizes, their ids and groups."""
    generator = np.random.default_rng(seed)
    groups = generator.permutation(np.repeat(np.arange(4), [count // 2, count // 4, count // 8, count // 8]))
    return CENTRES[groups] + 0.2 * generator.standard_normal((len(groups), 16)), [f"e-{n}" for n in groups], groups


def test_each_group_of_vectors_is_a_cluster_the_largest_first_with_what_it_contains() -> None:
    vectors, _, groups = _rows()
    ids = [f"e-{n}" for n in range(len(groups))]
    found = clusters(vectors, ids, [f"label-{n}" for n in groups])

    assert found is not None
    assert [(each.name, each.rows, each.contents) for each in found.found][:2] == [
        ("cluster 1", 60, "label-0 100%"), ("cluster 2", 30, "label-1 100%"),
    ]  # fmt: skip
    assert {(name, group) for name, group in zip(found.of_rows, groups.tolist(), strict=True)} == {
        (each.name, int(each.contents[6])) for each in found.found
    }
    assert found.silhouette > 0.5
    for each in found.found:
        assert len(each.typical) == 3
        assert {found.of_rows[ids.index(event_id)] for event_id in each.typical} == {each.name}
    assert clusters(vectors, ids, [f"label-{n}" for n in groups]) == found


def test_a_typical_row_is_near_the_middle_of_its_cluster() -> None:
    vectors, _, groups = _rows()
    vectors[np.flatnonzero(groups == 0)[0]] = CENTRES[0]
    found = clusters(vectors, [str(n) for n in range(len(groups))], groups.astype(str).tolist())

    assert found is not None
    assert str(np.flatnonzero(groups == 0)[0]) in found.found[0].typical


@pytest.mark.parametrize("labels", ["one label", "a label for each row", "numbers"])
def test_the_number_of_clusters_is_bounded_whatever_the_labels(labels: str) -> None:
    vectors, ids, groups = _rows(800)
    of_rows = {"one label": ["a"] * 800, "a label for each row": [str(n) for n in range(800)],
               "numbers": [float(n) for n in groups]}  # fmt: skip
    found = clusters(vectors, ids, of_rows[labels])

    assert found is not None
    assert len(found.found) == {"one label": 2, "a label for each row": MAX_CLUSTERS, "numbers": 10}[labels]
    if labels == "numbers":
        assert found.found[0].contents.startswith("mean ")


def test_few_or_equal_rows_have_no_clusters() -> None:
    vectors, ids, _ = _rows()

    assert clusters(vectors[: MIN_ROWS - 1], ids, ["a", "b"] * 15) is None
    assert clusters(np.ones((50, 4)), ids, ["a", "b"] * 25) is None
    assert clusters(np.zeros((50, 4)), ids, ["a", "b"] * 25) is None
    assert clusters(np.ones((50, 1)) * np.arange(1, 51)[:, None], ids, ["a", "b"] * 25) is None
