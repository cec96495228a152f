"""What the parts of a query may be: known ones alone, that answer alike at each build."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from rawless.datasets.query_policy.allowed_functions import FUNCTIONS
from rawless.datasets.query_policy.lexical_check import Refused, shown

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
_PLACED = (
    *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead),
    *(exp.FirstValue, exp.LastValue, exp.NthValue),
)
_DAYS = frozenset(["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"])


def check(node: exp.Expr) -> None:
    """Raises Refused for a node that labels and rules may not hold."""
    for kind, is_fault, fault in _FAULTS:
        if isinstance(node, kind) and is_fault(node):
            raise Refused(fault)
    if isinstance(node, exp.Anonymous) and node.name.upper() not in FUNCTIONS:
        raise Refused(f"calls {shown(node.name)}, which is none of the functions that surely answer alike: drop it")
    if not isinstance(node, _ALLOWED):
        raise Refused(f"uses {node.key.upper()}, which labels and rules may not: leave it out")


def _lacks_order(node: Any) -> bool:
    """Whether neither an aggregate that makes a list nor the window that it is over has ORDER BY."""
    over = node.parent if isinstance(node.parent, exp.IgnoreNulls | exp.RespectNulls) else node
    ordered = isinstance(over.parent, exp.Window) and over.arg_key == "this" and over.parent.args.get("order")
    inner = node.walk(prune=lambda part: isinstance(part, exp.Query | exp.Window))
    return not ordered and not any(isinstance(part, exp.Order) for part in inner)


def _is_unplaced(node: Any) -> bool:
    """Whether a window counts rows, or asks for one's place or another's value, without ORDER BY."""
    function = node.this.this if isinstance(node.this, exp.IgnoreNulls | exp.RespectNulls) else node.this
    return (isinstance(function, _PLACED) or node.args.get("spec")) and not node.args.get("order")


def _is_cut(node: Any) -> bool:
    """Whether a query takes some rows, in no order."""
    return bool(node.args.get("limit") or node.args.get("offset")) and not node.args.get("order")


def _is_unordered_array(node: Any) -> bool:
    return any(isinstance(part, exp.Query) and not part.args.get("order") for part in node.expressions)


def _is_any(node: Any) -> bool:
    return not isinstance(node.this, exp.HavingMax)


def _is_no_query(node: Any) -> bool:
    """Whether a part named by WITH, or one of a union, is no query."""
    parts = (node.this, node.expression) if isinstance(node, exp.SetOperation) else (node.this,)
    return not all(isinstance(part, exp.Query) for part in parts)


def _is_shaped(node: Any) -> bool:
    """Whether a union has BY NAME, CORRESPONDING or the like."""
    return any(node.args.get(key) for key in ("by_name", "side", "kind", "on"))


def _always(_: Any) -> bool:
    return True


_FAULTS: tuple[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any], Any], str], ...] = (
    ((exp.Placeholder, exp.SessionParameter), _always, "has a parameter without a name: write @NAME"),
    (exp.Parameter, lambda node: isinstance(node.parent, exp.Parameter), "reads a system variable: leave it out"),
    (_CLOCKS, _always, "asks for the time or the user, other at each build: take a parameter"),
    ((exp.CTE, exp.SetOperation), _is_no_query, "has a part that is no SELECT: write WITH NAME AS (SELECT …)"),
    (exp.Select, lambda node: not node.expressions, "has a SELECT without columns: name them"),
    (exp.Star, lambda node: not isinstance(node.parent, exp.Count), "takes all columns by *: name the columns"),
    (_LISTS, _lacks_order, "lists values in any order: write ORDER BY in the parentheses of the aggregate"),
    (exp.Array, _is_unordered_array, "lists rows in any order: write ORDER BY in ARRAY(SELECT …)"),
    (exp.AnyValue, _is_any, "takes any value: write HAVING MAX or HAVING MIN in ANY_VALUE(…), or call MIN"),
    (exp.Query, _is_cut, "takes any rows: write ORDER BY before LIMIT"),
    (exp.Window, lambda node: node.args.get("alias"), "names a window: write it out in OVER (…)"),
    (exp.Window, _is_unplaced, "asks for a place among rows in any order: write ORDER BY in OVER (…)"),
    (
        exp.WeekStart,
        lambda node: node.name.upper() not in _DAYS,
        "calls WEEK: write WEEK(MONDAY) or the like, as a part",
    ),
    (exp.SetOperation, _is_shaped, "unites columns by name: write UNION ALL, with the columns in one order"),
)
