"""`rawless dataset test`: what a test of one's own SQL finds, and what it says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.datasets import unit_tests
from rawless.datasets.unit_tests import Outcome
from rawless.errors import UserError
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse

LABEL = """/*
says: The topic that staff told us.
kind: event
*/
SELECT topic_told.event_id, topic_told.topic AS label, topic_told.known_at AS labelled_at FROM topic_told
"""
RULE = """/*
says: Keeps persons with an open order of at least the given amount.
without_subject: drop
parameters:
  amount: {type: number, minimum: 0}
constants: [open]
*/
SELECT event.example_id, event.event_id
FROM event
WHERE event.person_key IN (
  SELECT orders.person_key FROM orders WHERE orders.state = 'open' AND orders.amount >= @amount
)
"""
DATASET: dict[str, Any] = {
    "dataset": "support_topics",
    "stream": "support_message",
    "encoder": "minilm@1.0.0",
    "sources": [
        {"table": "topic_told", "known_at": "told_at"},
        {"table": "account_closed", "known_at": "closed_at", "customer": "customer_id"},
        {"table": "orders", "known_at": "ordered_at"},
    ],
    "label": {"query": "told_topic", "classes": ["account", "app", "payment"], "maturity": "7d"},
    "rules": ["exclude_closed_accounts", {"open_order": {"amount": 10.0}}],
    "split": {"by": "person", "train": 0.8, "validation": 0.1, "test": 0.1, "salt": "a"},
    "as_of": "2026-11-01T00:00:00Z",
}
OF_THE_LABEL = """
name: of several labels the one that became known last counts
label: told_topic
given:
  events:
    - {event_id: a, occurred_at: 2026-10-01T00:00:00Z}
    - {event_id: untold, occurred_at: 2026-10-01T00:00:00Z}
    - {event_id: young, occurred_at: 2026-10-30T00:00:00Z}
    - {event_id: strange, occurred_at: 2026-10-01T00:00:00Z}
  sources:
    topic_told:
      - {event_id: a, topic: app, told_at: 2026-10-02T00:00:00Z}
      - {event_id: a, topic: payment, told_at: 2026-10-03T00:00:00+01:00}
      - {event_id: a, topic: account, told_at: 2026-11-03T00:00:00Z}
      - {event_id: young, topic: app}
      - {event_id: strange, topic: "it's a \\\\ 'topic'"}
expect:
  labels: {a: payment}
  removed: {labelled: [untold], mature: [young], outside: [strange]}
"""
OF_A_RULE = """
name: only persons with a large open order
rule: open_order
given:
  events:
    - {event_id: a, person_key: ann, label: app}
    - {event_id: b, person_key: bob, label: app}
    - {event_id: c, person_key: cat, label: app}
    - {event_id: of-nobody, label: app}
  sources:
    orders:
      - {person_key: ann, state: open, amount: 10}
      - {person_key: bob, state: open, amount: 9.5}
      - {person_key: cat, state: paid, amount: 99}
expect: {kept: [a], removed: {open_order: [b, c, of-nobody]}}
"""
OF_ALL = """
name: the ledger names the first rule that removes an event
given:
  events:
    - {event_id: a, person_key: ann, occurred_at: 2026-10-01T00:00:00Z, attributes: {channel: chat}}
    - {event_id: b, person_key: bob, occurred_at: 2026-10-01T00:00:00Z}
    - {event_id: c, person_key: cat, occurred_at: 2026-10-01T00:00:00Z}
  sources:
    topic_told: [{event_id: a, topic: app}, {event_id: b, topic: app}, {event_id: c, topic: app}]
    account_closed: [{person_key: bob}]
    orders: [{person_key: ann, state: open, amount: 100}]
expect: {kept: [a], removed: {exclude_closed_accounts: [b], open_order: [c]}}
"""
TESTS = [yaml.safe_load(text) for text in (OF_THE_LABEL, OF_A_RULE, OF_ALL)]


def write(
    folder: Path, tests: list[dict[str, Any]], *, rule_sql: str = RULE, label_sql: str = LABEL, **fields: Any
) -> Path:
    """Write a dataset, its queries and a file of unit tests, and return the file's path."""
    for name, text in {"labels/told_topic.sql": label_sql, "rules/open_order.sql": rule_sql}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    types = fields.pop("types", {})
    (folder / "topics.yaml").write_text(yaml.safe_dump(DATASET | fields))
    file = folder / "tests" / "topics.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump({"dataset": "../topics.yaml", "types": types, "unit_tests": tests}))
    return file


