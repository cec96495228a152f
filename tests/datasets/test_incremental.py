"""A snapshot of a dataset that only grew copies the one before, with the rows that a full build has."""

from datetime import timedelta
from typing import Any

import pytest

from rawless.datasets.build import BuildResult, build
from rawless.datasets.compile import compile_dataset
from rawless.datasets.verify import verify
from rawless.warehouse.client import Warehouse
from tests.shop import AS_OF, EVENTS, Shop

LATER = (AS_OF + timedelta(days=3)).isoformat()
NEW = range(500, 506)
GROWING: dict[str, Any] = {"rules": ["exclude_closed_accounts"]}


def upload_more(shop: Shop) -> None:
    """Six uploads of the two days after the as-of, which are confirmed at once."""
    for number in NEW:
        at = AS_OF + timedelta(hours=8 * (number - NEW[0]) + 1)
        shop.upload(range(number, number + 1), occurred_at=at, logged_at=at)
    ids = [f"e-{number}" for number in (*range(EVENTS), *NEW)]
    times = [AS_OF - timedelta(minutes=5)] * EVENTS + [AS_OF + timedelta(days=2, hours=12)] * len(NEW)
    values = ["cat" if number % 2 else "dog" for number in (*range(EVENTS), *NEW)]
    shop.load("confirmed", {"event_id": ids, "value": values, "confirmed_at": times})


def in_full(shop: Shop, **fields: Any) -> BuildResult:
    compiled = compile_dataset(shop.warehouse, shop.dataset(dataset="in_full", **fields))
    return build(compiled, timedelta(0), lambda _: None, full=True)


def test_rows_are_copied_and_only_the_new_days_are_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shop.build(**GROWING)
    upload_more(shop)
    sent: list[tuple[str, Any]] = []
    run = Warehouse.run

    def watch(self: Warehouse, statement: str, parameters: Any = (), *others: Any) -> Any:
        sent.append((statement, {each.name: getattr(each, "value", None) for each in parameters}))
        return run(self, statement, parameters, *others)

    monkeypatch.setattr(Warehouse, "run", watch)
    grown = shop.build(**GROWING, as_of=LATER)
    reading = [values for statement, values in sent if "delivery.embedding" in statement]

    assert first.growth is None
    assert grown.growth == (
        f"{first.manifest.rows} rows were copied from the snapshot {first.manifest.snapshot_id}, and vectors were read "
        "of 2026-02-01 to 2026-02-02 only, for 6 new rows."
    )
    assert [values["start_at"].date().isoformat() for values in reading] == ["2026-02-01"]
    whole = in_full(shop, **GROWING, as_of=LATER)
    assert whole.growth is None
    assert (grown.manifest.row_digest, grown.manifest.counts) == (whole.manifest.row_digest, whole.manifest.counts)
    assert grown.manifest.ledger == whole.manifest.ledger
    assert verify(shop.warehouse, grown.manifest, lambda _: None).findings == ()
    assert shop.rows(first.manifest.snapshot_id).keys() < shop.rows(grown.manifest.snapshot_id).keys()


def test_without_new_rows_no_vector_is_read(shop: Shop) -> None:
    first = shop.build(**GROWING)
    grown = shop.build(**GROWING, as_of=LATER)

    assert grown.growth is not None
    assert "no vectors were read, for 0 new rows" in grown.growth
    assert grown.manifest.row_digest == first.manifest.row_digest


CHANGES: dict[str, Any] = {
    "a row left": lambda shop: shop.load(
        "account_closed", {"subject_key": ["person-3", "person-4", "person-9"], "closed_at": [AS_OF] * 3}
    ),
    "a row has another label": lambda shop: shop.load(
        "confirmed",
        {
            "event_id": [*(f"e-{number}" for number in range(EVENTS)), "e-5"],
            "value": [*("cat" if number % 2 else "dog" for number in range(EVENTS)), "dog"],
            "confirmed_at": [AS_OF - timedelta(minutes=5)] * EVENTS + [AS_OF + timedelta(days=1)],
        },
    ),
    "a person was erased": lambda shop: shop.warehouse.query(
        f"INSERT INTO `{shop.warehouse.table_id('tombstone_v1')}` (person_key, subject_keys, erased_before,"
        " certificate_id) VALUES ('person-7', ['person-7'], TIMESTAMP '2027-01-01', 'c-1')"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_if_a_row_changed_all_vectors_are_read(shop: Shop, change: str) -> None:
    first = shop.build(**GROWING)
    upload_more(shop)
    CHANGES[change](shop)
    built = shop.build(**GROWING, as_of=LATER)

    assert built.growth is not None
    assert built.growth.startswith("All vectors were read, because ")
    assert first.manifest.snapshot_id in built.growth
    assert built.manifest.row_digest == in_full(shop, **GROWING, as_of=LATER).manifest.row_digest


def test_rows_that_were_deleted_by_hand_are_not_missing_from_the_next_snapshot(shop: Shop) -> None:
    first = shop.build(**GROWING)
    table = f"{shop.warehouse.dataset_id('snapshots')}.snapshot_{first.manifest.snapshot_id}"
    shop.warehouse.query(f"DELETE FROM `{table}` WHERE event_id = 'e-5'")
    built = shop.build(**GROWING, as_of=LATER)

    assert built.manifest.rows == first.manifest.rows
    assert (built.growth or "").startswith("All vectors were read, because 1 rows")


@pytest.mark.parametrize(
    "fields",
    [
        {"split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "b"}},
        {"rules": []},
        {"split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a",
                   "near_duplicates": {"cosine": 0.99}}},
    ],
)  # fmt: skip
def test_another_dataset_is_no_parent(shop: Shop, fields: dict[str, Any]) -> None:
    shop.build(**GROWING)

    assert shop.build(**GROWING | fields, as_of=LATER).growth is None
