"""Check the nodes of a syntax tree against an allow-list of deterministic constructs."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from rawless.datasets.query_policy.allowed_functions import FUNCTIONS
from rawless.datasets.query_policy.lexical_check import InvalidQuery, abbreviate

_ALLOWED = (
    *(exp.Condition, exp.Select, exp.SetOperation, exp.Subquery, exp.With, exp.CTE, exp.Table, exp.TableAlias),
    *(exp.Unnest, exp.From, exp.Join, exp.Where, exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Having),
    *(exp.Qualify, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Distinct, exp.WindowSpec, exp.IgnoreNulls),
    *(exp.RespectNulls, exp.HavingMax, exp.Pivot, exp.Alias, exp.Identifier, exp.Star, exp.Var, exp.DataType),
    *(exp.DataTypeParam, exp.ColumnDef, exp.Interval, exp.IntervalSpan, exp.Tuple, exp.Lambda, exp.AtTimeZone),
    *(exp.JSONPath, exp.JSONPathPart),
)
_CLOCKS = tuple(BigQuery.parser_class.NO_PAREN_FUNCTIONS.values())
_LISTS = (exp.ArrayAgg, exp.ArrayConcatAgg, exp.GroupConcat)
_ORDER_DEPENDENT = (
    *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead),
    *(exp.FirstValue, exp.LastValue, exp.NthValue),
)
_OPERATORS = (
    *(exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.Like, exp.BitwiseAnd, exp.BitwiseOr),
    *(exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift, exp.Dot, exp.Kwarg, exp.PropertyEQ, exp.Func),
)
_JOINS = frozenset(["", "INNER", "OUTER", "CROSS"])
_TIMESTAMP_PARTS = frozenset(["MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY"])
_DAYS = frozenset(["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"])


def check_node(node: exp.Expr) -> None:
    """Raise InvalidQuery for a node that labels and rules may not contain."""
    for kind, violates, violation in _RESTRICTIONS:
        if isinstance(node, kind) and violates(node):
            raise InvalidQuery(violation)
    if isinstance(node, exp.Anonymous) and node.name.upper() not in FUNCTIONS:
        raise InvalidQuery(f"calls {abbreviate(node.name)}, which is not an allowed deterministic function: remove it")
    if not isinstance(node, _ALLOWED):
        raise InvalidQuery(f"uses {node.key.upper()}, which labels and rules may not use: remove it")


def _lacks_order(node: Any) -> bool:
    """Return whether an aggregate that builds a list has no ORDER BY, and its window none either."""
    over = node.parent if isinstance(node.parent, exp.IgnoreNulls | exp.RespectNulls) else node
    ordered = isinstance(over.parent, exp.Window) and over.arg_key == "this" and over.parent.args.get("order")
    inner = node.walk(prune=lambda part: isinstance(part, exp.Query | exp.Window))
    return not ordered and not any(isinstance(part, exp.Order) for part in inner)


def _lacks_window_order(node: Any) -> bool:
    """Return whether a window depends on the order of rows but has no ORDER BY."""
    function = node.this.this if isinstance(node.this, exp.IgnoreNulls | exp.RespectNulls) else node.this
    return (isinstance(function, _ORDER_DEPENDENT) or node.args.get("spec")) and not node.args.get("order")


def _is_limited_without_order(node: Any) -> bool:
    """Return whether a query has LIMIT or OFFSET but no ORDER BY."""
    return bool(node.args.get("limit") or node.args.get("offset")) and not node.args.get("order")


def _is_unordered_array(node: Any) -> bool:
    return any(isinstance(part, exp.Query) and not part.args.get("order") for part in node.expressions)


def _lacks_having(node: Any) -> bool:
    return not isinstance(node.this, exp.HavingMax)


def _has_part_without_query(node: Any) -> bool:
    """Return whether an expression named by WITH, or an operand of a union, is not a query."""
    parts = (node.this, node.expression) if isinstance(node, exp.SetOperation) else (node.this,)
    return not all(isinstance(part, exp.Query) for part in parts)


def _is_negated_subquery(node: Any) -> bool:
    """Return whether rows are kept that are not among those of a subquery, by NOT IN, = FALSE or the like."""
    values = node.args.get("query") or node.args.get("unnest")
    if values is None or not values.find(exp.Query):
        return False
    part = node.parent
    while isinstance(part, exp.Paren | exp.And | exp.Or):
        part = part.parent
    return isinstance(part, exp.Not | exp.Is | exp.EQ | exp.NEQ)


def _is_other_join(node: Any) -> bool:
    return bool(node.method) or node.kind.upper() not in _JOINS


def _is_no_integer(node: Any) -> bool:
    return not isinstance(node.expression, exp.Parameter | exp.Literal)


def _sorts_by_field_of_column(node: Any) -> bool:
    """Return whether a clause after the result's columns names a table that is also the name of one of these."""
    own = {column.alias.lower() for column in node.expressions if isinstance(column, exp.Alias)}
    own |= {column.name.lower() for column in node.expressions if isinstance(column, exp.Column)}
    clauses = (node.args.get(clause) for clause in ("group", "having", "qualify", "order"))
    columns = (column for clause in clauses if clause for column in clause.find_all(exp.Column))
    return any(column.parts[0].name.lower() in own for column in columns if len(column.parts) > 1)


