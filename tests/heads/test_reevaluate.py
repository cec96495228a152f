"""A head is judged only on rows that it has not seen, whatever snapshot they are in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads.examples import open_task
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.reevaluate import reevaluate
from rawless.heads.session import HeadSession
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from tests.shop import EVENTS, Shop


def make_session(shop: Shop, snapshot: Manifest, version: int = 1, **spec: Any) -> HeadSession:
    """Train a head for one epoch and open it."""
    fields = {"head": "topic", "snapshot": snapshot.snapshot_id, "kind": "linear", "epochs": 1} | spec
    trained = train(open_task(shop.warehouse, head_spec(fields), snapshot), lambda _: None)
    graph, domain = graphs_of(trained)
    return HeadSession(manifest_of(trained, version).sealed(graph, domain), graph, domain)


def by_hash(salt: str, test: float) -> dict[str, Any]:
    """Return a split by person with a share of test."""
    return {"by": "person", "train": 0.8 - test, "validation": 0.2, "test": test, "salt": salt}


@pytest.mark.parametrize("identity", ["person_key", "event_id"])
def test_rows_that_the_head_was_trained_on_are_left_out_and_counted(shop: Shop, identity: str) -> None:
    if identity == "event_id":
        shop.upload(range(EVENTS), stream="anonymous", subject_key=None, subject_key_id=None)
    fields: dict[str, Any] = {"stream": "anonymous", "rules": None} if identity == "event_id" else {}
    newer = {"rules": [{"occurred_within": {"days": 30}}]}  # half of each person's events
    own = shop.build(**(fields or newer)).manifest
    other = shop.build(**fields, split=by_hash("other", 0.6)).manifest
    head = make_session(shop, own)
    seen = {row[identity] for row in shop.rows(own.snapshot_id).values() if row["split"] != "test"}
    test = [row for row in shop.rows(other.snapshot_id).values() if row["split"] == "test"]
    unseen = [row for row in test if row[identity] not in seen]
    vectors = np.array([row["embedding"] for row in unseen], np.float32)
    correct = [
        head.manifest.classes[answer] == row["label"]
        for answer, row in zip(head.answer(embedding=vectors)["probabilities"].argmax(1), unseen, strict=True)
    ]

    result = reevaluate(shop.warehouse, head, other)

    assert 10 <= len(unseen) < len(test)
    assert (result.rows, result.left_out) == (len(unseen), len(test) - len(unseen))
    assert result.metrics[0].value == pytest.approx(np.mean(correct))
    assert reevaluate(shop.warehouse, head, own).left_out == 0


def test_a_snapshot_with_too_few_unseen_rows_is_refused(shop: Shop, build_pairs: Callable[..., Manifest]) -> None:
    own, other = build_pairs(), build_pairs(split=by_hash("other", 0.6))
    head = make_session(shop, own, kind="query_transform")

    with pytest.raises(UserError, match=r"^Only \d of the \d+ test rows of \w+ are of .* but 10 are needed: build"):
        reevaluate(shop.warehouse, head, other)
