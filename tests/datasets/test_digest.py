"""The digest that BigQuery computes is the one that the client computes, and every value counts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawless.datasets.row_digest import RowDigest, digest
from rawless.datasets.snapshot_tables import create, drop, table_id
from rawless.datasets.snapshots import SCHEMA, batches, summarise
from tests.shop import AS_OF, Shop

ROW: dict[str, Any] = {
    "event_id": "e-1", "left_event_id": None, "right_event_id": None, "stream": "upload", "occurred_at": AS_OF,
    "label": "cat", "label_value": None, "split": "train", "person_key": "p", "encoder_fingerprint": "f",
    "embedding": [0.5, -1.25], "right_embedding": [], "attributes": [{"key": "a", "value": "b"}], "features": [],
}  # fmt: skip


def digest_of(*rows: dict[str, Any]) -> str:
    made = RowDigest()
    made.add(pa.RecordBatch.from_pylist([ROW | row for row in rows], SCHEMA))
    return made.hexdigest()


def test_a_build_computes_the_digest_of_its_rows(shop: Shop) -> None:
    manifest = shop.build().manifest
    stored, rows = digest(batches(shop.warehouse, manifest.snapshot_id))
    again = summarise(shop.warehouse, manifest.snapshot_id, hash_again=True)

    assert (stored, rows) == (manifest.row_digest, manifest.rows)
    assert again == summarise(shop.warehouse, manifest.snapshot_id)
    assert (again.row_digest, again.rows, again.least_dimension, again.most_dimension) == (stored, rows, 8, 8)


def test_rows_that_were_changed_with_their_hashes_left_are_found(shop: Shop) -> None:
    manifest = shop.build().manifest
    table_name = table_id(shop.warehouse, manifest.snapshot_id)
    shop.warehouse.query(f"UPDATE `{table_name}` SET label = 'cat' WHERE label = 'dog'")

    assert summarise(shop.warehouse, manifest.snapshot_id).row_digest == manifest.row_digest
    assert summarise(shop.warehouse, manifest.snapshot_id, hash_again=True).row_digest != manifest.row_digest


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**62), 2**62).map(lambda number: number * 2.0**-48),
    st.integers(-(2**54), 2**54).map(lambda number: number * 2.0**-49),
    st.sampled_from([16384.0, -16384.0, 16383.5, -0.0, 2.0**-48, 2.0**-49]),
)


@given(st.lists(NUMBERS, min_size=1, max_size=300))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_number_is_hashed_alike_by_sql_and_client(shop: Shop, numbers: list[float]) -> None:
    snapshot_id = "a" * 24
    create(shop.warehouse, snapshot_id)
    try:
        rows = [
            ROW | {"event_id": f"é-{n}", "embedding": [number], "label_value": number}
            for n, number in enumerate(numbers)
        ]
        names = SCHEMA.names
        columns = ["event_id", "stream", "occurred_at", "label", "label_value", "split", "person_key"]
        columns += ["encoder_fingerprint", "embedding", "attributes", "logged_at", "dimension", "row_hash"]
        literals = ", ".join(
            f"('é-{n}', 'upload', TIMESTAMP '{AS_OF.isoformat()}', 'cat', {number!r}, 'train', 'p', 'f', [{number!r}],"
            f" [STRUCT('a', 'b')], TIMESTAMP '{AS_OF.isoformat()}', 1, 'h')"
            for n, number in enumerate(numbers)
        )
        target = table_id(shop.warehouse, snapshot_id)
        shop.warehouse.query(f"INSERT INTO `{target}` ({', '.join(columns)}) VALUES {literals}")
        client = RowDigest()
        client.add(pa.RecordBatch.from_pylist([{name: row[name] for name in names} for row in rows], SCHEMA))

        assert summarise(shop.warehouse, snapshot_id, hash_again=True).row_digest == client.hexdigest()
    finally:
        drop(shop.warehouse, snapshot_id)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "e-2"}, {"event_id": None}, {"left_event_id": "e-1", "event_id": None}, {"stream": "other"},
        {"occurred_at": AS_OF.replace(microsecond=1)}, {"label": "dog"}, {"label": None}, {"label_value": 0.0},
        {"split": "test"}, {"person_key": None}, {"person_key": ""}, {"encoder_fingerprint": "g"},
        {"embedding": [0.5, float(np.nextafter(-1.25, 0))]}, {"embedding": [0.5]},
        {"embedding": [0.5], "right_embedding": [-1.25]}, {"attributes": []},
        {"attributes": [{"key": "a", "value": "c"}]},
        {"features": [{"name": "x", "value": 1.0, "category": None}]},
        {"attributes": [{"key": "ab", "value": ""}]}, {"label": "cat5", "split": "rain"},
    ],
)  # fmt: skip
def test_every_column_counts(change: dict[str, Any]) -> None:
    assert digest_of(change) != digest_of({})


def test_neither_order_nor_the_sign_of_zero_counts() -> None:
    one, other = {"embedding": [0.0, 1.0]}, {"event_id": "e-2"}

    assert digest_of(one, other) == digest_of(other, one)
    assert digest_of({"embedding": [-0.0, 1.0]}) == digest_of(one)
    assert digest_of(one, one) != digest_of(one)
