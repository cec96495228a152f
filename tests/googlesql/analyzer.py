"""Google's analyzer with what only the tests need: table functions and the evaluation of queries."""

from collections.abc import Mapping, Sequence
from typing import Any

from zetasql.wasi._pb2.zetasql.proto import function_pb2
from zetasql.wasi._pb2.zetasql.public import function_pb2 as signatures

from rawless.datasets import googlesql
from rawless.datasets.googlesql import Field, Refused, scalar_type, simple_table, struct_type
from tests.googlesql.statements import Statement

__all__ = ["Analyzer", "Field", "Refused", "simple_table"]


class Analyzer(googlesql.Analyzer):
    """The analyzer with table functions."""

    def add_function(self, name: str, arguments: Mapping[str, str], statement: Statement) -> None:
        """Make a table function known that a CREATE TABLE FUNCTION defines. Raises Refused."""
        created = self.analyze(statement).resolved_create_statement_node
        query = created.resolved_create_table_function_stmt_node
        columns = {each.name: each.column.type for each in query.output_column_list}
        self._functions.append(_table_function(name, arguments, columns))

    def add_vector_search(self, base: Sequence[Field], query: Sequence[Field]) -> None:
        """Make BigQuery's VECTOR_SEARCH known, which is not open source, for tables with these columns."""
        columns = {"base": struct_type(base), "query": struct_type(query), "distance": scalar_type("FLOAT64")}
        self._functions.append(_table_function("VECTOR_SEARCH", _VECTOR_SEARCH, columns))

    def evaluate(self, sql: str) -> list[str]:
        """Return the first column, of strings, that Google's reference evaluator computes. Raises Refused."""
        return [str(next(iter(row.values()))) for row in self.rows(sql)]


_VECTOR_SEARCH = {
    "base_table": "TABLE", "column_to_search": "STRING", "query_table": "TABLE", "query_column_to_search": "STRING",
    "top_k": "INT64", "distance_type": "STRING", "options": "STRING",
}  # fmt: skip
_REQUIRED = 3
"""Arguments of VECTOR_SEARCH that are not optional, as all are of Rawless's own functions, which have two."""


def _table_function(name: str, arguments: Mapping[str, str], columns: Mapping[str, Any]) -> Any:
    function = function_pb2.TableValuedFunctionProto(
        name_path=[name], type=signatures.FunctionEnums.FIXED_OUTPUT_SCHEMA_TVF
    )
    signature = function.signature
    for position, (argument, kind) in enumerate(arguments.items()):
        given = signature.argument.add(num_occurrences=1)
        given.options.argument_name = argument
        given.options.cardinality = (
            signatures.FunctionEnums.REQUIRED if position < _REQUIRED else signatures.FunctionEnums.OPTIONAL
        )
        if kind == "TABLE":
            given.kind = signatures.ARG_TYPE_RELATION
        else:
            given.kind = signatures.ARG_TYPE_FIXED
            given.type.CopyFrom(scalar_type(kind))
    signature.return_type.kind = signatures.ARG_TYPE_RELATION
    signature.return_type.num_occurrences = 1
    for column, kind in columns.items():
        signature.return_type.options.relation_input_schema.column.add(name=column, type=kind)
    return function
