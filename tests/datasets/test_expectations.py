"""What `expect:` of a dataset file finds in the data, and that a build then commits nothing."""

from datetime import timedelta
from typing import Any

import pytest

from rawless.config import check
from rawless.datasets import expectations
from rawless.datasets.compile import compile_dataset
from rawless.datasets.plan import plan
from rawless.datasets.snapshots import Count
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from tests.shop import AS_OF, SPEC, Shop

CLOSED = {"not_null": ["person_key"], "fresh_within": "7d"}
CONFIRMED = {"not_null": ["event_id"], "unique": ["event_id", ["event_id", "value"]],
             "accepted_values": {"value": ["cat", "dog"]}, "fresh_within": "1h"}  # fmt: skip
HOLDS = {
    "sources": {"confirmed": CONFIRMED, "account_closed": CLOSED},
    "events": {"fresh_within": "12h"},
    "label_shares": {"cat": {"min": 0.05, "max": 0.95}},
    "rows_of_previous": {"min": 0.5, "max": 2},
}


def refusal(shop: Shop, **expect: Any) -> str:
    """Why a build was refused: the part of the sentence that differs, after it left nothing behind."""
    with pytest.raises(UserError) as raised:
        shop.build(expect=expect)
    assert shop.left() == (0, 0, [])
    sentence = str(raised.value)
    before, after = "so nothing was committed: ", ". Correct the data"
    assert before in sentence
    return sentence[sentence.index(before) + len(before) : sentence.index(after)]


def test_expectations_that_hold_are_read_within_the_budget_and_change_neither_rows_nor_id(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, int | None] = {}
    run = type(shop.warehouse).run

    def recorded(self: Any, statement: str, parameters: Any = (), max_bytes: int | None = None) -> Any:
        limits[statement.splitlines()[0]] = max_bytes
        return run(self, statement, parameters, max_bytes)

    monkeypatch.setattr(type(shop.warehouse), "run", recorded)
    built = shop.build(expect=HOLDS, budget={"max_bytes_billed": "50MB"})
    again = shop.build()

    assert built.is_new
    assert built.manifest.rows == 114
    assert again.manifest.snapshot_id == built.manifest.snapshot_id
    assert not again.is_new
    assert [limits[line] for line in limits if "dataset expects" in line or "since a time" in line] == [50_000_000] * 2

    fewer = compile_dataset(shop.warehouse, shop.dataset(expect={"rows_of_previous": {"min": 0.8}}))
    with pytest.raises(UserError) as raised:
        expectations.check_counts(fewer, [Count("train", "cat", 91)])
    assert (
        f"expect.rows_of_previous: 91 rows, where the previous snapshot {built.manifest.snapshot_id} has 114, are not "
        "at least 0.8 of it"
    ) in str(raised.value)
    expectations.check_counts(fewer, [Count("train", "cat", 92)])


def test_what_sources_and_events_break_is_told_by_counts_and_nothing_is_committed(shop: Shop) -> None:
    ids = [f"e-{number}" for number in range(10)]
    rows: list[tuple[str | None, str | None]] = [(each, "cat") for each in ids]
    rows += [(None, "dog"), ("e-9", "dog"), ("e-9", "dog"), ("x-1", "secret-animal"), ("x-2", None)]
    later = ("late", None)  # became known after the as-of
    known = [AS_OF - timedelta(days=3)] * len(rows) + [AS_OF + timedelta(days=1)]
    event_ids, values = zip(*rows, later, strict=True)
    shop.load("confirmed", {"event_id": event_ids, "value": values, "confirmed_at": known})
    expected = CONFIRMED | {"not_null": ["event_id", "value"], "fresh_within": "2d"}
    told = refusal(shop, sources={"confirmed": expected}, events={"fresh_within": "30m"})

    assert told.split("; ") == [
        "expect.sources.confirmed.not_null: 1 of 15 rows have no event_id",
        "expect.sources.confirmed.not_null: 1 of 15 rows have no value",
        "expect.sources.confirmed.accepted_values: 1 of 15 rows have a value that is not listed",
        "expect.sources.confirmed.unique: 2 of 15 rows repeat the event_id of another",
        "expect.sources.confirmed.unique: 1 of 15 rows repeat the event_id and value of another",
        "expect.sources.confirmed.fresh_within: 0 of 15 rows became known in the 2 days before the as-of",
        "expect.events.fresh_within: 0 of 120 events occurred in the 0.5 hours before the as-of",
    ]
    assert "secret-animal" not in told


