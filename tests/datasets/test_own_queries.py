"""A user's own SQL is refused before a build where BigQuery would refuse it, although the local BigQuery runs it."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from rawless.datasets import googlesql, own_queries, sources
from rawless.datasets.compile import CompiledDataset, compile_dataset
from rawless.datasets.dataset import Dataset
from rawless.datasets.query_files import Query, find_query
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.tables import ROLES
from tests.shop import LABEL, SPEC, Shop

NOWHERE = Warehouse(
    WarehouseConfig.model_validate({"project": "local-dev", **{role: role for role in ROLES}}),
    Emulator("http://127.0.0.1:9", "127.0.0.1:9"),
)
FIELDS = {
    "confirmed": {
        "event_id": "STRING", "value": "STRING", "score": "FLOAT", "day": "DATE", "at": "DATETIME",
        "confirmed_at": "TIMESTAMP",
    },
    "account_closed": {"customer_id": "STRING", "closed_at": "TIMESTAMP"},
}  # fmt: skip
RULE = """/*
says: Keeps some.
without_subject: judge
*/
SELECT event.example_id, event.event_id
FROM event
{}
"""
JOIN = "INNER JOIN confirmed ON event.event_id = confirmed.event_id"


def compiled(rule: str | None = None, label: str = LABEL) -> CompiledDataset:
    """A dataset with an own label and an own rule, over sources that are in no warehouse."""
    rules = [{"own": {}}] if rule else []
    spec = DatasetSpec.model_validate({**SPEC, "rules": rules, "folder": "."})
    query = Query(folder="labels", name="confirmed_upload", text=label)
    own = tuple(Query(folder="rules", name="own", text=text) for text in [rule] if text)
    made = compile_dataset(NOWHERE, Dataset(spec=spec, label=query, rules=own))
    tables = {
        source.name: sources.source_table(
            source, f"local-dev.events.{source.table}", [SchemaField(*each) for each in FIELDS[source.table].items()]
        )
        for source in spec.sources
    }
    return replace(made, look_up_sources=lambda: tables)


def refusal(rule: str | None = None, **texts: Any) -> str:
    with pytest.raises(UserError) as refused:
        own_queries.check(compiled(rule, **texts))
    return str(refused.value)


@pytest.fixture(params=["analyzer", "types"])
def checked_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Check with Google's analyzer, and without it."""
    if request.param == "types":
        monkeypatch.setattr(own_queries, "find_spec", lambda name: None)
    return request.param


@pytest.mark.parametrize(
    ("clauses", "words"),
    [
        ("WHERE split = 'train'", "split"),
        ("WHERE removed_by IS NULL", "removed_by"),
        ("WHERE event.occurred_at > TIMESTAMP_SUB(@as_of, INTERVAL 3 MONTH)", "longer than a DAY"),
        ("WHERE TIMESTAMP_DIFF(@as_of, event.occurred_at, MONTH) < 3", "longer than a DAY"),
        (f"{JOIN} WHERE event.occurred_at >= confirmed.day", "TIMESTAMP, DATE"),
        (f"{JOIN} WHERE confirmed.day = @as_of", "DATE, TIMESTAMP"),
        (f"{JOIN} WHERE event.occurred_at < confirmed.at", "TIMESTAMP, DATETIME"),
        (f"{JOIN} WHERE event.occurred_at BETWEEN confirmed.known_at AND confirmed.at", "BETWEEN"),
        (f"{JOIN} WHERE confirmed.score = confirmed.value", "FLOAT64, STRING"),
        (f"{JOIN} WHERE confirmed.score IN ('1')", "IN"),
        ("WHERE event.event_id ILIKE 'a'", "ILIKE"),
        ("WHERE event.label_value::STRING = '1'", "::"),
        ("LEFT SEMI JOIN confirmed ON event.event_id = confirmed.event_id", "SEMI"),
        ("ORDER BY event.event_id LIMIT 5 + 5", "LIMIT"),
    ],
)  # fmt: skip
def test_a_rule_that_bigquery_refuses_is_refused_before_the_build(clauses: str, words: str, checked_by: str) -> None:
    text = RULE.format(clauses).replace("judge\n", "judge\nconstants: [train, a, '1']\n")
    with pytest.raises(UserError) as refused:
        own_queries.check(compiled(text))
    sentence = str(refused.value)

    assert sentence.startswith("The rule own ")
    assert all(word in sentence for word in words.split(", "))


