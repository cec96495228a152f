"""Rewriting statements of BigQuery, for the local one, before they are translated."""

from collections.abc import Callable

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError


def rewrite(sql: str, kinds: tuple[type[exp.Expr], ...], change: Callable[[exp.Expr], bool]) -> str:
    """Return a statement whose nodes of some kinds were changed in place by `change`, which returns whether it did.

    A statement in which nothing changed, or which does not parse, is returned as it is.
    """
    try:
        trees = [tree for tree in BigQuery().parse(sql) if tree]
    except SqlglotError:
        return sql
    found = [node for tree in trees for node in tree.find_all(*kinds)]
    if not [node for node in found if change(node)]:
        return sql
    return ";\n".join(tree.sql("bigquery") for tree in trees)
