"""Sources without a known time: a copy of the columns that SQL names is kept, so the snapshot can be rebuilt.

A copy contains no free text, and lies where the readers of snapshots cannot read.
"""

import re
from datetime import timedelta
from typing import Any

import pytest

from rawless.datasets.compile import compile_dataset
from rawless.datasets.plan import plan
from rawless.datasets.verify import verify
from rawless.errors import UserError
from tests.shop import Shop

RULE = """/*
says: Keeps persons of a plan.
without_subject: drop
parameters:
  plan: {type: string, values: [free, gold]}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
INNER JOIN customer ON event.person_key = customer.person_key
WHERE customer.plan = @plan
"""
CONFIRMED = {"table": "confirmed", "known_at": "confirmed_at"}
CUSTOMER = {"table": "customer", "mutable": "copy"}
SOURCES = [CONFIRMED, CUSTOMER | {"values": {"plan": ["free", "gold"]}}]
MESSAGE = "Please close my account, Anna"


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
    tables = shop.warehouse.client.list_tables(shop.warehouse.dataset_id("builds"))
    return [each.table_id for each in tables if each.table_id.startswith("copy_")]


def _replace_customers(shop: Shop, columns: dict[str, Any]) -> None:
    """Replace the table by one with other columns."""
    shop.warehouse.client.delete_table(f"{shop.warehouse.dataset_id('events')}.customer")
    shop.load("customer", columns)


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


def test_the_dataset_of_snapshots_contains_no_copy_and_no_working_table(
    shop: Shop, customer_spec: dict[str, Any]
) -> None:
    places: list[list[str]] = []

    def look(_: str) -> None:
        tables = shop.warehouse.client.list_tables(shop.warehouse.dataset_id("snapshots"))
        places.append([each.table_id for each in tables if not re.match(r"\w+_v1|dataset_|snapshot_", each.table_id)])

    shop.build(look, **customer_spec)
    look("after the build")

    assert len(places) > 3
    assert not any(places)


REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("full_name", {}, "declare its values, as in values: {full_name: [a, b]}"),
    ("tags", {}, "has tags as REPEATED STRING, which a copy may not contain"),
    ("age", {"age": ["old"]}, "has values for age, which is no STRING column of it"),
    ("age", {"nothing": ["a"]}, "has values for nothing, which is no STRING column of it"),
)


def test_a_column_that_may_be_free_text_is_refused_before_a_table_is_made(
    shop: Shop, customer_spec: dict[str, Any]
) -> None:
    row = {"subject_key": ["person-1"], "plan": ["gold"], "full_name": [MESSAGE], "tags": [[MESSAGE]], "age": [40]}
    _replace_customers(shop, row)
    for column, values, words in REFUSED:
        (shop.folder / "rules" / "on_plan.sql").write_text(
            RULE.replace("WHERE", f"WHERE customer.{column} IS NULL AND")
        )
        source = CUSTOMER | {"values": {"plan": ["free", "gold"], **values}}
        fields = customer_spec | {"sources": [CONFIRMED, source]}
        with pytest.raises(UserError, match="customer") as planned:
            plan(compile_dataset(shop.warehouse, shop.dataset(**fields)), timedelta(0))
        with pytest.raises(UserError) as built:
            shop.build(**fields)

        assert words in str(planned.value)
        assert str(planned.value) == str(built.value)
        assert len(str(built.value).splitlines()) == 1
    assert _copies(shop) == []


def test_a_text_outside_of_its_list_fails_the_build_with_a_count_and_is_never_stored(
    shop: Shop, customer_spec: dict[str, Any]
) -> None:
    (shop.folder / "rules" / "on_plan.sql").write_text(
        RULE.replace("WHERE", "WHERE customer.last_event_id IS NOT NULL AND")
    )
    rows = [{"subject_key": f"person-{number}", "plan": "gold", "last_event_id": "e-1"} for number in range(3)]
    rows.append({"subject_key": None, "plan": None, "last_event_id": None})
    for column, words in (
        ("plan", "1 values of plan in the source customer are not in its list of values"),
        ("last_event_id", "1 values of last_event_id in the source customer are not ids"),
        ("subject_key", "1 values of person_key in the source customer are not pseudonyms"),
    ):
        with_text = [*rows, rows[0] | {column: MESSAGE}]
        _replace_customers(shop, {name: [row[name] for row in with_text] for name in rows[0]})
        with pytest.raises(UserError) as raised:
            shop.build(**customer_spec)

        assert words in str(raised.value)
        assert "Anna" not in str(raised.value)
    assert _copies(shop) == []


def test_a_table_of_customers_is_rebuilt_without_their_ids(shop: Shop, customer_spec: dict[str, Any]) -> None:
    _replace_customers(shop, {"number": [f"c-{each}" for each in range(40)], "plan": ["gold"] * 40})
    subjects = ", ".join(f"('c-{each}', 'person-{each}', 'k1', 'person-{each}')" for each in range(40))
    shop.warehouse.query(
        f"INSERT INTO `{shop.warehouse.table_id('subject_map_v1')}` "
        f"(customer_id, subject_key, subject_key_id, person_key) VALUES {subjects}"
    )
    sources = [CONFIRMED, SOURCES[1] | {"customer": "number"}]
    manifest = shop.build(**customer_spec | {"sources": sources}).manifest

    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()


def test_only_columns_that_sql_names_are_copied(shop: Shop, customer_spec: dict[str, Any]) -> None:
    manifest = shop.build(**customer_spec).manifest
    copied = f"{shop.warehouse.dataset_id('builds')}.copy_{manifest.snapshot_id}_customer"

    assert {field.name for field in shop.warehouse.client.get_table(copied).schema} == {"person_key", "plan"}


def test_a_build_that_fails_leaves_no_copy(shop: Shop, customer_spec: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"require\.min_rows"):
        shop.build(**customer_spec, require={"min_rows": 1000})

    assert _copies(shop) == []


def test_the_next_build_sweeps_a_copy_without_a_manifest(shop: Shop, customer_spec: dict[str, Any]) -> None:
    kept = shop.build(**customer_spec).manifest
    lost = f"{shop.warehouse.dataset_id('builds')}.copy_{'0' * 24}_customer"
    shop.warehouse.query(f"CREATE TABLE `{lost}` AS SELECT 1 AS one")
    shop.build()

    assert _copies(shop) == [f"copy_{kept.snapshot_id}_customer"]


def test_a_missing_copy_is_reported(shop: Shop, customer_spec: dict[str, Any]) -> None:
    manifest = shop.build(**customer_spec).manifest
    place = f"{shop.warehouse.dataset_id('builds')}.copy_{manifest.snapshot_id}_customer"
    shop.warehouse.client.delete_table(place)

    with pytest.raises(UserError, match=r"The copy of customer that was kept beside the snapshot .* is missing"):
        verify(shop.warehouse, manifest, lambda _: None)