VALID = [
    "WHERE event.occurred_at >= TIMESTAMP('2026-01-01') AND event.occurred_at < '2026-02-01 00:00:00+00'",
    f"{JOIN} WHERE DATE(event.occurred_at, 'UTC') > confirmed.day AND confirmed.at >= confirmed.day",
    f"{JOIN} WHERE DATE_TRUNC(event.occurred_at, MONTH) = TIMESTAMP(confirmed.day) AND score > 1",
    f"{JOIN} WHERE EXTRACT(ISOWEEK FROM confirmed.day) = 1 OR EXTRACT(DATE FROM event.occurred_at) = confirmed.day",
    f"{JOIN} WHERE SAFE_CAST(confirmed.value AS FLOAT64) >= confirmed.score AND confirmed.day = '2026-01-01'",
    f"{JOIN} WHERE DATE_DIFF(confirmed.day, DATE(@as_of, 'UTC'), WEEK(MONDAY)) > 2 AND confirmed.score <> 1.5",
    "WHERE EXISTS (SELECT 1 FROM UNNEST(event.attributes) WHERE key = 'a' AND value IN ('b'))",
    "WHERE ARRAY_LENGTH(ARRAY_FILTER(event.attributes, each -> each.key = 'a')) > 0 AND label IN ('cat', 'dog')",
    "WHERE event.event_id IN (SELECT c.event_id FROM (SELECT event_id, MAX(score) AS best FROM confirmed "
    "GROUP BY event_id) AS c WHERE best > 1)",
    "WHERE event.person_key IN (SELECT person_key FROM account_closed WHERE known_at <= event.occurred_at)",
    "WHERE NORMALIZE(event.event_id, NFKC) = 'a' AND LAST_DAY(DATE(event.occurred_at), MONTH) > DATE '2026-01-01'",
    "QUALIFY ROW_NUMBER() OVER (PARTITION BY person_key ORDER BY occurred_at DESC, event_id) = 1",
    "WHERE TIMESTAMP_TRUNC(event.occurred_at, HOUR) = event.labelled_at AND label_value BETWEEN 1 AND 2.5",
    "WHERE FORMAT_TIMESTAMP('%H', event.occurred_at, 'UTC') = '10' AND MOD(FARM_FINGERPRINT(event.event_id), 10) < 5",
]


@pytest.mark.parametrize("clauses", VALID)
def test_a_rule_that_bigquery_accepts_is_accepted(clauses: str, checked_by: str) -> None:
    constants = "constants: [a, b, '2026-01-01', '2026-02-01 00:00:00+00', UTC, '%H', '10']"
    text = RULE.format(clauses.replace("2026-02-01 00:00:00+00", "2026-02-01")).replace(
        "judge\n", f"judge\n{constants.replace(' 00:00:00+00', '')}\n"
    )

    own_queries.check(compiled(text))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("confirmed.event_id, confirmed.value AS label, confirmed.day AS labelled_at", "DATE, TIMESTAMP"),
        ("confirmed.score AS event_id, confirmed.value AS label, confirmed.known_at AS labelled_at", "FLOAT64"),
    ],
)
def test_a_label_of_other_types_is_refused_by_the_analyzer(columns: str, words: str) -> None:
    sentence = refusal(label=LABEL.replace(LABEL[LABEL.index("SELECT ") + 7 : LABEL.index(" FROM")], columns))

    assert sentence.startswith("The label confirmed_upload is refused by BigQuery for the columns that it returns: ")
    assert all(word in sentence for word in words.split(", "))


def test_the_words_of_google_name_the_place_in_the_users_file() -> None:
    sentence = refusal(RULE.format("WHERE event.occurred_at > @as_of\n  AND event.logged_at > DATE(@as_of)"))

    assert "in line 8, column 7 of rules/own.sql: No matching signature" in sentence