COUNTS = [Count("train", "cat", 30), Count("train", "dog", 70), Count("validation", "dog", 10), Count("test", "cat", 9)]


SHARES: list[tuple[dict[str, Any], str | None]] = [
    ({"min": 0.3, "max": 0.3, "splits": ["train"]}, None),
    ({"min": 0.31, "max": 0.6, "splits": ["train"]}, "30 of 100 rows of train, not at least 0.31 and at most 0.6"),
    ({"min": 0.1}, "0 of 10 rows of validation, not at least 0.1"),
    ({"max": 0.5}, "9 of 9 rows of test, not at most 0.5"),
]


def test_the_share_of_a_label_is_checked_in_each_split(shop: Shop) -> None:
    for share, broken in SHARES:
        compiled = compile_dataset(shop.warehouse, shop.dataset(expect={"label_shares": {"cat": share}}))
        if broken is None:
            expectations.check_counts(compiled, COUNTS)
            continue
        with pytest.raises(UserError) as raised:
            expectations.check_counts(compiled, COUNTS)
        assert f"committed: expect.label_shares.cat: {broken}. Correct" in str(raised.value)


def test_a_build_is_refused_when_a_share_is_not_as_expected(shop: Shop) -> None:
    assert refusal(shop, label_shares={"cat": {"max": 0.1, "splits": ["train"]}}) == (
        "expect.label_shares.cat: 33 of 69 rows of train, not at most 0.1"
    )


def test_a_plan_lists_expectations_their_statements_and_the_texts_they_store(shop: Shop) -> None:
    planned = plan(compile_dataset(shop.warehouse, shop.dataset(expect=HOLDS)), timedelta(0))

    assert planned.expectations == (
        "each row of account_closed has person_key",
        "a row of account_closed became known in the 7 days before the as-of",
        "each row of confirmed has event_id",
        "each value of confirmed is one of cat, dog",
        "no two rows of confirmed have the same event_id",
        "no two rows of confirmed have the same event_id and value",
        "a row of confirmed became known in the 1 hour before the as-of",
        "an event occurred in the 12 hours before the as-of",
        "the share of cat in train, validation, test is at least 0.05 and at most 0.95",
        "the rows divided by those of the previous snapshot are at least 0.5 and at most 2",
    )
    assert [each.name for each in planned.statements][-4:] == [
        "expect account_closed", "expect confirmed", "expect events", "snapshot",
    ]  # fmt: skip
    assert planned.texts["expect confirmed.value"] == ("cat", "dog")


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"sources": {"orders": {}}}, "expect names orders, but the sources are: confirmed, account_closed"),
        ({"label_shares": {"bird": {"min": 0.1}}}, "expect.label_shares names bird, which is no class"),
        ({"label_shares": {"cat": {}}}, "it has min, max or both"),
        ({"label_shares": {"cat": {"min": 0.5, "max": 0.4}}}, "min must not be more than max"),
        ({"sources": {"confirmed": {"accepted_values": {"value": ["a customer's words"]}}}}, "at most 32 characters"),
        ({"sources": {"confirmed": {"unique": [[]]}}}, "at least 1 item"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused(expect: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as raised:
        check(SPEC | {"expect": expect}, DatasetSpec, where="The dataset file x.yaml")

    assert words in str(raised.value)


def test_a_column_that_cannot_be_checked_is_refused_by_the_plan(shop: Shop) -> None:
    for source, words in [
        ({"not_null": ["colour"]}, "expect.sources.confirmed names colour, but SQL sees of confirmed: confirmed_at, "),
        ({"accepted_values": {"confirmed_at": ["a"]}}, "names confirmed_at, which is TIMESTAMP, but a list of values"),
    ]:
        compiled = compile_dataset(shop.warehouse, shop.dataset(expect={"sources": {"confirmed": source}}))
        with pytest.raises(UserError) as raised:
            plan(compiled, timedelta(0))
        assert words in str(raised.value)