@pytest.fixture
def run(stack: Stack) -> Callable[[Path], list[Outcome]]:
    """Runs a file of unit tests on the session's local BigQuery, without tables, and on Google's evaluator."""
    warehouse = Warehouse(LOCAL_CONFIG.model_copy(update={"events": "no_such_dataset"}), stack.bigquery)
    google = unit_tests.google(lambda: None)

    def run(file: Path) -> list[Outcome]:
        outcomes = list(unit_tests.run_file(file, warehouse, warehouse.query, google))
        assert all(outcome.is_compared for outcome in outcomes)
        return outcomes

    return run


def differences(outcome: Outcome) -> list[tuple[str, str, str]]:
    assert outcome.error == ""
    return [(each.example, each.expected, each.actual) for each in outcome.differences]


def test_tests_of_a_label_of_a_rule_and_of_all_pass(run: Callable[[Path], list[Outcome]], tmp_path: Path) -> None:
    outcomes = run(write(tmp_path, TESTS))

    assert [(outcome.differences, outcome.error) for outcome in outcomes] == [((), "")] * 3


def test_a_mistake_in_a_rule_is_shown_by_what_became_of_each_example(
    run: Callable[[Path], list[Outcome]], tmp_path: Path
) -> None:
    wrong = RULE.replace("orders.state = 'open' AND ", "").replace("constants: [open]\n", "").replace("drop", "keep")
    label, rule, everything = run(write(tmp_path, TESTS, rule_sql=wrong))

    assert label.passed
    assert everything.passed
    assert differences(rule) == [
        ("c", "not kept", "kept, label app"),
        ("of-nobody", "not kept", "kept, label app"),
        ("c", "removed by open_order", "kept, label app"),
        ("of-nobody", "removed by open_order", "kept, label app"),
    ]


def test_a_mistake_in_a_label_is_shown_with_the_label(run: Callable[[Path], list[Outcome]], tmp_path: Path) -> None:
    wrong = LABEL.replace("topic_told.topic AS label", "LOWER('APP') AS label").replace("*/", "constants: [APP]\n*/")
    (outcome,) = run(write(tmp_path, TESTS[:1], label_sql=wrong))

    assert differences(outcome) == [
        ("strange", "removed by outside", "kept, label app"),
        ("a", "label payment", "kept, label app"),
        ("strange", "not kept", "kept, label app"),
    ]


def test_sql_that_the_engine_refuses_fails_its_test_only(run: Callable[[Path], list[Outcome]], tmp_path: Path) -> None:
    label, rule, _ = run(
        write(tmp_path, TESTS, rule_sql=RULE.replace("event.event_id\n", "event.number AS event_id\n"))
    )

    assert label.passed
    assert rule.error.startswith("BigQuery refused the query: ")
    assert "number" in rule.error


PAIRS = """/*
says: Whether two messages are about the same.
kind: pair
*/
SELECT told.left_event_id, told.right_event_id, told.topic AS label, told.known_at AS labelled_at
FROM topic_told AS told
"""
OF_PAIRS = """
name: a pair of an event with itself, and one whose event is unknown, is removed
given:
  events:
    - {event_id: a, person_key: ann, occurred_at: 2026-01-01T00:00:00Z}
    - {event_id: b, occurred_at: 2026-01-01T00:00:00Z}
  sources:
    topic_told:
      - {left_event_id: a, right_event_id: b, topic: app}
      - {left_event_id: a, right_event_id: a, topic: app}
      - {left_event_id: a, right_event_id: c, topic: app}
expect: {kept: [[a, b]], removed: {different_events: [[a, a]], eligible: [[a, c]]}}
"""
SUBJECTS = """/*
says: Whether a person left.
kind: subject
*/
SELECT topic_told.person_key, topic_told.topic AS label, topic_told.known_at AS labelled_at FROM topic_told
"""
OF_SUBJECTS = """
name: the latest event within the window before the label
given:
  events: [{event_id: a, person_key: ann, occurred_at: 2026-01-01T00:00:00Z}]
  sources:
    topic_told:
      - {person_key: ann, topic: app, told_at: 2026-01-02T00:00:00Z}
      - {person_key: bob, topic: app, told_at: 2026-01-02T00:00:00Z}
expect: {labels: {ann: app}, removed: {event_in_window: [bob]}}
"""


