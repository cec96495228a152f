"""Features: the latest row that was known when the event occurred, compared with a plain Python join."""

import math
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawless.datasets import sources
from rawless.datasets.compile import compile_dataset
from rawless.datasets.export import export
from rawless.datasets.plan import plan
from rawless.datasets.row_digest import digest
from rawless.datasets.verify import verify
from rawless.errors import UserError
from rawless.heads.readers import frame
from tests.shop import AS_OF, Shop

BALANCE = {
    "table": "account_balance", "value": "amount", "known_at": "updated_at", "max_age": "6h",
    "type": "number", "range": [0, 20], "step": 1,
}  # fmt: skip
PLAN = {"table": "account_plan", "value": "plan", "known_at": "booked_at", "classes": ["free", "gold"]}
_PERSONS = st.one_of(st.none(), st.sampled_from("abcdefgh"))
_HOURS = st.integers(0, 12)
_ROW = st.tuples(_PERSONS, _HOURS, st.one_of(st.none(), st.integers(18, 22)))


def _hour(hour: int) -> datetime:
    return AS_OF - timedelta(days=1) + timedelta(hours=hour)


def _join(rows: list[tuple[str | None, int, int | None]], person: str | None, hour: int) -> int | None:
    """Return the balance of a person at an hour."""
    known = [at for owner, at, _ in rows if owner == person and person and at <= hour]
    if not known or max(known) < hour - 6:
        return None
    values = {
        None if value is None or value > 20 else value
        for owner, at, value in rows
        if (owner, at) == (person, max(known))
    }
    return values.pop() if len(values) == 1 else None


@given(st.lists(st.tuples(_PERSONS, _HOURS), min_size=40, max_size=80), st.lists(_ROW, min_size=20, max_size=60))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_features_and_sources_at_the_event_are_those_of_a_plain_join(
    shop: Shop, events: list[tuple[str | None, int]], rows: list[tuple[str | None, int, int | None]]
) -> None:
    persons, hours = zip(*events, strict=True)
    ids, nobody = [f"e-{number}" for number in range(len(events))], pa.nulls(len(events), pa.int64())
    example = {"event_id": ids, "person_key": pa.array(persons, pa.string()), "removed_by": nobody}
    shop.load("example", {**example, "occurred_at": [_hour(hour) for hour in hours]})
    owners, times, amounts = zip(*rows, strict=True)
    balance = {"subject_key": pa.array(owners, pa.string()), "amount": pa.array(amounts, pa.int64())}
    shop.load("account_balance", {**balance, "updated_at": [_hour(hour) for hour in times]})
    compiled = compile_dataset(shop.warehouse, shop.dataset(features={"balance": BALANCE}))
    statement = compiled.feature_problems()
    ctes = compiled.render("features", features=compiled.features)
    remaining = f"remaining AS (SELECT * FROM `{shop.warehouse.business_table_id('example')}`)"
    found = shop.warehouse.query(
        f"WITH {remaining}, {ctes} SELECT event_id, features FROM feature", statement.parameters
    )

    event = f"event AS (SELECT * FROM `{shop.warehouse.business_table_id('example')}`)"
    cut = sources.render(compiled.sources, ["account_balance"], shop.warehouse, at_event=["account_balance"])
    seen = shop.warehouse.query(
        f"WITH {event}, {cut} SELECT event_id, amount, known_at FROM account_balance", statement.parameters
    )

    assert Counter((row["event_id"], row["amount"], row["known_at"]) for row in seen) == Counter(
        (name, amount, _hour(at))
        for name, (person, hour) in zip(ids, events, strict=True)
        for owner, at, amount in rows
        if owner == person and person and at <= hour
    )
    assert {row["event_id"]: row["features"][0]["value"] for row in found} == {
        name: _join(rows, person, hour) for name, (person, hour) in zip(ids, events, strict=True)
    }


def _load_plans(shop: Shop, plan: str) -> None:
    persons = [f"person-{number}" for number in range(40)]
    shop.load("account_plan", {"subject_key": persons, "plan": [plan] * 40, "booked_at": [_hour(-24 * 90)] * 40})


