"""SQL that BigQuery could read in another way than the local BigQuery."""

from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from sqlglot import exp, parse_one

from rawless.warehouse.tables import FOLDER, names, table

FILES = sorted(FOLDER.glob("*/*.sql"))
CONTEXT = {
    "inputs": "event AS (SELECT 1 AS event_id)",
    "query": "SELECT 1 AS event_id",
    "start_at": "@start_at",
    "end_at": "@end_at",
    "vectors": True,
    "withdrawn": "withdrawn",
    "reopened": "reopened",
    "steps": [{"position": 1, "sql": "SELECT remaining.example_id FROM remaining"}],
    "columns": ["event_id"],
    "subject_list": "subject_list",
    "event_list": "event_list",
    "of": {"subject": "person_key", "times": ["occurred_at"], "events": ["event_id"], "stream": "stored.stream"},
}
FRAGMENTS = {
    "first_delivery.sql", "latest.sql", "source_rows.sql", "known.sql", "canonical.sql", "delivery_hash.sql",
    "features.sql", "near_duplicates.sql", "remaining.sql", "row_hash.sql", "selected_vectors.sql", "snapshot_row.sql",
    "split.sql", "is_erased.sql", "erased.sql",
}  # fmt: skip
"""Parts that other files include."""
FIXED = {"dropped_pairs.sql": ["spread"]}
"""Names in included parts that the ids of snapshots depend on, by the statement; no ORDER BY reads them."""


class Named(jinja2.Undefined):
    """What a caller fills in, rendered as its own name."""

    def __str__(self) -> str:
        return self._undefined_name or ""

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return name


ENVIRONMENT = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), undefined=Named, autoescape=False)


def ambiguous(select: exp.Select) -> Iterator[str]:
    """Yield the aliases of tables that are also names of columns, either of the table or of the result."""
    sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
    for source in (each.this for each in sources if each):
        if not isinstance(source, exp.Table | exp.Subquery):
            continue
        own = {column.name for column in table(source.name).columns} if source.name in names() else set()
        if source.alias_or_name in own | {column.alias_or_name for column in select.expressions}:
            yield source.alias_or_name


def parsed(file: Path) -> exp.Expr:
    sql = ENVIRONMENT.get_template(file.relative_to(FOLDER).as_posix()).render(CONTEXT)
    return parse_one(sql, dialect="bigquery")


STATEMENTS = pytest.mark.parametrize(
    "file", [file for file in FILES if file.name not in FRAGMENTS], ids=lambda file: f"{file.parent.name}/{file.stem}"
)


@STATEMENTS
def test_no_table_is_named_like_a_column(file: Path) -> None:
    """In ORDER BY, BigQuery would read `head.created_at` as a field of the result's column `head`."""
    found = [name for select in parsed(file).find_all(exp.Select) for name in ambiguous(select)]
    assert found == FIXED.get(file.name, [])


def of_type(kind: str) -> set[str]:
    return {column.name for name in names() for column in table(name).columns if column.type == kind}


@STATEMENTS
def test_no_time_is_hashed_as_text(file: Path) -> None:
    """BigQuery writes a TIMESTAMP otherwise than the local one, so another of two equal deliveries would come first."""
    tree = parsed(file)
    rows = {part.alias for part in tree.find_all(exp.CTE)}
    hashed = [
        column.name
        for function in tree.find_all(exp.JSONFormat)
        for column in function.find_all(exp.Column)
        if not isinstance(column.parent, exp.UnixMicros)
    ]

    assert set(hashed) & (of_type("TIMESTAMP") | rows) == set()
