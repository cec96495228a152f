"""INSERT, UPDATE, DELETE and MERGE as queries for the rows to insert, to change and to delete.

The reference evaluator runs no MERGE, and no UPDATE with WITH in a subquery, but any query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zetasql.wasi._pb2.zetasql.parser import ast_enums_pb2

from tests.googlesql.syntax import Source, identifier, kind_of

_MATCH = ast_enums_pb2.ASTMergeWhenClauseEnums
_ACTION = ast_enums_pb2.ASTMergeActionEnums
POSITION = "__position"
"""A column that numbers the rows of the table that is changed."""


@dataclass(frozen=True)
class Change:
    """A query for the new values of some columns. Except for an INSERT, its last column is the number of the row."""

    action: str
    columns: Sequence[str]
    sql: str


def changes(source: Source, columns: Sequence[str]) -> Iterator[Change]:
    """Yield the queries of a statement that changes a table with these columns."""
    statement = source.statement
    kind = kind_of(statement)
    if kind == "insert":
        yield _insert(source, statement, columns)
    elif kind == "merge":
        yield from _merge(source, statement, columns)
    else:
        where = f"WHERE {source.text(statement.where)}"
        values = _assigned(source, statement) if kind == "update" else {}
        others = ""
        if kind == "update" and statement.HasField("from_clause"):
            others = f", {source.text(statement.from_clause.table_expression)}"
        yield _change(kind.upper(), statement, columns, values, f"{others} {where}")


def _insert(source: Source, statement: Any, columns: Sequence[str]) -> Change:
    names = [each.id_string for each in statement.column_list.identifiers] or columns
    if statement.HasField("query"):
        query = f"({source.text(statement.query)})"
    else:
        rows = [", ".join(source.text(each) for each in row.values) for row in statement.rows.rows]
        query = " UNION ALL ".join(f"SELECT {row}" for row in rows)
    return Change("INSERT", names, _typed(identifier(statement.target_path), names, query))


def _merge(source: Source, statement: Any, columns: Sequence[str]) -> Iterator[Change]:
    """Yield the query of each WHEN clause. A row is that of the first clause whose condition is true for it."""
    target = _target(statement)
    given, on = source.text(statement.table_expression), source.text(statement.merge_condition)
    earlier: dict[int, list[str]] = {}
    for clause in statement.when_clauses.clause_list:
        own = f"({source.text(clause.search_condition)})" if clause.HasField("search_condition") else "TRUE"
        before = earlier.setdefault(clause.match_type, [])
        where = " AND ".join([own, *(f"NOT COALESCE({each}, FALSE)" for each in before)])
        before.append(own)
        action = clause.action
        if action.action_type == _ACTION.INSERT:
            rows = f"FROM {given} WHERE NOT EXISTS (SELECT 1 FROM {target} WHERE {on}) AND {where}"
            names = [each.id_string for each in action.insert_column_list.identifiers] or columns
            values = ", ".join(source.text(each) for each in action.insert_row.values)
            yield Change("INSERT", names, _typed(identifier(statement.target_path), names, f"SELECT {values} {rows}"))
            continue
        if clause.match_type == _MATCH.MATCHED:
            rows = f" INNER JOIN {given} ON {on} WHERE {where}"
        else:
            rows = f" WHERE NOT EXISTS (SELECT 1 FROM {given} WHERE {on}) AND {where}"
        kind = _ACTION.ActionType.Name(action.action_type)
        yield _change(kind, statement, columns, _assigned(source, action), rows)


def _change(kind: str, statement: Any, columns: Sequence[str], values: dict[str, str], rows: str) -> Change:
    target = _target(statement)
    alias = target.rpartition(" AS ")[2]
    selected = [values.get(column, f"{alias}.`{column}`") for column in columns]
    query = f"SELECT {', '.join([*selected, f'{alias}.{POSITION}'])} FROM {target}{rows}"
    return Change(kind, columns, _typed(identifier(statement.target_path), [*columns, POSITION], query))


def _typed(name: str, columns: Sequence[str], query: str) -> str:
    """Return a query whose values get the types of the table's columns."""
    return f"SELECT {', '.join(f'`{each}`' for each in columns)} FROM `{name}` WHERE FALSE UNION ALL {query}"


def _target(statement: Any) -> str:
    name = identifier(statement.target_path)
    alias = statement.alias.identifier.id_string or name.rpartition(".")[2]
    return f"`{name}` AS `{alias}`"


def _assigned(source: Source, node: Any) -> dict[str, str]:
    """Return the expression of each column that SET names."""
    sets = [each.set_value for each in node.update_item_list.update_items]
    return {identifier(each.path).rpartition(".")[2]: source.text(each.value) for each in sets}