@pytest.mark.parametrize(
    ("label", "test", "fields"),
    [
        pytest.param(PAIRS, OF_PAIRS, {"kind": "pair"}, id="pair"),
        pytest.param(SUBJECTS, OF_SUBJECTS, {"kind": "subject", "window": "30d"}, id="subject"),
    ],
)
def test_labels_of_pairs_and_of_persons_are_tested_too(
    run: Callable[[Path], list[Outcome]], tmp_path: Path, label: str, test: str, fields: dict[str, str]
) -> None:
    declared = DATASET["label"] | fields
    file = write(tmp_path, [yaml.safe_load(test)], label_sql=label, rules=[], label=declared)
    (outcome,) = run(file)

    assert differences(outcome) == []


@pytest.mark.parametrize(
    ("without_subject", "condition", "kept"),
    [("drop", "TRUE", ["a"]), ("keep", "FALSE", ["of-nobody"]), ("judge", "TRUE", ["a", "of-nobody"])],
)
def test_an_event_without_a_person_is_kept_or_dropped_as_the_header_says(
    run: Callable[[Path], list[Outcome]], tmp_path: Path, without_subject: str, condition: str, kept: list[str]
) -> None:
    rule = (
        f"/*\nsays: Keeps some.\nwithout_subject: {without_subject}\n*/\n"
        f"SELECT event.example_id, event.event_id FROM event WHERE {condition}"
    )
    events = [{"event_id": "a", "person_key": "ann"}, {"event_id": "of-nobody"}]
    test = {"name": "t", "rule": "open_order", "given": {"events": events}, "expect": {"kept": kept}}
    (outcome,) = run(write(tmp_path, [test], rule_sql=rule, rules=["open_order"]))

    assert differences(outcome) == []


CASES = Path(__file__).parents[1] / "sql" / "snapshot_v1"


@pytest.mark.parametrize("name", ["require_consent", "one_label_only"])
def test_a_rule_removes_as_many_rows_in_a_unit_test_as_in_a_build(
    run: Callable[[Path], list[Outcome]], tmp_path: Path, name: str
) -> None:
    """The cases of builds, as unit tests: their ledgers are those that builds wrote."""
    case, base = CASES / f"test_{name}", yaml.safe_load((CASES / "row.yaml").read_text())
    rows = [base | row for row in yaml.safe_load((case / "rows.yaml").read_text())]
    tables = case / "tables.yaml"
    given = yaml.safe_load(tables.read_text()) if tables.exists() else {}
    sources = {
        table: [{"person_key" if key == "subject_key" else key: value for key, value in row.items()} for row in each]
        for table, each in given.items()
    }
    sources["confirmed"] = [
        {"event_id": row["event_id"], "value": row["label"], "confirmed_at": row["labelled_at"]}
        for row in rows if row["label"] is not None
    ]  # fmt: skip
    events = [
        {"event_id": row["event_id"], "person_key": row["subject_key"], "occurred_at": row["occurred_at"],
         "attributes": row["attributes"]}
        for row in rows
    ]  # fmt: skip
    test = {"name": name, "given": {"events": events, "sources": sources}, "expect": {"removed": {}}}
    fields = yaml.safe_load((CASES / "dataset.yaml").read_text())
    file = write(tmp_path, [test], **(fields | yaml.safe_load((case / "dataset.yaml").read_text())))
    (tmp_path / "labels" / "confirmed.sql").write_text((CASES / "labels" / "confirmed.sql").read_text())
    (outcome,) = run(file)
    removed: dict[str, int] = {}
    for _, expected, actual in differences(outcome):
        assert f"not {actual}" == expected
        line = actual.removeprefix("removed by ")
        removed[line] = removed.get(line, 0) + 1

    assert removed == yaml.safe_load((case / "expected.yaml").read_text())["ledger"]


