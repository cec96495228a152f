"""Elements of arrays by a computed offset, for the local BigQuery."""

import re

from sqlglot import exp

from rawless.local.rewriting import rewrite

_OFFSET = re.compile(r"\[\s*(?:SAFE_)?(?:OFFSET|ORDINAL)\s*\(", re.IGNORECASE)


def type_offsets(sql: str) -> str:
    """Return a statement whose computed offsets are cast to INT64; a statement without such offsets as it is.

    sqlglot counts from 1, as DuckDB does, only what it knows to be an integer: `b[OFFSET(i)]` of a column `i` would be
    the element before.
    """
    return rewrite(sql, (exp.Bracket,), _cast_offset) if _OFFSET.search(sql) else sql


def _cast_offset(node: exp.Expr) -> bool:
    """Cast the offset of an element to INT64 if it is computed, and return whether it is."""
    if node.args.get("offset") is None or isinstance(node.expressions[0], exp.Literal):
        return False
    node.set("expressions", [exp.cast(index, exp.DType.BIGINT) for index in node.expressions])
    return True
