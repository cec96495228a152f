"""The map is deterministic, samples large snapshots, and keeps similar rows together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from rawless.datasets.snapshots import SCHEMA
from rawless.report.projection import MIN_ROWS_FOR_UMAP, points, project, sample
from tests.report.conftest import AT, manifest_of


def _batches(numbers: Sequence[int], size: int, **fields: Any) -> list[pa.RecordBatch]:
    rows = [
        dict.fromkeys(SCHEMA.names) | {
            "event_id": f"e-{n}", "label": "cat", "split": "train", "encoder_fingerprint": "f" * 64, "occurred_at": AT,
            "stream": "upload", "embedding": [float(n), 1.0, -n], "right_embedding": [], "attributes": [],
        } | fields
        for n in numbers
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA).to_batches(max_chunksize=size)


def test_the_same_rows_are_sampled_in_any_order_and_batches() -> None:
    one, total = sample(_batches(range(1000), 1000), 50)
    other, _ = sample(_batches(range(999, -1, -1), 33), 50)
    seeded, _ = sample(_batches(range(1000), 100), 50, seed=1)

    assert (len(one), total) == (50, 1000)
    assert one["event_id"].to_pylist() == other["event_id"].to_pylist()
    assert set(one["event_id"].to_pylist()) != set(seeded["event_id"].to_pylist())
    assert 300 < np.mean([int(each[2:]) for each in one["event_id"].to_pylist()]) < 700


def test_few_rows_have_only_pca_and_no_rows_have_no_map() -> None:
    few = points(manifest_of(), _batches(range(MIN_ROWS_FOR_UMAP - 1), 100))
    one = points(manifest_of(), _batches(range(1), 100))

    assert [each.name for each in few.projections] == ["PCA"]
    assert one.projections[0].positions.shape == (1, 2)
    assert points(manifest_of(), []).projections == ()


def test_equal_vectors_have_a_map() -> None:
    found = project(np.ones((40, 4)))

    assert [each.name for each in found] == ["UMAP", "PCA"]
    assert all(each.positions.shape == (40, 2) and np.isfinite(each.positions).all() for each in found)


def test_pairs_are_projected_by_their_left_vector() -> None:
    pair = {"event_id": None, "left_event_id": "a", "right_event_id": "b", "right_embedding": [9.0, 9.0, 9.0]}
    pairs, singles = (
        points(manifest_of(), _batches(range(12), 9, **pair)),
        points(manifest_of(), _batches(range(12), 9)),
    )

    assert set(pairs.ids) == {"a/b"}
    assert np.ptp(pairs.projections[0].positions[:, 0]) == pytest.approx(np.ptp(singles.projections[0].positions[:, 0]))


def test_similar_rows_are_near_each_other_and_the_map_is_reproducible() -> None:
    vectors, labels = load_digits(n_class=5, return_X_y=True)
    umap, pca = project(vectors[:300])

    for projection, least in ((umap, 0.9), (pca, 0.6)):
        near = KNeighborsClassifier(5).fit(projection.positions[:200], labels[:200])
        assert near.score(projection.positions[200:], labels[200:300]) > least
    np.testing.assert_array_equal(umap.positions, project(vectors[:300])[0].positions)
    assert "15 each" in umap.note
