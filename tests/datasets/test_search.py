"""Search: the nearest rows of a snapshot, compared with an exact search by numpy."""

from datetime import timedelta

import numpy as np
import pytest

from rawless.datasets.search import Neighbour, nearest
from rawless.datasets.snapshots import Manifest, find
from rawless.errors import UserError
from tests.shop import AS_OF, Shop


def _by_hand(shop: Shop, manifest: Manifest, event_id: str, split: str | None) -> list[tuple[str, float]]:
    rows = shop.rows(manifest.snapshot_id)
    asked = np.array(rows[event_id]["embedding"])
    cosines = {
        name: float(asked @ (other := np.array(row["embedding"])) / np.linalg.norm(asked) / np.linalg.norm(other))
        for name, row in rows.items()
        if name != event_id and split in (None, row["split"])
    }
    return sorted(cosines.items(), key=lambda each: -each[1])


@pytest.mark.parametrize("split", [None, "train"])
def test_the_nearest_rows_are_ranked_by_exact_cosine(shop: Shop, split: str | None) -> None:
    manifest = shop.build().manifest
    found = nearest(shop.warehouse, manifest, "e-5", 7, split)  # type: ignore[arg-type]
    wanted = _by_hand(shop, manifest, "e-5", split)[:7]

    assert [each.event_id for each in found] == [name for name, _ in wanted]
    assert [each.cosine for each in found] == pytest.approx([cosine for _, cosine in wanted], abs=1e-9)


def test_only_rows_of_the_snapshot_are_found_with_their_labels(shop: Shop) -> None:
    manifest = shop.build().manifest
    shop.build(rules=[])  # a snapshot with more rows
    found = nearest(shop.warehouse, manifest, "e-5", 1000)

    assert len(found) == manifest.rows - 1
    rows = shop.rows(manifest.snapshot_id)
    for each in found:
        row = rows[each.event_id]
        assert each == Neighbour(each.event_id, row["label"], None, row["split"], each.cosine)


def test_a_zero_vector_is_near_to_nothing(shop: Shop) -> None:
    shop.upload(range(5, 6), embedding=np.zeros(8, np.float32), logged_at=AS_OF - timedelta(days=90))
    manifest = shop.build().manifest

    assert shop.rows(manifest.snapshot_id)["e-5"]["embedding"] == [0.0] * 8
    assert nearest(shop.warehouse, manifest, "e-5", 5) == []
    assert "e-5" not in {each.event_id for each in nearest(shop.warehouse, manifest, "e-6", 1000)}


def test_an_impossible_search_is_refused_in_one_sentence(shop: Shop) -> None:
    manifest = shop.build().manifest

    with pytest.raises(UserError, match="The event 'e-999' is not in the snapshot"):
        nearest(shop.warehouse, manifest, "e-999", 5)
    with pytest.raises(UserError, match="must be from 1 to 1,000"):
        nearest(shop.warehouse, manifest, "e-5", 0)
    with pytest.raises(UserError, match="no snapshot and no dataset 'nothing'"):
        find(shop.warehouse, "nothing")


def test_an_event_that_a_rule_removed_is_not_in_the_snapshot(shop: Shop) -> None:
    manifest = shop.build().manifest

    with pytest.raises(UserError, match="is not in the snapshot"):
        nearest(shop.warehouse, manifest, "e-3", 5)  # of person-3, who closed the account
