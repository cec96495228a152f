"""Names in SQL that BigQuery could read in two ways."""

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
}
FRAGMENTS = {"first_delivery.sql", "latest.sql", "source_rows.sql", "known.sql"}
"""Parts that other files include."""


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


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name not in FRAGMENTS], ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_no_table_is_named_like_a_column(file: Path) -> None:
    """In ORDER BY, BigQuery would read `head.created_at` as a field of the result's column `head`."""
    sql = ENVIRONMENT.get_template(file.relative_to(FOLDER).as_posix()).render(CONTEXT)
    tree = parse_one(sql, dialect="bigquery")

    assert [name for select in tree.find_all(exp.Select) for name in ambiguous(select)] == []
