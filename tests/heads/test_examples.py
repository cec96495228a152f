"""Tasks contain a snapshot's rows by split, with the tenants that occur in train."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.errors import UserError
from rawless.heads.examples import open_task
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from tests.shop import AS_OF, EVENTS, Shop

SPEC = head_spec({"head": "matches", "snapshot": "matches", "kind": "query_transform", "tenant": "channel"})
MIDDLE = (AS_OF - timedelta(days=25)).isoformat()
BY_TIME = {"by": "time", "validation_from": MIDDLE, "test_from": MIDDLE}


@pytest.fixture
def with_channels(shop: Shop, build_pairs: Callable[..., Manifest]) -> Callable[[range], Manifest]:
    """Build pairs, the older ones for train and the newer ones for test; uploads with these numbers have a channel."""

    def build(numbers: range) -> Manifest:
        shop.upload(numbers, stream="chats")
        for others in (range(numbers.start), range(numbers.stop, EVENTS)):
            shop.upload(others, stream="chats", attributes=())
        return build_pairs(stream="chats", split=BY_TIME)

    return build


def test_rows_without_the_attribute_belong_to_the_first_tenant(
    shop: Shop, with_channels: Callable[[range], Manifest]
) -> None:
    task = open_task(shop.warehouse, SPEC, with_channels(range(25, EVENTS)))
    tenants = {split: set(task.splits[split].rows.inputs[3].tolist()) for split in SPLITS}

    test = task.splits["test"]
    numbers = dict(zip(sum(test.events, ()), test.rows.inputs[2].flatten().tolist(), strict=True))
    assert sorted(numbers.values()) == list(range(len({event for pair in test.events for event in pair})))
    assert task.tenants == ("", "chat", "email")
    assert tenants == {"train": {1, 2}, "validation": set(), "test": {0}}
    assert "channel" not in task.splits["test"].facts


def test_a_tenant_attribute_that_train_lacks_is_refused(shop: Shop, with_channels: Callable[[range], Manifest]) -> None:
    with pytest.raises(UserError, match="tenant is channel, but no row of train has that attribute"):
        open_task(shop.warehouse, SPEC, with_channels(range(25)))


@pytest.mark.parametrize("kind", ["linear", "pair"])
def test_a_head_can_be_trained_without_validation_rows(
    shop: Shop, build_pairs: Callable[..., Manifest], kind: str
) -> None:
    spec = head_spec({"head": "topic", "snapshot": "topics", "kind": kind, "epochs": 2})
    snapshot = build_pairs(split=BY_TIME) if kind == "pair" else shop.build(split=BY_TIME).manifest
    evaluation = train(open_task(shop.warehouse, spec, snapshot), lambda _: None).evaluation

    assert evaluation.rows["validation"] == 0
    assert len(evaluation.train_losses) == 2
    assert evaluation.validation_losses == evaluation.learning_curve == ()
    assert "There is no validation split, so training did not stop early." in evaluation.warnings


def test_an_empty_test_split_is_refused(shop: Shop, build_pairs: Callable[..., Manifest]) -> None:
    late = (AS_OF + timedelta(days=1)).isoformat()
    manifest = build_pairs(split={"by": "time", "validation_from": MIDDLE, "test_from": late})

    with pytest.raises(UserError, match=r"The split test of .* is empty: build a dataset that has one"):
        open_task(shop.warehouse, SPEC, manifest)
