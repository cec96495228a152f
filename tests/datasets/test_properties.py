"""Properties of snapshots: they contain what was known at the as-of, and the ledger accounts for the rest."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawless.datasets.build import BuildResult
from rawless.datasets.snapshots import batches
from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.tables import table
from tests.shop import AS_OF, SPEC, Shop, make_row

HOURS = st.integers(-400, 24)
"""Relative to the as-of, so some are after it."""
_numbers = itertools.count()


@dataclass
class World:
    """The contents of a warehouse. Times of a kind are all different, so that one of two is always later."""

    deliveries: list[tuple[int, int | None, str, int, int]]
    """Event, person, origin, hour of occurrence, and minute after it at which it was logged."""
    labels: list[tuple[int, str | None, int]]
    """Event, value, hour at which it was known."""
    closures: list[tuple[int, int]]
    """Person, hour."""
    stream: str = field(default_factory=lambda: f"stream_{next(_numbers)}")

    def logged(self, number: int) -> datetime:
        """When a delivery was logged."""
        *_, hour, minutes = self.deliveries[number]
        return _at(hour) + timedelta(minutes=minutes, seconds=number)


def _at(hour: int) -> datetime:
    return AS_OF + timedelta(hours=hour)


_DELIVERY = st.tuples(
    st.integers(0, 9), st.one_of(st.none(), st.integers(0, 5)), st.sampled_from(["ingest", "serving"]), HOURS,
    st.integers(0, 3000),
)  # fmt: skip
_LABEL = st.tuples(st.integers(0, 9), st.sampled_from(["cat", "dog", "cat", "dog", None]), HOURS)
_WORLDS = st.builds(
    World,
    st.lists(_DELIVERY, min_size=4, max_size=25),
    st.lists(_LABEL, min_size=4, max_size=25, unique_by=lambda each: each[2]),
    st.lists(st.tuples(st.integers(0, 5), HOURS), min_size=1, max_size=4),
)


def _expected(world: World) -> dict[str, tuple[str, int]]:
    """Return label and first delivery of each event of the dataset, computed in plain Python.

    The first is that of ingest, however early one was served, if any was ingested.
    """
    first: dict[int, int] = {}
    numbers = [number for number in range(len(world.deliveries)) if world.logged(number) <= AS_OF]
    for number in sorted(numbers, key=lambda each: (world.deliveries[each][2], world.logged(each))):
        first.setdefault(world.deliveries[number][0], number)
    labels = {event: value for event, value, hour in sorted(world.labels, key=lambda each: each[2]) if hour <= 0}
    closed = {person for person, hour in world.closures if hour <= 0}
    return {
        f"e-{event}": (label, number)
        for event, number in first.items()
        if (label := labels.get(event)) and world.deliveries[number][1] not in closed
    }


def _fill(shop: Shop, world: World) -> None:
    rows = []
    for number, (event, person, origin, hour, _) in enumerate(world.deliveries):
        key = None if person is None else f"person-{person}"
        fields: dict[str, Any] = {"stream": world.stream, "event_id": f"e-{event}", "origin": origin}
        fields |= {"subject_key": key, "subject_key_id": key and "k1"}
        fields |= {"occurred_at": _at(hour), "logged_at": world.logged(number)}
        rows.append(make_row(number, fields | {"embedding": np.array([number, 1.0], np.float32)}))
    append_all(shop.warehouse, rows)
    confirmed = [(f"e-{event}", value, _at(hour)) for event, value, hour in world.labels]
    ids, values, times = (list(column) for column in zip(*confirmed, strict=True))
    shop.load("confirmed", {"event_id": ids, "value": pa.array(values, pa.string()), "confirmed_at": times})
    persons = pa.array([f"person-{person}" for person, _ in world.closures], pa.string())
    shop.load("account_closed", {"subject_key": persons, "closed_at": [_at(hour) for _, hour in world.closures]})


def _check_rows(shop: Shop, world: World, built: BuildResult, expected: dict[str, tuple[str, int]]) -> None:
    rows = shop.rows(built.manifest.snapshot_id)
    assert set(rows) == set(expected)
    for name, (label, number) in expected.items():
        _, person, _, hour, _ = world.deliveries[number]
        row = rows[name]
        assert row["label"] == label
        assert row["embedding"][0] == number  # the first delivery's vector, and no other's
        assert row["occurred_at"] == _at(hour)
        assert row["person_key"] == (None if person is None else f"person-{person}")
    splits = {(row["person_key"], row["split"]) for row in rows.values() if row["person_key"]}
    assert len(splits) == len({person for person, _ in splits})


@given(_WORLDS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_snapshot_contains_what_was_known_and_its_ledger_adds_up(shop: Shop, world: World) -> None:
    expected = _expected(world)
    _fill(shop, world)
    if len({label for label, _ in expected.values()}) < 2:
        before = shop.left()
        with pytest.raises(UserError):
            shop.build(stream=world.stream)
        assert shop.left() == before
        return

    built = shop.build(stream=world.stream)

    _check_rows(shop, world, built, expected)
    left = built.manifest.ledger[0].rows_in
    known = {event for n, (event, *_) in enumerate(world.deliveries) if world.logged(n) <= AS_OF}
    assert left == len(known | {event for event, _, hour in world.labels if hour <= 0})
    for line in built.manifest.ledger:
        assert line.rows_in == left
        left -= line.removed
    assert left == built.manifest.rows == len(expected)


def test_no_column_of_a_snapshot_can_contain_free_text() -> None:
    """Each text is an id, a name, a key, or from a closed list: nothing in which a producer could write prose."""
    columns = table("snapshot_v1").columns
    texts = {column.name for column in columns if column.type == "STRING"}
    nested = {(column.name, each.name) for column in columns for each in column.fields if each.type == "STRING"}

    assert texts == {
        *("row_hash", "event_id", "left_event_id", "right_event_id", "stream"),
        *("label", "split", "person_key", "encoder_fingerprint"),
    }
    assert nested == {("attributes", "key"), ("attributes", "value"), ("features", "name"), ("features", "category")}


PERSONS = 20_000


@pytest.mark.full
def test_splits_of_20_000_persons_have_their_ratios_and_do_not_change_when_data_grows(shop: Shop) -> None:
    def people(numbers: range) -> None:
        rows = []
        for number in numbers:
            fields = {"stream": "crowd", "event_id": f"c-{number}", "subject_key": f"somebody-{number}"}
            at = AS_OF - timedelta(minutes=number % 1000 + 1)
            rows.append(make_row(number, {**fields, "occurred_at": at, "logged_at": at, "embedding": _TINY}))
        append_all(shop.warehouse, rows)

    def confirm(count: int) -> None:
        ids = [f"c-{number}" for number in range(count)]
        values = ["cat" if number % 2 else "dog" for number in range(count)]
        shop.load("confirmed", {"event_id": ids, "value": values, "confirmed_at": [AS_OF] * count})

    def splits(**fields: Any) -> dict[str, str]:
        built = shop.build(stream="crowd", **fields)
        rows = pa.Table.from_batches(batches(shop.warehouse, built.manifest.snapshot_id))
        return dict(zip(rows["event_id"].to_pylist(), rows["split"].to_pylist(), strict=True))

    people(range(PERSONS))
    confirm(PERSONS)
    before = splits(rules=None)
    people(range(PERSONS, PERSONS * 11 // 10))
    confirm(PERSONS * 11 // 10)
    after = splits(rules=[{"sample": {"share": 1.0}}])

    assert (len(before), len(after)) == (PERSONS, PERSONS * 11 // 10)
    for split in ("train", "validation", "test"):
        share = sum(each == split for each in before.values()) / PERSONS
        assert share == pytest.approx(SPEC["split"][split], abs=0.01)
    assert all(after[name] == split for name, split in before.items())


_TINY = np.ones(2, np.float32)
