"""Snapshot ids: comments and layout of SQL do not change them, every change of meaning does."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects.bigquery import BigQuery

from rawless.datasets import identity
from rawless.datasets.compile import compile_dataset
from rawless.datasets.dataset import Dataset
from rawless.datasets.identity import normalise_sql, sql_digest
from rawless.datasets.query_files import Query
from rawless.datasets.spec import DatasetSpec
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from rawless.warehouse.tables import FOLDER
from tests.shop import SPEC

WAREHOUSE = Warehouse(
    WarehouseConfig(project="local-dev", events="e", snapshots="s", builds="b", subjects="u", audit="a")
)
HEADER = (
    "/*\nsays: What was confirmed.\nkind: event\nconstants: ['--', a, b, A]\n"
    "parameters:\n  least: {type: integer, default: 3}\n*/\n"
)
LABEL = """
SELECT confirmed.event_id, TRIM(confirmed.value, '--') AS label, confirmed.known_at AS labelled_at
FROM confirmed
WHERE confirmed.score >= @least AND confirmed.weight + 1.5 > 0 AND NOT confirmed.value IN ('a', 'b')
"""
RULE_HEADER = "/*\nsays: Keeps all.\nwithout_subject: keep\n*/\n"
RULE = "SELECT event.example_id, event.event_id FROM event WHERE event.label != 'dog'"
LAYOUT = st.sampled_from([" ", "\n", "\t", "  \n\n ", " /* a, 'b' */ ", " -- it's\n", " # c\n", "\n/* SELECT 1 */\n"])
TEMPLATES = sorted([*FOLDER.glob("templates/*.sql"), *FOLDER.glob("embedding_event_v1/*.sql")])


def snapshot_id(label: str = HEADER + LABEL, rule: str = RULE_HEADER + RULE, **fields: Any) -> str:
    spec = SPEC | {"label": {"query": "confirmed", "classes": ["cat", "dog"]}, "rules": ["all"]} | fields
    dataset = Dataset(
        spec=DatasetSpec.model_validate(spec),
        label=Query(folder="labels", name="confirmed", text=label),
        rules=(Query(folder="rules", name="all", text=rule),),
    )
    return compile_dataset(WAREHOUSE, dataset).snapshot_id


def words(text: str) -> list[str]:
    return [text[token.start : token.end + 1] for token in BigQuery().tokenize(text)]


@given(st.lists(LAYOUT, min_size=len(words(LABEL)), max_size=len(words(LABEL))))
def test_comments_and_white_space_between_words_do_not_change_sql(layout: list[str]) -> None:
    relaid = "".join(word + gap for word, gap in zip(words(LABEL), layout, strict=True))
    assert normalise_sql(relaid) == normalise_sql(LABEL)


@given(st.lists(LAYOUT, min_size=LABEL.count(" "), max_size=LABEL.count(" ")))
def test_comments_and_white_space_do_not_change_an_id(layout: list[str]) -> None:
    gaps = iter(layout)
    relaid = re.sub(" ", lambda _: next(gaps), LABEL)
    assert snapshot_id(label=HEADER + relaid) == snapshot_id()


@given(
    st.integers(0, len(words(LABEL)) - 1), st.sampled_from(["other", "7", "'c'", "<", "-", "OR", "`value`", "@as_of"])
)
def test_another_word_changes_sql(position: int, word: str) -> None:
    changed = words(LABEL)
    changed[position] = word
    assert (normalise_sql(" ".join(changed)) == normalise_sql(LABEL)) is (word == words(LABEL)[position])


CHANGES = {
    "a string": ("'a'", "'A'"),
    "a number": ("1.5", "1.25"),
    "an operator": (">= @least", "> @least"),
    "arithmetic": ("+ 1.5", "- 1.5"),
    "a condition": ("AND NOT", "OR NOT"),
    "a column": ("confirmed.score", "confirmed.weight"),
    "a function": ("TRIM", "LTRIM"),
    "a parameter's default": ("default: 3", "default: 4"),
    "a parameter's type": ("type: integer, default: 3", "type: number, default: 3.0"),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_meaning_changes_the_id(old: str, new: str) -> None:
    assert old in HEADER + LABEL
    assert snapshot_id(label=(HEADER + LABEL).replace(old, new)) != snapshot_id()


def test_a_rule_that_treats_events_without_subject_differently_changes_the_id() -> None:
    assert snapshot_id(rule=RULE_HEADER.replace("keep", "drop") + RULE) != snapshot_id()


def test_a_description_and_the_case_of_keywords_do_not_change_the_id() -> None:
    described = HEADER.replace("What was confirmed.", "The confirmed value.")
    assert snapshot_id(label=described + LABEL.replace("SELECT", "select").replace(" AND ", " and ")) == snapshot_id()


def test_fields_that_change_no_row_do_not_change_the_id() -> None:
    assert snapshot_id(require={"min_rows": 5}, budget={"max_bytes_billed": "1GB"}, folder="there") == snapshot_id()
    assert snapshot_id(as_of="2026-02-01T01:00:00+01:00") == snapshot_id()
    assert snapshot_id(stream="other") != snapshot_id()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
@given(data=st.data())
@settings(max_examples=20)
def test_comments_and_white_space_do_not_change_a_template(path: Path, data: st.DataObject) -> None:
    text = path.read_text(encoding="utf-8")
    relaid, end = "", 0
    for token in BigQuery().tokenize(text):
        gap = text[end : token.start]
        relaid += gap + data.draw(LAYOUT) if gap else ""
        relaid += text[token.start : token.end + 1]
        end = token.end + 1
    assert normalise_sql(relaid) == normalise_sql(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("{{ a }}_b", "{{ a }} _b"),
        ("{{ a }}", "{{ b }}"),
        ("a{% if b %}c{% endif %}", "a {% if b %}c{% endif %}"),
        ("`a b`", "`a  b`"),
        ("'-- x'", "'--  x'"),
        ("a.b", "a b"),
    ],
)
def test_layout_that_has_a_meaning_changes_sql(text: str, other: str) -> None:
    assert normalise_sql(text) != normalise_sql(other)


def test_the_templates_of_adapted_rows_are_another_dataset_and_leave_all_others_as_they_are() -> None:
    assert snapshot_id(adapted="b-from-a@1.0.0") != snapshot_id()
    assert sql_digest(adapted=True) != sql_digest()
    for path in TEMPLATES:
        text = identity._IF_ADAPTED.sub("", path.read_text(encoding="utf-8"))
        assert "if adapted" not in text, f"{path.name} has a branch that ids of other datasets would depend on"


def test_a_change_of_a_template_changes_the_digest_and_the_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, before_id = sql_digest(), snapshot_id()
    for path in identity.TEMPLATES.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(identity, "TEMPLATES", tmp_path)
    template = tmp_path / "split.sql"

    template.write_text(f"-- A comment.\n{template.read_text()}\n")
    sql_digest.cache_clear()
    assert (sql_digest(), snapshot_id()) == (before, before_id)

    adapted = sql_digest(adapted=True)
    template.write_text(template.read_text().rstrip() + "\n{%- if adapted %}\nOR 1 = 2\n{%- endif %}\n")
    sql_digest.cache_clear()
    assert (sql_digest(), snapshot_id()) == (before, before_id)
    assert sql_digest(adapted=True) != adapted

    template.write_text(template.read_text().replace(">=", ">"))
    sql_digest.cache_clear()
    assert sql_digest() != before
    assert snapshot_id() != before_id
    sql_digest.cache_clear()
