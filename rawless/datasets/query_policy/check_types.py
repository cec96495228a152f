"""Check the names and types of a query as far as its syntax tree tells, where Google's analyzer is not installed."""

import re
from collections.abc import Iterator, Mapping

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from rawless.datasets.query_policy.lexical_check import abbreviate
from rawless.errors import UserError

_WORDS = frozenset(
    "MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR ISOWEEK ISOYEAR DAYOFWEEK DAYOFYEAR DATE "
    "TIME NFC NFKC NFD NFKD".lower().split()
)
"""Arguments that are words and no columns."""
_KINDS = {
    "INT64": "number", "FLOAT64": "number", "NUMERIC": "number", "BIGNUMERIC": "number", "DATE": "day",
    "DATETIME": "day", "TIMESTAMP": "timestamp", "TIME": "time", "STRING": "string", "BYTES": "bytes", "BOOL": "bool",
}  # fmt: skip
"""BigQuery converts one type into another only if both are of one kind, and the text of a literal into any time."""
_READ_FROM_LITERALS = ("day", "timestamp", "time")
_CERTAIN = (exp.Column, exp.Cast, exp.Literal, exp.Boolean)
"""Expressions whose types sqlglot never mistakes."""


def check_types(sql: str, tables: Mapping[str, Mapping[str, str]], types: Mapping[str, str], *, where: str) -> None:
    """Raise UserError for a column that no table has, and for a comparison of types that BigQuery does not compare.

    `tables` are the types of columns, `types` those of parameters. What sqlglot does not understand is not checked.
    """
    tree = parse_one(sql, read="bigquery")
    for name in _unknown(tree, tables):
        raise UserError(
            f"{where} names the column {abbreviate(name)}, which BigQuery refuses because no table that it reads has "
            "it: correct it."
        )
    for comparison, left, right in _conflicts(_annotated(tree, tables, types)):
        raise UserError(
            f"{where} compares {left} with {right} in {abbreviate(comparison.sql('bigquery'))}, which BigQuery "
            "refuses: convert one of them, as by TIMESTAMP(…), DATE(…) or SAFE_CAST(… AS …)."
        )


def _unknown(tree: exp.Expr, tables: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the unqualified names that neither a table has nor the query defines."""
    columns = [f"{name} {kind}" for table in tables.values() for name, kind in table.items()]
    known = {*re.findall(r"\w+", " ".join(columns).lower()), *_WORDS}  # with the fields of structs
    single = [column for column in tree.find_all(exp.Column) if len(column.parts) == 1]
    own = {id(column.this) for column in single}
    known |= {each.name.lower() for each in tree.find_all(exp.Identifier) if id(each) not in own}
    return (column.name for column in single if column.name.lower() not in known)


def _annotated(tree: exp.Expr, tables: Mapping[str, Mapping[str, str]], types: Mapping[str, str]) -> exp.Expr:
    """Return a tree with types, without any if sqlglot cannot tell them."""

    def typed(node: exp.Expr) -> exp.Expr:
        kind = types.get(node.name.lower()) if isinstance(node, exp.Parameter) else None
        return exp.cast(node.copy(), kind, dialect="bigquery") if kind else node

    schema: dict[str, object] = dict(tables)
    try:
        qualified = qualify(
            tree.copy().transform(typed), schema=schema, dialect="bigquery", validate_qualify_columns=False,
            quote_identifiers=False, identify=False,
        )  # fmt: skip
        return annotate_types(qualified, schema=schema, dialect="bigquery")
    except (SqlglotError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return exp.Select()


def _conflicts(tree: exp.Expr) -> Iterator[tuple[exp.Expr, str, str]]:
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In):
        for other in _others(node):
            left, right = _type(node.this), _type(other)
            if left and right and not _are_comparable(node.this, other):
                yield node, left, right


def _others(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        query = node.args.get("query")
        return query.this.selects if query else node.expressions
    return [node.expression]


def _are_comparable(left: exp.Expr, right: exp.Expr) -> bool:
    kinds = {_KINDS[_type(left)], _KINDS[_type(right)]}
    has_text = any(isinstance(each, exp.Literal) and each.is_string for each in (left, right))
    return len(kinds) == 1 or (has_text and bool(kinds & set(_READ_FROM_LITERALS)))


def _type(node: exp.Expr) -> str:
    """Return the type of an expression in GoogleSQL, empty if it is not certain."""
    if isinstance(node, exp.Alias | exp.Paren):
        node = node.this
    name = node.type.sql("bigquery") if isinstance(node, _CERTAIN) and node.type else ""
    return name if name in _KINDS else ""
