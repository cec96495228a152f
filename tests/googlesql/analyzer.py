"""Google's own analyzer of GoogleSQL, the open-source part of BigQuery, compiled to WebAssembly."""

import ctypes
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig
from zetasql.core.exceptions import ServerError
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import function_pb2, options_pb2
from zetasql.wasi._pb2.zetasql.public import function_pb2 as signatures
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import simple_table_pb2, type_pb2

from tests.googlesql.statements import Statement

Field = dict[str, Any]
"""A column as in BigQuery's API."""
_TYPES = {
    "STRING": "STRING", "INT64": "INT64", "INTEGER": "INT64", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE", "BOOL": "BOOL",
    "BOOLEAN": "BOOL", "TIMESTAMP": "TIMESTAMP", "DATE": "DATE", "DATETIME": "DATETIME", "TIME": "TIME",
    "NUMERIC": "NUMERIC", "BIGNUMERIC": "BIGNUMERIC", "BYTES": "BYTES", "JSON": "JSON", "GEOGRAPHY": "GEOGRAPHY",
}  # fmt: skip
_NOT_IN_BIGQUERY = re.compile(
    r"FEATURE_(ARRAY_EQUALITY|ARRAY_ORDERING|GROUP_BY_ARRAY|JSON_TYPE_COMPARISON|LIMIT_OFFSET_EXPRESSIONS"
    r"|AGGREGATE_FILTERING|LATERAL_JOIN|LITERAL_CONCATENATION|BARE_ARRAY_ACCESS|STRUCT_POSITIONAL_ACCESSOR"
    r"|OMIT_INSERT_COLUMN_LIST|INSERT_ON_CONFLICT_CLAUSE|DML_RETURNING|FOR_UPDATE|\w*PROTO\w*|UUID_TYPE)"
)
"""What the open-source analyzer can do but BigQuery refuses."""


class Refused(Exception):
    """Google's analyzer refuses a statement; the message is Google's."""


