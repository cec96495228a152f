"""Google's reference evaluator of GoogleSQL: queries and DML on rows in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from google.protobuf.empty_pb2 import Empty
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import function_pb2
from zetasql.wasi._pb2.zetasql.public import function_pb2 as signatures

from rawless.datasets.googlesql import Failed, Field, Refused, scalar_type, simple_table, type_of_parameter
from tests.googlesql.analyzer import Analyzer
from tests.googlesql.values import encode, field_of_type, from_parameter

Row = list[Any]
"""A row as messages, one for each column."""


@dataclass
class Relation:
    """Columns and rows."""

    fields: list[Field]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class TableFunction:
    """A table function, with the types of its arguments by name."""

    arguments: Mapping[str, str]
    query: str

    def to_proto(self, name: str) -> Any:
        """Return the function as the evaluator's catalogue takes it."""
        made = function_pb2.TableValuedFunctionProto(
            name_path=[name], type=signatures.FunctionEnums.TEMPLATED_SQL_TVF, argument_name=list(self.arguments)
        )
        for argument, kind in self.arguments.items():
            given = made.signature.argument.add(num_occurrences=1, kind=signatures.ARG_TYPE_FIXED)
            given.options.argument_name = argument
            given.type.CopyFrom(scalar_type(kind))
        made.signature.return_type.kind = signatures.ARG_TYPE_RELATION
        made.signature.return_type.num_occurrences = 1
        made.parse_resume_location.input = self.query
        return made


@dataclass(frozen=True)
class Catalogue:
    """What a statement can name, by each spelling."""

    tables: Mapping[str, Relation]
    functions: Mapping[str, TableFunction]
    parameters: Sequence[Mapping[str, Any]]
    """As in BigQuery's API."""


class Evaluator(Analyzer):
    """Google's reference evaluator with BigQuery's options."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[Catalogue, int] | None = None

    def call(self, name: str, request: Any, answer: Any) -> Any:
        """Return the service's answer to a request. Raises Refused, also if it crashes; then it is started again."""
        try:
            return super().call(name, request, answer)
        except Failed:
            self.restart()
            self._kept = None
            raise Refused(f"The evaluator failed to {name}") from None

    def parse(self, sql: str) -> Any:
        """Return the syntax tree of a statement. Raises Refused."""
        request = service.ParseRequest(sql_statement=sql, options=self.language)
        return self.call("Parse", request, service.ParseResponse).parsed_statement

    @lru_cache(maxsize=1000)  # noqa: B019 - there is one evaluator in a process
    def table_names(self, sql: str) -> frozenset[str]:
        """Return the names of the tables that a statement reads or changes. Raises Refused."""
        request = service.ExtractTableNamesFromStatementRequest(sql_statement=sql, options=self.language)
        answer = self.call("ExtractTableNamesFromStatement", request, service.ExtractTableNamesFromStatementResponse)
        return frozenset(".".join(each.table_name_segment) for each in answer.table_name)

    def resolve(self, sql: str, catalogue: Catalogue) -> Any:
        """Return the analysed statement without running it. Raises Refused."""
        request = service.AnalyzeRequest(sql_statement=sql)
        self._fill(request, catalogue)
        return self.call("Analyze", request, service.AnalyzeResponse).resolved_statement

    def query(self, sql: str, catalogue: Catalogue) -> Relation:
        """Return the rows of a SELECT. Raises Refused."""
        request = service.EvaluateQueryRequest(sql=sql)
        self._fill(request, catalogue)
        for each in catalogue.parameters:
            kind = each["parameterType"]
            value = from_parameter(kind, each.get("parameterValue", {}))
            # The evaluator looks a parameter up by its name in lower case.
            request.params.add(name=each["name"].lower(), value=encode(type_of_parameter(kind), value))
        answer = self.call("EvaluateQuery", request, service.EvaluateQueryResponse)
        fields = [field_of_type(column.name, column.type) for column in answer.prepared.columns]
        return Relation(fields, [list(row.cell) for row in answer.content.table_data.row])

    def _fill(self, request: Any, catalogue: Catalogue) -> None:
        parameters = {each["name"]: each["parameterType"] for each in catalogue.parameters}
        self.fill_options(request.options, parameters)
        request.registered_catalog_id = self._register(catalogue)

    def _register(self, catalogue: Catalogue) -> int:
        """Return the number of a catalogue. The last one is kept, since making one takes longer than most queries."""
        if self._kept and self._kept[0] is catalogue:
            return self._kept[1]
        if self._kept:
            self.call("UnregisterCatalog", service.UnregisterRequest(registered_id=self._kept[1]), Empty)
            self._kept = None
        request = service.RegisterCatalogRequest()
        functions = [function.to_proto(name) for name, function in catalogue.functions.items()]
        tables = [simple_table(spelling, relation.fields) for spelling, relation in catalogue.tables.items()]
        self.fill_catalogue(request, tables, functions)
        for spelling, relation in catalogue.tables.items():
            content = request.table_content[spelling].table_data
            content.SetInParent()
            for row in relation.rows:
                content.row.add().cell.extend(row)
        number: int = self.call("RegisterCatalog", request, service.RegisterResponse).registered_id
        self._kept = catalogue, number
        return number