def test_features_are_in_snapshot_and_export_and_a_change_of_one_is_found(shop: Shop, tmp_path: Path) -> None:
    _load_plans(shop, "gold")
    manifest = shop.build(features={"plan": PLAN}).manifest
    export(shop.warehouse, manifest, tmp_path / "rows.parquet", lambda _: None)
    exported = pq.read_table(tmp_path / "rows.parquet")

    assert set(frame(shop.warehouse, manifest.snapshot_id)["feature.plan"]) == {"gold"}
    expected = [{"name": "plan", "value": None, "category": "gold"}]
    assert set(map(str, exported["features"].to_pylist())) == {str(expected)}
    assert digest(exported.to_batches())[0] == manifest.row_digest
    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()

    _load_plans(shop, "free")
    verdict = verify(shop.warehouse, manifest, lambda _: None)
    assert (verdict.stored_is_equal, verdict.rebuilt_is_equal) == (True, False)


def test_the_plan_prints_the_features_and_counts_their_bits(shop: Shop) -> None:
    _load_plans(shop, "gold")
    shop.load("account_balance", {"subject_key": ["person-1"], "amount": [1], "updated_at": [AS_OF]})
    planned = plan(
        compile_dataset(shop.warehouse, shop.dataset(features={"plan": PLAN, "balance": BALANCE})), timedelta(0)
    )

    assert planned.feature_bits == pytest.approx(math.log2(2 + 1) + math.log2(21 + 1))
    assert [each.name for each in planned.statements[-2:]] == ["snapshot", "feature_problems"]
    assert "free" not in planned.statements[-2].sql


CUSTOMER = {"table": "account_plan", "known_at": "booked_at", "customer": "plan"}
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"features": {"plan": PLAN | {"classes": []}}}, "a feature has at least two classes"),
    ({"features": {"plan": PLAN | {"type": "number", "classes": [], "range": [0, 1]}}}, "has a step"),
    ({"features": {"Plan": PLAN}}, "features"),
    ({"features": {"plan": PLAN}, "sources": [CUSTOMER]}, "the table account_plan is declared in two ways"),
    ({"features": {"plan": PLAN | {"table": "nothing"}}}, "The source nothing cannot be read"),
    ({"features": {"plan": PLAN | {"value": "price"}}}, "has no column price beside those that identify customers"),
    ({"features": {"plan": PLAN | {"value": "subject_key"}}}, "has no column subject_key beside those that identify"),
    ({"features": {"plan": PLAN | {"value": "booked_at"}}}, "has booked_at as TIMESTAMP, but a class is one of"),
    ({"features": {"plan": PLAN | {"by": "event"}}}, "has no column event_id"),
    ({"features": {"told": PLAN | {"table": "confirmed", "value": "value", "known_at": "confirmed_at"}}},
     "has no column that identifies persons"),
    ({"features": {"plan": PLAN}, "label": {"query": "confirmed_upload", "kind": "pair", "classes": ["a", "b"]}},
     "do not apply to labels of pairs"),
)  # fmt: skip


def test_a_feature_that_cannot_be_read_is_refused_in_one_sentence_and_leaves_nothing(shop: Shop) -> None:
    _load_plans(shop, "gold")
    for fields, words in REFUSED:
        with pytest.raises(UserError) as raised:
            shop.build(**fields)
        assert words in str(raised.value)
        assert len(str(raised.value).splitlines()) == 1
    assert shop.left() == (0, 0, [])


def test_a_snapshot_that_was_cut_at_the_event_is_verified_and_its_ledger_names_the_sources(shop: Shop) -> None:
    manifest = shop.build(rules=[{"exclude_closed_accounts": {"cut": "event"}}]).manifest
    (line,) = [line for line in manifest.ledger if line.rule == "exclude_closed_accounts"]

    assert line.parameters == {"closed": "account_closed", "at_event": ["account_closed"]}
    assert line.removed < next(each.removed for each in shop.build().manifest.ledger if each.rule == line.rule)
    assert verify(shop.warehouse, manifest, lambda _: None).findings == ()
