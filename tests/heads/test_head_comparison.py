"""Two heads are compared on the rows that neither has seen, and what is said of them is what their answers say."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from rawless.datasets.snapshot_tables import table_id
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads.head_comparison import Difference, HeadComparison, check_comparable, compare_heads, compared
from rawless.heads.metrics import Metric
from rawless.heads.paired_rows import PairedRows, Side
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.session import HeadSession
from rawless.heads.training import train
from rawless.warehouse.append import append_all
from tests.heads.conftest import make_task
from tests.heads.test_reevaluate import by_hash, make_session
from tests.shop import EVENTS, Shop, make_row


def _predicted(head: HeadSession, rows: list[dict[str, Any]]) -> list[str]:
    vectors = np.array([row["embedding"] for row in rows], np.float32)
    return [head.manifest.classes[n] for n in head.answer(embedding=vectors)["probabilities"].argmax(1)]


def _test_rows(shop: Shop, manifest: Manifest) -> list[dict[str, Any]]:
    return [row for row in shop.rows(manifest.snapshot_id).values() if row["split"] == "test"]


def test_the_numbers_are_those_of_both_heads_answers_on_the_same_rows(shop: Shop) -> None:
    snapshot = shop.build(split=by_hash("a", 0.5)).manifest
    first = make_session(shop, snapshot, 1, learning_rate=0.5)
    second = make_session(shop, snapshot, 2, seed=1, kind="mlp", hidden=[8], epochs=30, learning_rate=0.05)
    rows = _test_rows(shop, snapshot)
    answers = list(zip(rows, _predicted(first, rows), _predicted(second, rows), strict=True))
    expected = {row["event_id"]: (row["label"], one, other) for row, one, other in answers if one != other}

    found = compare_heads(shop.warehouse, first, second)

    assert (found.first, found.second, found.snapshots) == ("topic@1", "topic@2", [snapshot.snapshot_id])
    assert (found.rows, found.seen, found.unmatched) == (len(rows), 0, 0)
    assert found.main.name == "accuracy"
    assert found.main.first == pytest.approx(np.mean([one == row["label"] for row, one, _ in answers]))
    assert found.main.second == pytest.approx(np.mean([other == row["label"] for row, _, other in answers]))
    assert found.main.difference.value == pytest.approx(found.main.second - found.main.first)
    assert found.main.difference.low <= found.main.difference.value <= found.main.difference.high
    assert found.changed is not None
    assert {each.event_id: (each.label, each.first, each.second) for each in found.changed} == expected
    changes = Counter("fixed" if other == label else "broken" for label, _, other in expected.values())
    assert changes["fixed"] + changes["broken"] > 0
    assert {change: found.count(change) for change in changes} == changes
    assert found.p_value == pytest.approx(binomtest(changes["fixed"], changes.total()).pvalue)
    for each in found.classes:
        assert each.first.rows == each.second.rows == sum(row["label"] == each.name for row in rows)
        assert each.f1.value == pytest.approx(each.second.f1.value - each.first.f1.value)
    assert [each.f1.value for each in found.classes] == sorted(each.f1.value for each in found.classes)


def test_rows_of_one_person_are_resampled_together(shop: Shop) -> None:
    """Three rows of each person with nearly the same vector say less than three times as many persons."""
    for number in range(EVENTS):
        vector = np.random.default_rng(number % 40).standard_normal(8, np.float32)
        append_all(shop.warehouse, [make_row(number, {"stream": "repeated", "embedding": vector})])
    spec = {"stream": "repeated", "rules": None, "label": {"query": "confirmed_upload", "classes": ["cat", "dog"]}}
    snapshot = shop.build(split=by_hash("a", 0.6), **spec).manifest
    first, second = make_session(shop, snapshot, 1), make_session(shop, snapshot, 2, seed=3, epochs=30)
    persons = compare_heads(shop.warehouse, first, second).main.difference
    rows = _test_rows(shop, snapshot)
    labels = [row["label"] for row in rows]
    right = [np.array(_predicted(head, rows)) == labels for head in (first, second)]
    difference = right[1].astype(int) - right[0]
    independent = 2 * 1.96 * difference.std() / np.sqrt(len(rows))

    assert persons.high - persons.low > 1.2 * independent


def test_a_verdict_says_better_only_beyond_chance(shop: Shop) -> None:
    signs = ["cat" if make_row(number, {}).embedding[0] > 0 else "dog" for number in range(EVENTS)]
    shop.load("confirmed", {"event_id": [f"e-{n}" for n in range(EVENTS)], "value": signs,
                            "confirmed_at": [shop.as_of] * EVENTS})  # fmt: skip
    snapshot = shop.build(split=by_hash("a", 0.5), as_of="2026-02-01T00:00:00.5+00:00").manifest
    good = make_session(shop, snapshot, 1, epochs=200, learning_rate=0.1)
    alike = make_session(shop, snapshot, 2, epochs=200, learning_rate=0.11)
    bad = make_session(shop, snapshot, 3, learning_rate=1e-6)

    assert compare_heads(shop.warehouse, bad, good).verdict.startswith(
        "topic@1 is better than topic@3: its accuracy is"
    )
    assert compare_heads(shop.warehouse, good, bad).verdict.startswith("topic@3 is worse than topic@1: its accuracy is")
    assert "neither better nor worse than topic@1 beyond chance" in compare_heads(shop.warehouse, good, alike).verdict


def test_rows_that_either_head_was_trained_on_are_left_out(shop: Shop) -> None:
    one = shop.build(split=by_hash("a", 0.6)).manifest
    other = shop.build(split=by_hash("b", 0.6)).manifest
    first, second = make_session(shop, one, 1), make_session(shop, other, 2)
    trained = {row["person_key"] for row in shop.rows(one.snapshot_id).values() if row["split"] != "test"}
    rows = _test_rows(shop, other)
    unseen = [row for row in rows if row["person_key"] not in trained]

    found = compare_heads(shop.warehouse, first, second)

    assert found.snapshots == [other.snapshot_id]
    assert 10 <= len(unseen) < len(rows)
    assert (found.rows, found.seen) == (len(unseen), len(rows) - len(unseen))


@pytest.mark.full
def test_heads_of_two_encoders_are_compared_on_the_events_that_both_have_embedded(shop: Shop) -> None:
    wide = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    for number in range(EVENTS // 2):
        row = make_row(number, {})
        fields = {"encoder": "wide", "encoder_fingerprint": "e" * 64, "embedding": row.embedding @ wide}
        append_all(shop.warehouse, [make_row(number, fields)])
    narrow, other = shop.build(split=by_hash("a", 0.6)).manifest, None
    other = shop.build(split=by_hash("a", 0.6), encoder="wide@1.0.0").manifest
    first, second = make_session(shop, narrow, 1), make_session(shop, other, 2)
    ids = {row["event_id"] for row in _test_rows(shop, other)}
    both = [row for row in _test_rows(shop, narrow) if row["event_id"] in ids]

    found = compare_heads(shop.warehouse, first, second)
    named = compare_heads(shop.warehouse, first, second, narrow)

    assert found.snapshots == named.snapshots == [narrow.snapshot_id, other.snapshot_id]
    assert 10 <= len(both) == found.rows
    assert found.unmatched == len(_test_rows(shop, narrow)) - len(both)
    assert found.main.first == pytest.approx(
        np.mean([label == row["label"] for label, row in zip(_predicted(first, both), both, strict=True)])
    )
    with pytest.raises(UserError, match=r"of another encoder than tiny@\S+ and wide@\S+, which the heads take"):
        compare_heads(shop.warehouse, first, second, replace(narrow, fingerprint="d" * 64))


def test_query_transforms_are_compared_by_whose_documents_they_find(
    shop: Shop, build_pairs: Callable[..., Manifest]
) -> None:
    pairs = build_pairs(split=by_hash("a", 0.6))
    first = make_session(shop, pairs, 1, kind="query_transform")
    second = make_session(shop, pairs, 2, kind="query_transform", learning_rate=0.3, epochs=5)
    found = compare_heads(shop.warehouse, first, second)

    assert found.main.name == "recall@10"
    assert found.classes == []
    assert found.changed is not None
    matching = [row for row in _test_rows_of_pairs(shop, pairs) if row["label"] == "yes"]
    assert found.count("fixed") - found.count("broken") == pytest.approx(found.main.difference.value * len(matching))


def _test_rows_of_pairs(shop: Shop, manifest: Manifest) -> list[dict[str, Any]]:
    found = shop.warehouse.query(f"SELECT label FROM `{table_id(shop.warehouse, manifest.snapshot_id)}`"
                                 " WHERE split = 'test'")  # fmt: skip
    return [dict(row) for row in found]


def test_heads_that_answer_different_questions_are_refused_with_the_difference(
    shop: Shop, build_pairs: Callable[..., Manifest]
) -> None:
    session = make_session(shop, shop.build().manifest)
    topic, pair = session.manifest, make_session(shop, build_pairs(), kind="pair").manifest
    wider = topic.model_copy(update={"version": 2, "classes": (*topic.classes, *(f"class-{n}" for n in range(9)))})

    with pytest.raises(
        UserError, match=r"only topic@2 predicts class-0, class-1, class-2, class-3, class-4 and 4 more"
    ):
        check_comparable(topic, wider)
    with pytest.raises(UserError, match=r"topic@1 returns probabilities and topic@3 score: only heads that answer"):
        check_comparable(topic, pair.model_copy(update={"version": 3}))
    with pytest.raises(UserError, match="topic@1 cannot be compared with itself"):
        compare_heads(shop.warehouse, session, session)


def test_too_few_rows_that_neither_has_seen_are_refused(shop: Shop) -> None:
    one = shop.build(split=by_hash("a", 0.1)).manifest
    other = shop.build(split=by_hash("b", 0.1)).manifest

    with pytest.raises(
        UserError, match=r"topic@1 and topic@2 cannot be compared: only \d test rows of .* 10 are needed"
    ):
        compare_heads(shop.warehouse, make_session(shop, one, 1), make_session(shop, other, 2))


def test_heads_that_predict_numbers_are_compared_by_r2_and_have_no_rows_that_are_right_or_wrong() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((400, 4)).astype(np.float32)
    numbers = (vectors[:, 0] + generator.normal(0, 0.3, 400)).astype(np.float32)
    sides = []
    for version, spec in enumerate(({"epochs": 1}, {"epochs": 100}), 1):
        task = make_task((vectors,), numbers, **spec)
        trained = train(task, lambda _: None)
        graph, domain = graphs_of(trained)
        sides.append(Side(HeadSession(manifest_of(trained, version).sealed(graph, domain), graph, domain), task))
    test = task.splits["test"]
    found = compared(PairedRows((sides[0], sides[1]), (test.rows, test.rows), test.persons, 0, 0))

    assert found.verdict.startswith("synthetic@2 is better than synthetic@1: its r2 is ")
    assert (found.changed, found.classes, found.p_value) == (None, [], None)
    assert found.main.name == "r2"
    assert found.differences[1].difference.high < 0, "its mean absolute error is lower"


def test_a_few_rows_that_are_worse_and_none_that_is_better_may_be_chance() -> None:
    """Four of 96: nearly every resample has one of them, but heads of equal accuracy differ as much once in eight."""
    found = {}
    for worse in (4, 8):
        difference = Metric("accuracy", -worse / 96, -worse / 48, -1 / 96)
        labels, right = np.zeros(96, int), np.tile([0.9, 0.1], (96, 1))
        wrong = np.where(np.arange(96)[:, None] < worse, [0.1, 0.9], right)
        task = make_task((np.zeros((480, 2), np.float32),), np.zeros(480, int), ("a", "b"))
        rows = task.splits["test"].rows
        pair = PairedRows((Side(None, task), Side(None, task)), (rows, rows), [None] * 96, 0, 0)  # type: ignore[arg-type]
        p_value = pair.p_value((labels, right), (labels, wrong))
        main = Difference("accuracy", 1.0, 1 - worse / 96, difference)
        found[worse] = HeadComparison("a@1", "a@2", ["s"], 96, 0, 0, [main], [], [], p_value)

    assert found[4].p_value == pytest.approx(0.125)
    assert found[4].verdict.startswith("a@2 is neither better nor worse than a@1 beyond chance: its accuracy is 0.958")
    assert found[8].verdict.startswith("a@2 is worse than a@1")
