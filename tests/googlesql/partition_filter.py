"""Whether a statement reads a table without the filter on its partitions that the table requires."""

from collections.abc import Iterator, Mapping
from typing import Any

_COMPARISONS = {"ZetaSQL:$" + name for name in ("equal", "less", "less_or_equal", "greater", "greater_or_equal")} | {
    "ZetaSQL:$between",
    "ZetaSQL:$in",
}


def unfiltered(resolved: Any, required: Mapping[str, str]) -> Iterator[str]:
    """Yield the tables, among those with the column that must be filtered, that an analysed statement reads entirely.

    A filter is a comparison of the column with something that is known before any row is read.
    """
    yield from _search(resolved, required, frozenset())


def _search(node: Any, required: Mapping[str, str], filtered: frozenset[int]) -> Iterator[str]:
    name = node.DESCRIPTOR.name
    if name == "ResolvedTableScanProto":
        table = node.table.name.lower()
        if table in required and not any(
            column.name == required[table] and column.column_id in filtered for column in node.parent.column_list
        ):
            yield table
    if name == "ResolvedFilterScanProto":
        filtered |= frozenset(_filtered(node.filter_expr))
    for descriptor, value in node.ListFields():
        if descriptor.message_type is None:
            continue
        for each in value if descriptor.is_repeated else (value,):
            yield from _search(each, required, filtered)


def _filtered(expression: Any) -> Iterator[int]:
    """Yield the columns that a condition compares with constants."""
    call = _leaf(expression)
    if not hasattr(call, "argument_list") and hasattr(call, "parent"):
        call = call.parent
    if not hasattr(call, "function"):
        return
    if call.function.name == "ZetaSQL:$and":
        for each in call.argument_list:
            yield from _filtered(each)
    elif call.function.name in _COMPARISONS:
        columns = [list(_columns(each)) for each in call.argument_list]
        for position, own in enumerate(columns):
            if len(own) == 1 and not any(other for at, other in enumerate(columns) if at != position):
                yield own[0]


def _columns(node: Any) -> Iterator[int]:
    if node.DESCRIPTOR.name == "ResolvedColumnRefProto":
        yield node.column.column_id
        return
    for descriptor, value in node.ListFields():
        if descriptor.message_type is not None:
            for each in value if descriptor.is_repeated else (value,):
                yield from _columns(each)


def _leaf(node: Any) -> Any:
    while node.DESCRIPTOR.oneofs and (kind := node.WhichOneof(node.DESCRIPTOR.oneofs[0].name)):
        node = getattr(node, kind)
    return node