def with_rows(rows: list[dict[str, Any]], source: str = "orders") -> dict[str, Any]:
    return {"name": "t", "given": {"events": [], "sources": {source: rows}}, "expect": {"kept": []}}


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (with_rows([{"customer_id": "1"}], "account_closed"), "customer_id, but SQL sees persons in its place"),
        (with_rows([{"amount": 1}, {"amount": "much"}]), "amount as INT64 and STRING: write all its values as one"),
        (with_rows([{"amount": [1]}]), "amount as list: write a text, number, boolean or time"),
        (with_rows([], "invoices"), "gives rows of invoices, but the dataset's sources are: topic_told"),
        (TESTS[1] | {"rule": "closed"}, "is of the rule closed, but the dataset's rules are: exclude_closed_accounts"),
        (TESTS[0] | {"label": "told"}, "is of the label told, but the dataset's label is told_topic"),
        (TESTS[0] | {"expect": {"removed": {"sampled": []}}}, "expects removal by sampled, but the ledger has: "),
        (TESTS[0] | {"expect": {}}, "a test expects kept, removed or labels"),
        (TESTS[0] | {"rule": "open_order"}, "a test is of a label, of a rule, or of all"),
        (TESTS[1] | {"rule": None}, "events with labels are for the test of a rule"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_in_one_sentence(
    tmp_path: Path, test: dict[str, Any], words: str
) -> None:
    file = write(tmp_path, [test])

    def run(*_: object) -> list[dict[str, Any]]:
        raise AssertionError("nothing should be run")

    with pytest.raises(UserError) as raised:
        list(unit_tests.run_file(file, Warehouse(LOCAL_CONFIG), run))

    assert words in str(raised.value)


def test_engines_that_differ_fail_a_test_and_are_both_named(stack: Stack, tmp_path: Path) -> None:
    """A time with a 60th second is one of the few texts that they read differently."""
    rule = RULE.replace("orders.state = 'open' AND orders.amount >= @amount", "SAFE_CAST(orders.state AS TIME) IS NULL")
    rule = rule.replace("constants: [open]\n", "").replace("parameters:\n  amount: {type: number, minimum: 0}\n", "")
    test = yaml.safe_load(OF_A_RULE) | {"expect": {"kept": ["b"]}}
    test["given"]["sources"]["orders"] = [{"person_key": "ann", "state": "10:00:60"}, {"person_key": "bob"}]
    file = write(tmp_path, [test], rule_sql=rule, rules=["open_order"])
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    (outcome,) = unit_tests.run_file(file, warehouse, warehouse.query, unit_tests.google(lambda: None))

    assert not outcome.passed
    assert outcome.error == (
        "The engines differ about a: the local BigQuery says kept, label app, Google's evaluator, like BigQuery, says "
        "removed by open_order; change the SQL so that both agree."
    )


def test_sql_that_one_engine_refuses_fails_a_test_in_its_words(
    run: Callable[[Path], list[Outcome]], tmp_path: Path
) -> None:
    rule = RULE.replace("WHERE event", "WHERE event.occurred_at >= DATE(event.logged_at) AND event")
    (outcome,) = run(write(tmp_path, TESTS[1:2], rule_sql=rule))

    assert outcome.error.startswith("The local BigQuery runs this SQL, but Google's evaluator refuses it: No matching")


def test_an_evaluator_that_fails_or_is_missing_leaves_the_answer_of_the_local_bigquery(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[dict[str, Any]]:
        raise unit_tests.NoAnswer

    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    (outcome,) = unit_tests.run_file(write(tmp_path, TESTS[1:2]), warehouse, warehouse.query, fail)
    monkeypatch.setattr(unit_tests, "find_spec", lambda _: None)

    assert outcome.passed
    assert not outcome.is_compared
    assert unit_tests.google(lambda: None) is None


def test_a_type_that_no_value_has_is_declared(run: Callable[[Path], list[Outcome]], tmp_path: Path) -> None:
    rule = RULE.replace("orders.amount >= @amount", "orders.paid_on IS NULL AND @amount > 0")
    test = yaml.safe_load(OF_A_RULE) | {"expect": {"kept": ["a", "b"]}}
    (outcome,) = run(write(tmp_path, [test], rule_sql=rule, types={"orders": {"paid_on": "DATE", "amount": "NUMERIC"}}))

    assert differences(outcome) == []