def _matches_columns_by_name(node: Any) -> bool:
    """Return whether a set operation has BY NAME, CORRESPONDING or the like."""
    return any(node.args.get(key) for key in ("by_name", "side", "kind", "on"))


def _always(_: Any) -> bool:
    return True


_RESTRICTIONS: tuple[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any], Any], str], ...] = (
    ((exp.Placeholder, exp.SessionParameter), _always, "has a parameter without a name: write @NAME"),
    (exp.Parameter, lambda node: isinstance(node.parent, exp.Parameter), "reads a system variable: remove it"),
    (_CLOCKS, _always, "reads the clock or the user, which differ between builds: use a parameter"),
    (
        (exp.CTE, exp.SetOperation),
        _has_part_without_query,
        "has a part that is not a SELECT: write WITH NAME AS (SELECT …)",
    ),
    (exp.Select, lambda node: not node.expressions, "has a SELECT without columns: name them"),
    (exp.Star, lambda node: not isinstance(node.parent, exp.Count), "selects all columns by *: name the columns"),
    (_LISTS, _lacks_order, "aggregates values in undefined order: write ORDER BY in the parentheses of the aggregate"),
    (exp.Array, _is_unordered_array, "collects rows in undefined order: write ORDER BY in ARRAY(SELECT …)"),
    (
        exp.AnyValue,
        _lacks_having,
        "selects an arbitrary value: write HAVING MAX or HAVING MIN in ANY_VALUE(…), or call MIN",
    ),
    (exp.Query, _is_limited_without_order, "selects arbitrary rows: write ORDER BY before LIMIT"),
    (
        exp.In,
        _is_negated_subquery,
        "excludes by NOT IN with a subquery, which excludes all rows if the subquery returns a NULL: write "
        "NOT EXISTS (SELECT 1 FROM … WHERE …)",
    ),
    (
        (exp.All, exp.Any),
        _always,
        "compares with ALL, ANY or SOME, which BigQuery refuses: write IN (SELECT …) or NOT EXISTS (SELECT …)",
    ),
    (exp.Join, _is_other_join, "joins by SEMI, ANTI, NATURAL or the like, which BigQuery refuses: write JOIN … ON …"),
    (
        exp.Binary,
        lambda node: not isinstance(node, _OPERATORS),
        "uses an operator that BigQuery refuses, such as ILIKE: write LOWER(…) LIKE … or another of GoogleSQL",
    ),
    (
        (exp.Limit, exp.Offset),
        _is_no_integer,
        "computes a LIMIT or OFFSET, which BigQuery refuses: write a number or a parameter",
    ),
    (
        (exp.TimestampAdd, exp.TimestampSub, exp.TimestampDiff),
        lambda node: node.text("unit").upper() not in _TIMESTAMP_PARTS,
        "counts a TIMESTAMP by a part longer than a DAY, which BigQuery refuses: convert it, as in "
        "DATETIME(…, 'UTC'), and call DATETIME_SUB, DATETIME_ADD or DATETIME_DIFF",
    ),
    (
        exp.Select,
        _sorts_by_field_of_column,
        "has a table with the name of a column that it returns, which BigQuery confuses: name the table otherwise",
    ),
    (
        exp.String,
        lambda node: node.args.get("zone"),
        "writes a time by STRING with a zone, which the local BigQuery writes otherwise than BigQuery: write "
        "FORMAT_TIMESTAMP(…, …, zone)",
    ),
    (exp.Window, lambda node: node.args.get("alias"), "names a window: write its definition in OVER (…)"),
    (exp.Window, _lacks_window_order, "depends on rows in undefined order: write ORDER BY in OVER (…)"),
    (
        exp.WeekStart,
        lambda node: node.name.upper() not in _DAYS,
        "calls WEEK: write WEEK(MONDAY) or another day, as a date part",
    ),
    (
        exp.SetOperation,
        _matches_columns_by_name,
        "combines columns by name: write UNION ALL, with the columns in the same order",
    ),
)
