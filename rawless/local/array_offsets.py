"""Elements of arrays by a computed offset, for the local BigQuery."""

import re

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError

_OFFSET = re.compile(r"\[\s*(?:SAFE_)?(?:OFFSET|ORDINAL)\s*\(", re.IGNORECASE)


def type_offsets(sql: str) -> str:
    """Return a statement whose computed offsets are cast to INT64; a statement without such offsets as it is.

    sqlglot counts from 1, as DuckDB does, only what it knows to be an integer: `b[OFFSET(i)]` of a column `i` would be
    the element before.
    """
    if not _OFFSET.search(sql):
        return sql
    try:
        trees = [tree for tree in BigQuery().parse(sql) if tree]
    except SqlglotError:
        return sql
    found = [node for tree in trees for node in tree.find_all(exp.Bracket) if node.args.get("offset") is not None]
    computed = [node for node in found if not isinstance(node.expressions[0], exp.Literal)]
    for node in computed:
        node.set("expressions", [exp.cast(index, exp.DType.BIGINT) for index in node.expressions])
    return ";\n".join(tree.sql("bigquery") for tree in trees) if computed else sql
