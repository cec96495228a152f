"""What a migration costs, and which heads pass, are trained again, or block it."""

from dataclasses import replace
from pathlib import Path

import pytest

from rawless.datasets.cost import row_bytes
from rawless.errors import UserError
from rawless.heads.deployment import deploy
from rawless.lifecycle.migration_plan import HeadPlan, MigrationPlan, Question, plan_migration
from tests.drawn_heads import write_head
from tests.lifecycle.test_head_changes import FIRST, ROTATED, ROTATION, SHORT, upload
from tests.lifecycle.test_head_changes import shop as shop
from tests.shop import EVENTS, Shop

FEW = FIRST.model_copy(update={"version": "1.0.4", "training_domain": "few"})
NONE = FIRST.model_copy(update={"version": "1.0.3", "training_domain": "none"})


@pytest.fixture
def asked(shop: Shop, tmp_path: Path) -> Question:
    return Question("upload", FIRST, FEW, tmp_path, shop.folder)


def planned(shop: Shop, asked: Question) -> tuple[MigrationPlan, HeadPlan]:
    plan = plan_migration(shop.warehouse, asked)
    (head,) = plan.heads
    return plan, head


def test_a_head_blocks_until_enough_labelled_events_have_both_vectors(shop: Shop, asked: Question) -> None:
    upload(shop, FEW, lambda vector: vector @ ROTATION, range(30))

    plan, head = planned(shop, asked)

    assert (plan.events, plan.both_events, plan.is_measured) == (EVENTS, 30, True)
    assert plan.events_per_day == pytest.approx(2.0)
    assert (head.verdict, head.labelled) == ("block", 30)
    assert head.needed
    assert head.days
    assert (head.needed - 30) / 2 <= head.days <= (head.needed - 25) / 2
    assert f"Too few labels: {head.days} days of logging both, or an adapter" in head.reason
    assert (plan.days, plan.rows, plan.size) == (head.days, 2 * head.days, 2 * head.days * row_bytes(8))
    assert plan.adapter_days is None  # more than a year
    assert plan.worker_hours is None

    given, slow = planned(shop, replace(asked, days=10, events_per_day=1_000_000, worker_rate=100))
    assert given.adapter_days == 1
    assert (given.rows, given.size, slow.days) == (10_000_000, 10_000_000 * row_bytes(8), 1)
    assert given.storage_dollars == pytest.approx(given.size / 2**30 * 0.02)
    assert given.worker_hours == pytest.approx(10_000_000 / 100 / 3600)
    assert planned(shop, replace(asked, events_per_day=0.01))[1].days is None


def test_a_head_passes_or_is_trained_again_where_that_is_enough(shop: Shop, asked: Question) -> None:
    refit = planned(shop, replace(asked, second=SHORT))[1]
    assert (refit.verdict, refit.days) == ("refit", 0)
    assert refit.reason == "Train it on a snapshot of minilm@2.0.0."
    rotated = planned(shop, replace(asked, second=ROTATED))[1]
    assert rotated.verdict == "refit"
    loose = planned(shop, replace(asked, second=ROTATED, margin=1.0))[1]
    assert loose.verdict == "pass"
    assert loose.reason.startswith("Unchanged it loses at most 0.")

    write_head(asked.heads, "pet", 2, SHORT)
    deploy(asked.heads, "pet", 2)
    deployed = planned(shop, replace(asked, second=SHORT))[1]
    assert (deployed.head, deployed.verdict, deployed.reason) == (
        "pet@1", "pass", "Version 2 for minilm@2.0.0 is deployed.",
    )  # fmt: skip


def test_a_stream_without_events_of_the_first_encoder_has_no_plan(shop: Shop, asked: Question) -> None:
    with pytest.raises(UserError, match=r"upload has no rows of minilm@1\.0\.3"):
        plan_migration(shop.warehouse, replace(asked, first=NONE))
