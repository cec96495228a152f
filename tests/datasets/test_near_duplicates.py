"""The search for rows of validation and test with a near neighbour in train, against plain Python, and its recall."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from rawless.datasets.dropped_duplicates import dropped_pairs
from rawless.datasets.near_duplicates import (
    BUCKET_LIMIT,
    MAX_BANDS,
    RECALL,
    estimate_recall,
    expected_recall,
    hashing,
    recall_of_snapshot,
    sample_recall,
    search_values,
)
from rawless.datasets.rendering import render_template
from rawless.datasets.snapshot_tables import table_id
from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters, structs
from tests.datasets.drawn_vectors import COSINE, Row, near_duplicates, rows
from tests.shop import EVENTS, Shop, make_row

TRAIN, PAIRS, DIMENSION = 150, 30, 16


def as_table(rows: Sequence[Row]) -> tuple[str, Parameters]:
    """Return a query that returns the rows, and its parameters: its text is the same for all rows of a dimension."""
    names = [f"x{number}" for number in range(len(rows[0].embedding))]
    fields = {"event_id": "STRING", "split": "STRING", **dict.fromkeys(names, "FLOAT64")}
    values = [
        {"event_id": row.event_id, "split": row.split, **dict(zip(names, row.embedding, strict=True))} for row in rows
    ]
    components = ", ".join(f"row.{name}" for name in names)
    query = f"SELECT row.event_id, row.split, [{components}] AS embedding FROM UNNEST(@rows) AS row"
    return query, [structs("rows", fields, values)]


def search(warehouse: Warehouse, rows: Sequence[Row], select: str, **values: Any) -> list[dict[str, Any]]:
    """Select from the CTEs of the search over rows."""
    vector, given_rows = as_table(rows)
    sql = f"WITH vector AS ({vector}), {render_template(warehouse, 'near_duplicates')} {select}"
    train_rows = sum(row.split == "train" for row in rows)
    return warehouse.query(sql, [*parameters({**search_values(COSINE, train_rows), **values}), *given_rows])


def found(warehouse: Warehouse, rows: Sequence[Row], **values: Any) -> set[str]:
    return {each["event_id"] for each in search(warehouse, rows, "SELECT event_id FROM near_duplicate", **values)}


def concentrated() -> list[Row]:
    """Rows around one direction: of train, and of test at a cosine of just more than COSINE from one of train each."""
    random = np.random.default_rng(0)
    train = random.standard_normal((TRAIN, DIMENSION)) / np.sqrt(DIMENSION) + np.eye(DIMENSION)[0]
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    near = train[:PAIRS]
    aside = random.standard_normal(near.shape)
    aside -= (aside * near).sum(axis=1, keepdims=True) * near
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    cosine = COSINE + 0.001
    test = 3 * (cosine * near + np.sqrt(1 - cosine**2) * aside)
    return [
        *(Row(f"train-{number}", "train", tuple(map(float, vector))) for number, vector in enumerate(train)),
        *(Row(f"test-{number}", "test", tuple(map(float, vector))) for number, vector in enumerate(test)),
    ]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows())
def test_what_is_found_is_near_and_what_is_equal_is_found(warehouse: Warehouse, rows: list[Row]) -> None:
    equal, near = near_duplicates(rows)
    result = found(warehouse, rows)

    assert equal <= result <= near
    assert found(warehouse, rows[::-1]) == result


def test_as_many_are_found_as_is_stated_though_vectors_are_around_one_direction(warehouse: Warehouse) -> None:
    rows = concentrated()
    (chosen,) = search(warehouse, rows, "SELECT spread, bits, bands, most_flips FROM hashing")

    assert chosen["spread"] < 0.6
    assert (chosen["bits"], chosen["bands"], chosen["most_flips"]) == hashing(COSINE, TRAIN, chosen["spread"])
    assert expected_recall(COSINE, TRAIN, chosen["spread"]) == pytest.approx(RECALL, abs=0.02)
    assert len(found(warehouse, rows)) >= 0.85 * PAIRS


def crowd(split: str, length: float = 1.0) -> list[Row]:
    """Rows whose vectors are so near each other that they are in one bucket."""
    return [Row(f"{split}-{length}-{number}", split, (length, number / 1000, 0.0)) for number in range(8)]


def test_an_equal_vector_is_found_in_a_capped_bucket(warehouse: Warehouse) -> None:
    equal = crowd("validation")

    assert found(warehouse, [*crowd("train"), *equal], cosine=1 - 1e-7, bucket_limit=2) == {
        row.event_id for row in equal
    }


def test_a_row_is_told_that_was_in_a_capped_bucket_but_far_from_what_was_compared(warehouse: Warehouse) -> None:
    # As wide as half of all directions, so that the row is in the bucket of one crowd of train or the other.
    rows = [*crowd("train"), *crowd("train", length=-1.0), Row("test", "test", (1.0, 0.5, 0.5))]
    values = {"cosine": 0.9999, "least_bits": 1, "most_bits": 1}
    capped = search(warehouse, rows, "SELECT * FROM near_duplicate_search", bucket_limit=2, **values)

    assert capped == [{"event_id": "test", "is_near_duplicate": False, "is_capped": True}]
    assert search(warehouse, rows, "SELECT * FROM near_duplicate_search", **values) == []


def test_copies_of_one_vector_do_not_cap_its_buckets(warehouse: Warehouse) -> None:
    copies = [Row(f"train-{number}", "train", (1.0, 0.5, 0.0)) for number in range(8)]
    result = search(
        warehouse,
        [*copies, Row("test", "test", (1.0, 0.5, 0.001))],
        "SELECT * FROM near_duplicate_search",
        bucket_limit=2,
    )

    assert result == [{"event_id": "test", "is_near_duplicate": True, "is_capped": False}]


@pytest.mark.parametrize("train_rows", [0, 1, 1000, 10**7])
def test_the_stated_recall_is_what_was_asked_unless_that_takes_more_bands_than_there_are(train_rows: int) -> None:
    assert expected_recall(0.98, train_rows, spread=0.5) >= RECALL - 1e-3
    assert hashing(0.5, 10**7).bands == MAX_BANDS
    assert expected_recall(0.5, 10**7) < 0.1


def test_a_bucket_has_fewer_rows_on_average_than_its_limit() -> None:
    assert all(rows / 2 ** hashing(0.5, rows).bits < BUCKET_LIMIT for rows in (10**3, 10**5, 10**8))


def test_the_recall_of_a_build_is_sampled_from_the_rows_that_it_left(warehouse: Warehouse) -> None:
    # Of 30 rows of test all are near one of train; a build that removed 90 others found three of four.
    query, values = as_table([*concentrated(), Row("zero", "test", (0.0,) * DIMENSION)])
    one, none = "a" * 24, "b" * 24
    for snapshot_id, condition in ((one, "TRUE"), (none, "FALSE")):
        table = table_id(warehouse, snapshot_id)
        warehouse.query(f"CREATE TABLE `{table}` AS SELECT * FROM ({query}) WHERE {condition}", values)

    assert sample_recall(warehouse, one, COSINE, removed=90) == (PAIRS, PAIRS, 0.75, 0.75)
    assert sample_recall(warehouse, one, 0.9999, removed=90) == (PAIRS, 0, 1.0, 1.0)
    assert sample_recall(warehouse, none, COSINE, removed=0) == (0, 0, None, 0.0)


@pytest.mark.parametrize(("missed", "highest_share"), [(0, 1 - 0.05 ** (1 / 200)), (2, 0.0311)])
def test_a_recall_from_a_sample_has_the_bound_of_its_confidence(missed: int, highest_share: float) -> None:
    estimate = estimate_recall(90, sampled=200, missed=missed, remaining=1000)

    assert estimate.recall == pytest.approx(90 / (90 + 5 * missed))
    assert estimate.at_least == pytest.approx(90 / (90 + 1000 * highest_share), abs=1e-3)


def test_the_recall_of_a_snapshot_is_estimated_on_request(shop: Shop) -> None:
    split = {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"}
    plain = shop.build().manifest
    dropped = shop.build(split=split | {"near_duplicates": {"cosine": 0.9}}).manifest
    recall = recall_of_snapshot(shop.warehouse, dropped)

    assert recall.missed == 0
    assert recall.describe().startswith("Near duplicates: ")
    with pytest.raises(UserError, match="does not drop near duplicates"):
        recall_of_snapshot(shop.warehouse, plain)


def test_the_pairs_that_were_dropped_are_listed_by_id_with_contradicting_labels_first(shop: Shop) -> None:
    rules = {"rules": None, "split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"}}
    whole = shop.build(dataset="whole", **rules).manifest
    rows = shop.rows(whole.snapshot_id)
    train = sorted(row["event_id"] for row in rows.values() if row["split"] == "train")
    test = sorted(row["event_id"] for row in rows.values() if row["split"] == "test")
    same = next(event for event in train if rows[event]["label"] == rows[test[0]]["label"])
    other = next(event for event in train if rows[event]["label"] != rows[test[1]]["label"])
    later = {"logged_at": shop.as_of - timedelta(minutes=1), "stream": "copies"}
    for number in range(EVENTS):
        append_all(shop.warehouse, [make_row(number, {**later, **_copied(number, {test[0]: same, test[1]: other})})])
    split = rules["split"] | {"near_duplicates": {"cosine": 0.98}}
    built = shop.build(dataset="copies", stream="copies", rules=None, split=split)

    pairs = dropped_pairs(shop.warehouse, built.manifest, lambda _: None)

    assert built.manifest.ledger[-1].removed == 2
    assert [(pair.event_id, pair.train_event_id, pair.split) for pair in pairs] == [
        (test[1], other, "test"), (test[0], same, "test"),
    ]  # fmt: skip
    assert [pair.is_contradiction for pair in pairs] == [True, False]
    assert [pair.cosine for pair in pairs] == pytest.approx([1, 1])
    assert (pairs[0].label, pairs[0].train_label) == (rows[test[1]]["label"], rows[other]["label"])
    assert not shop.left()[2], "no working table is left"
    with pytest.raises(UserError, match="does not drop near duplicates: set near_duplicates"):
        dropped_pairs(shop.warehouse, whole, lambda _: None)


def _copied(number: int, copies: dict[str, str]) -> dict[str, Any]:
    """Return the vector of the event that this one is a copy of, if it is one."""
    source = copies.get(f"e-{number}")
    return {"embedding": make_row(int(source[2:]), {}).embedding} if source else {}
