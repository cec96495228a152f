"""Rules that decide on each example alone share a statement, with the result that they have one after the other."""

import random
from typing import Any

import pytest

from rawless.datasets import marks, splits
from rawless.datasets.compile import compile_dataset
from rawless.datasets.query_policy.validate_query import validate_query
from tests.shop import Shop

ALONE = {
    "a condition": "SELECT event.example_id, event.event_id FROM event WHERE event.label = 'cat'",
    "a join": "WITH old AS (SELECT person_key, MAX(known_at) AS at FROM facts GROUP BY person_key) "
    "SELECT e.example_id, e.event_id FROM event AS e LEFT JOIN old ON e.person_key = old.person_key "
    "WHERE old.at IS NULL",
    "a window in a subquery": "SELECT event.example_id, event.event_id FROM event WHERE event.person_key IN "
    "(SELECT person_key FROM facts QUALIFY ROW_NUMBER() OVER (PARTITION BY person_key ORDER BY known_at) = 1)",
    "an array of the row": "SELECT event.example_id, event.event_id FROM event WHERE EXISTS "
    "(SELECT 1 FROM UNNEST(event.attributes) AS attribute WHERE attribute.key = 'a')",
}
TOGETHER = {
    "a rank": "SELECT event.example_id, event.event_id FROM event "
    "QUALIFY ROW_NUMBER() OVER (PARTITION BY event.person_key ORDER BY event.event_id) = 1",
    "a group": "SELECT MIN(event.example_id) AS example_id, MIN(event.event_id) AS event_id FROM event",
    "distinct rows": "SELECT DISTINCT event.example_id, event.event_id FROM event",
    "a limit": "SELECT event.example_id, event.event_id FROM event ORDER BY event.event_id LIMIT 5",
    "two readings": "SELECT event.example_id, event.event_id FROM event "
    "WHERE event.person_key IN (SELECT other.person_key FROM event AS other GROUP BY 1 HAVING COUNT(*) = 1)",
    "a reading in WITH": "WITH mine AS (SELECT event.example_id, event.event_id, event.label FROM event) "
    "SELECT mine.example_id, mine.event_id FROM mine",
    "a union": "SELECT event.example_id, event.event_id FROM event UNION ALL "
    "SELECT facts.example_id, facts.event_id FROM facts",
    "ids of another table": "SELECT facts.example_id, facts.event_id FROM facts JOIN event ON TRUE",
}


def decides_alone(sql: str) -> bool:
    return validate_query(sql, tables={"event", "facts"}, parameters=set(), where="rule").decides_alone


@pytest.mark.parametrize("name", ALONE)
def test_a_rule_that_decides_on_each_event_by_itself_is_recognised(name: str) -> None:
    assert decides_alone(ALONE[name])


@pytest.mark.parametrize("name", TOGETHER)
def test_a_rule_that_may_compare_events_is_recognised(name: str) -> None:
    assert not decides_alone(TOGETHER[name])


RULES: list[Any] = [
    {"occurred_within": {"days": 40}},
    {"cap_per_subject": {"events": 2}},
    {"sample": {"share": 0.7}},
    {"sample": {"share": 0.6, "salt": "b"}},
    "exclude_closed_accounts",
    {"attribute_in": {"attribute": "channel", "values": ["chat"]}},
    "one_label_only",
]


def names_of_statements(shop: Shop, rules: list[Any]) -> list[str]:
    compiled = compile_dataset(shop.warehouse, shop.dataset(rules=rules))
    return [statement.name for statement in marks.statements(compiled, splits.steps(compiled))]


def test_a_statement_ends_before_and_after_a_rule_that_compares_examples(shop: Shop) -> None:
    assert names_of_statements(shop, RULES) == [
        "occurred_within",
        "cap_per_subject",
        "sample, sample, exclude_closed_accounts, attribute_in",
        "one_label_only",
    ]
    assert names_of_statements(shop, RULES[3:5]) == ["sample, exclude_closed_accounts"]
    assert names_of_statements(shop, []) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_rules_in_one_statement_remove_what_they_remove_in_turn(
    shop: Shop, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = random.Random(seed).sample(RULES, 5)
    fields = {"rules": rules, "label": {"query": "confirmed_upload", "classes": ["cat", "dog"]}}
    together = shop.build(**fields).manifest
    step = marks.Step

    def in_turn(*arguments: Any, **options: Any) -> marks.Step:
        return step(*arguments, **(options | {"reads_others": True}))

    monkeypatch.setattr(splits, "Step", in_turn)
    apart = shop.build(dataset="apart", **fields).manifest

    assert [line.removed for line in together.ledger] == [line.removed for line in apart.ledger]
    assert together.row_digest == apart.row_digest
    assert together.snapshot_id != apart.snapshot_id
