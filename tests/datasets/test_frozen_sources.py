"""Sources without a known time: a copy of the columns that SQL names is kept, so the snapshot can be rebuilt."""

from typing import Any

import pytest

from rawless.datasets.verify import verify
from rawless.errors import UserError
from tests.shop import Shop

RULE = """/*
says: Keeps persons of a plan.
without_subject: drop
parameters:
  plan: {type: string}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
INNER JOIN customer ON event.person_key = customer.person_key
WHERE customer.plan = @plan
"""
SOURCES = [{"table": "confirmed", "known_at": "confirmed_at"}, {"table": "customer", "mutable": "copy"}]


@pytest.fixture
def customer_spec(shop: Shop) -> dict[str, Any]:
    """A table of customers as they are now, of which a rule reads one column."""
    (shop.folder / "rules").mkdir()
    (shop.folder / "rules" / "on_plan.sql").write_text(RULE)
    persons = [f"person-{number}" for number in range(40)]
    plans = ["free" if number % 3 else "gold" for number in range(40)]
    shop.load("customer", {"subject_key": persons, "plan": plans, "full_name": [f"Anna {name}" for name in persons]})
    return {"sources": SOURCES, "rules": [{"on_plan": {"plan": "gold"}}]}


def _copies(shop: Shop) -> list[str]:
    tables = shop.warehouse.client.list_tables(shop.warehouse.dataset_id("snapshots"))
    return [each.table_id for each in tables if each.table_id.startswith("copy_")]


def test_the_snapshot_is_rebuilt_from_the_copy_after_the_table_changed(
    shop: Shop, customer_spec: dict[str, Any]
) -> None:
    manifest = shop.build(**customer_spec).manifest
    shop.load("customer", {"subject_key": ["person-1"], "plan": ["gold"], "full_name": ["Eve"]})

    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()
    assert {row["person_key"] for row in shop.rows(manifest.snapshot_id).values()} == {
        f"person-{number}" for number in range(0, 40, 3)
    }
    assert _copies(shop) == [f"copy_{manifest.snapshot_id}_customer"]


def test_only_columns_that_sql_names_are_copied(shop: Shop, customer_spec: dict[str, Any]) -> None:
    manifest = shop.build(**customer_spec).manifest
    copied = f"{shop.warehouse.dataset_id('snapshots')}.copy_{manifest.snapshot_id}_customer"

    assert {field.name for field in shop.warehouse.client.get_table(copied).schema} == {"person_key", "plan"}


def test_a_build_that_fails_leaves_no_copy(shop: Shop, customer_spec: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"require\.min_rows"):
        shop.build(**customer_spec, require={"min_rows": 1000})

    assert _copies(shop) == []


def test_the_next_build_sweeps_a_copy_without_a_manifest(shop: Shop, customer_spec: dict[str, Any]) -> None:
    kept = shop.build(**customer_spec).manifest
    lost = f"{shop.warehouse.dataset_id('snapshots')}.copy_{'0' * 24}_customer"
    shop.warehouse.query(f"CREATE TABLE `{lost}` AS SELECT 1 AS one")
    shop.build()

    assert _copies(shop) == [f"copy_{kept.snapshot_id}_customer"]


def test_a_missing_copy_is_reported(shop: Shop, customer_spec: dict[str, Any]) -> None:
    manifest = shop.build(**customer_spec).manifest
    place = f"{shop.warehouse.dataset_id('snapshots')}.copy_{manifest.snapshot_id}_customer"
    shop.warehouse.client.delete_table(place)

    with pytest.raises(UserError, match=r"The copy of customer that was kept beside the snapshot .* is missing"):
        verify(shop.warehouse, manifest, lambda _: None)