def test_where_conditions_leave_out_lines_the_words_name_the_line_itself() -> None:
    sentence = refusal(RULE.format("WHERE TRUE\n{% if not true %}AND FALSE{% endif %}\n  AND split = event.label"))

    assert "by BigQuery where it has 'AND split = event.label': Unrecognized name: split; correct it." in sentence


def test_on_google_cloud_a_dry_run_refuses_what_bigquery_refuses(shop: Shop) -> None:
    (shop.folder / "rules").mkdir()
    (shop.folder / "rules" / "own.sql").write_text(RULE.format("WHERE split = event.label"))
    cloud = replace(shop.warehouse, emulator=None)
    cloud.__dict__["client"] = shop.warehouse.client

    with pytest.raises(UserError, match=r"The rule own is refused by BigQuery.*split"):
        own_queries.check(compile_dataset(cloud, shop.dataset(rules=["own"])))

    own_queries.check(compile_dataset(cloud, shop.dataset(rules=[])))
    assert shop.left() == (0, 0, [])


def test_waiting_for_the_analyzer_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Event()
    monkeypatch.setattr(googlesql, "_PATIENCE", 0.0)
    monkeypatch.setattr(googlesql, "_analyzer", waiting.wait)

    assert googlesql.load(waiting.set) is True


@pytest.mark.parametrize(
    ("clauses", "words"),
    [
        ("WHERE event.occured_at > @as_of", "reads occured_at of event in line 7, column 13 of rules/own.sql"),
        ("WHERE event.occured_at > @as_of", "(did you mean occurred_at?): it has example_id, event_id, person_key"),
        (f"{JOIN} AND confirmed.vlaue IS NULL", "reads vlaue of confirmed in line 7, column 75"),
        (f"{JOIN} AND confirmed.vlaue IS NULL", "(did you mean value?): it has known_at, event_id, value, score"),
        ("WHERE EXISTS (SELECT 1 FROM confirmed AS c WHERE c.evnt_id = event.event_id)", "reads evnt_id of confirmed"),
        (f"{JOIN} AND confirmed.person_key = event.person_key", "name the column of customers by customer"),
        ("INNER JOIN account_closed AS a ON a.customer_id = event.person_key", "reads customer_id of account_closed"),
    ],
)
def test_a_column_that_a_table_lacks_is_named_with_its_place_and_what_was_meant(
    checked_by: str, clauses: str, words: str
) -> None:
    assert words in refusal(RULE.format(clauses))


def test_a_column_that_the_analyzer_finds_is_answered_with_what_was_meant() -> None:
    assert "Unrecognized name: occured_at (did you mean occurred_at?); correct it." in refusal(
        RULE.format("WHERE occured_at IS NULL")
    )


def test_columns_of_subqueries_with_parts_arrays_and_pivots_are_not_mistaken_for_those_of_tables() -> None:
    rule = """/*
says: Keeps some.
without_subject: judge
constants: [channel]
*/
WITH last AS (SELECT confirmed.event_id, MAX(confirmed.score) AS best FROM confirmed GROUP BY confirmed.event_id)
SELECT event.example_id, event.event_id
FROM event
INNER JOIN last ON last.event_id = event.event_id AND last.best > 0
WHERE EXISTS (SELECT 1 FROM UNNEST(event.attributes) AS own WHERE own.key = 'channel')
"""
    own_queries.check(compiled(rule))


def test_a_built_in_rule_over_a_table_without_its_columns_is_refused_before_anything_runs() -> None:
    rules = [{"exclude_closed_accounts": {"closed": "confirmed"}}]
    spec = DatasetSpec.model_validate({**SPEC, "rules": rules, "folder": "."})
    label = Query(folder="labels", name="confirmed_upload", text=LABEL)
    rule = find_query("rules", "exclude_closed_accounts", Path("nowhere"))
    made = compile_dataset(NOWHERE, Dataset(spec=spec, label=label, rules=(rule,)))
    looked_up = replace(made, look_up_sources=compiled().look_up_sources)

    with pytest.raises(
        UserError, match=r"exclude_closed_accounts reads person_key of confirmed, which has no such col"
    ):
        own_queries.check(looked_up)