class Analyzer(WasmClient):
    """The analyzer with BigQuery's options and table functions."""

    def __init__(self) -> None:
        """Load the analyzer. The first time compiles it, which takes a minute; wasmtime caches the result."""
        config = Config()
        config.shared_memory = True
        config.cache = True
        engine = Engine(config)
        self._instantiate(engine, Module.from_file(engine, str(get_wasm_path())))
        self._language = self._make_language()
        self._functions: list[Any] = []

    def _instantiate(self, engine: Engine, module: Module) -> None:
        wasi = WasiConfig()
        wasi.inherit_stderr()
        wasi.preopen_dir(get_tzinfo_dir(), "/usr/share/zoneinfo")
        self.store = Store(engine)
        self.store.set_wasi(wasi)
        linker = Linker(engine)
        linker.define_wasi()
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.exports["_initialize"](self.store)
        self.memory = self.exports["memory"]

    # The package copies byte by byte, which takes longer than the analysis.
    def write_bytes(self, ptr: int, data: bytes) -> None:
        """Copy bytes into the analyzer's memory."""
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr().contents) + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        """Copy bytes from the analyzer's memory."""
        return ctypes.string_at(ctypes.addressof(self.memory.data_ptr().contents) + ptr, size)

    def add_function(self, name: str, arguments: Mapping[str, str], statement: Statement) -> None:
        """Make a table function known that a CREATE TABLE FUNCTION defines. Raises Refused."""
        created = self.analyze(statement).resolved_create_statement_node
        query = created.resolved_create_table_function_stmt_node
        columns = {each.name: each.column.type for each in query.output_column_list}
        self._functions.append(_table_function(name, arguments, columns))

    def add_vector_search(self, base: Sequence[Field], query: Sequence[Field]) -> None:
        """Make BigQuery's VECTOR_SEARCH known, which is not open source, for tables with these columns."""
        columns = {"base": _struct(base), "query": _struct(query), "distance": _type("FLOAT64")}
        self._functions.append(_table_function("VECTOR_SEARCH", _VECTOR_SEARCH, columns))

    def analyze(self, statement: Statement) -> Any:
        """Return the resolved statement. Raises Refused."""
        request = service.AnalyzeRequest(sql_statement=statement.sql)
        request.options.language_options.CopyFrom(self._language)
        request.options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
        request.options.default_timezone = "UTC"
        for name, kind in statement.parameters.items():
            request.options.query_parameters.add(name=name, type=_parameter_type(kind))
        catalogue = request.simple_catalog
        catalogue.name = "catalogue"
        catalogue.builtin_function_options.language_options.CopyFrom(self._language)
        catalogue.custom_tvf.extend(self._functions)
        for name, fields in statement.tables.items():
            # An unqualified name is that of a table of the default dataset.
            for spelling in {name, name.rpartition(".")[2]}:
                catalogue.table.append(_table(spelling, fields))
        request.descriptor_pool_list.SetInParent()
        try:
            answer = self.call_grpc_func("ZetaSqlLocalService_Analyze", request, service.AnalyzeResponse)
        except ServerError as error:
            raise Refused(str(error)) from None
        return answer.resolved_statement

    def evaluate(self, sql: str) -> list[str]:
        """Return the first column, of strings, that Google's reference evaluator computes. Raises Refused."""
        request = service.EvaluateQueryRequest(sql=sql)
        request.options.language_options.CopyFrom(self._language)
        request.simple_catalog.name = "catalogue"
        request.simple_catalog.builtin_function_options.language_options.CopyFrom(self._language)
        request.descriptor_pool_list.SetInParent()
        try:
            answer = self.call_grpc_func("ZetaSqlLocalService_EvaluateQuery", request, service.EvaluateQueryResponse)
        except ServerError as error:
            raise Refused(str(error)) from None
        return [row.cell[0].string_value for row in answer.content.table_data.row]

    def _make_language(self) -> Any:
        """Return the options of BigQuery, as far as they are known."""
        everything = service.LanguageOptionsRequest(maximum_features=True)
        options = self.call_grpc_func(
            "ZetaSqlLocalService_GetLanguageOptions", everything, options_pb2.LanguageOptionsProto
        )
        names = public_options.LanguageFeature.Name
        features = [each for each in options.enabled_language_features if not _NOT_IN_BIGQUERY.fullmatch(names(each))]
        options.enabled_language_features[:] = features
        options.product_mode = public_options.PRODUCT_EXTERNAL
        options.supported_statement_kinds[:] = []  # all
        options.reserved_keywords[:] = ["QUALIFY"]
        return options


def _type(name: str) -> Any:
    return type_pb2.TypeProto(type_kind=type_pb2.TypeKind.Value(f"TYPE_{_TYPES[name]}"))


def _array(element: Any) -> Any:
    kind = type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY)
    kind.array_type.element_type.CopyFrom(element)
    return kind


def _struct_of(fields: Iterable[tuple[str, Any]]) -> Any:
    kind = type_pb2.TypeProto(type_kind=type_pb2.TYPE_STRUCT)
    kind.struct_type.SetInParent()
    for name, field_type in fields:
        kind.struct_type.field.add(field_name=name, field_type=field_type)
    return kind


def _struct(fields: Iterable[Field]) -> Any:
    return _struct_of((field["name"], _field_type(field)) for field in fields)


def _field_type(field: Field) -> Any:
    kind = _struct(field["fields"]) if field["type"] in ("RECORD", "STRUCT") else _type(field["type"])
    return _array(kind) if field.get("mode") == "REPEATED" else kind


def _parameter_type(kind: dict[str, Any]) -> Any:
    if kind["type"] == "ARRAY":
        return _array(_parameter_type(kind["arrayType"]))
    if kind["type"] == "STRUCT":
        return _struct_of((each["name"], _parameter_type(each["type"])) for each in kind["structTypes"])
    return _type(kind["type"])


def _table(name: str, fields: Iterable[Field]) -> Any:
    made = simple_table_pb2.SimpleTableProto(name=name)
    for field in fields:
        made.column.add(name=field["name"], type=_field_type(field), is_writable_column=True)
    return made


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
            given.type.CopyFrom(_type(kind))
    signature.return_type.kind = signatures.ARG_TYPE_RELATION
    signature.return_type.num_occurrences = 1
    for column, kind in columns.items():
        signature.return_type.options.relation_input_schema.column.add(name=column, type=kind)
    return function
