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
