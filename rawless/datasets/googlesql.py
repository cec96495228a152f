"""Google's own analyzer and evaluator of GoogleSQL, the open-source part of BigQuery, compiled to WebAssembly.

It is in the extra `local`: import this module only where the package `zetasql` is installed.
"""

import ctypes
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from threading import Timer
from typing import Any

from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig, WasmtimeError
from zetasql.core.exceptions import ServerError, StatusCode
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import simple_table_pb2, type_pb2, value_pb2

from rawless.files import owner_only
from rawless.warehouse.parameters import Parameters

Field = dict[str, Any]
"""A column as in BigQuery's API."""
TYPES = {
    "STRING": "STRING", "INT64": "INT64", "INTEGER": "INT64", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE", "BOOL": "BOOL",
    "BOOLEAN": "BOOL", "TIMESTAMP": "TIMESTAMP", "DATE": "DATE", "DATETIME": "DATETIME", "TIME": "TIME",
    "NUMERIC": "NUMERIC", "BIGNUMERIC": "BIGNUMERIC", "BYTES": "BYTES", "JSON": "JSON", "GEOGRAPHY": "GEOGRAPHY",
}  # fmt: skip
"""Types of BigQuery's API by the names that the analyzer has for them."""
_NOT_IN_BIGQUERY = re.compile(
    r"FEATURE_(ARRAY_EQUALITY|ARRAY_ORDERING|GROUP_BY_ARRAY|JSON_TYPE_COMPARISON|LIMIT_OFFSET_EXPRESSIONS"
    r"|AGGREGATE_FILTERING|LATERAL_JOIN|LITERAL_CONCATENATION|BARE_ARRAY_ACCESS|STRUCT_POSITIONAL_ACCESSOR"
    r"|OMIT_INSERT_COLUMN_LIST|INSERT_ON_CONFLICT_CLAUSE|DML_RETURNING|FOR_UPDATE|\w*PROTO\w*|UUID_TYPE)"
)
"""What the open-source analyzer can do but BigQuery refuses."""


_REFUSALS = (StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.OUT_OF_RANGE)
_PATIENCE = 5.0
"""Seconds after which loading is announced: the compiled analyzer loads in less than one."""


@dataclass(frozen=True)
class Typed:
    """A statement, with the types of its parameters and the columns of its tables, as in BigQuery's API."""

    sql: str
    parameters: Mapping[str, dict[str, Any]]
    tables: Mapping[str, Sequence[Field]]


class Refused(Exception):
    """Google's analyzer refuses a statement; the message is Google's, with the place as in `[at LINE:COLUMN]`."""


class Failed(Exception):
    """Google's analyzer failed, which says nothing about the statement."""


def _one_line(error: ServerError) -> str:
    """Return Google's message without the signatures of functions, which it lists before the place."""
    message: str = error.raw_error
    words, *more = message.partition("Message: ")[2].splitlines()
    place = more[-1].rpartition(" [at ") if more else ()
    return words + "".join(place[1:])


def load(on_wait: Callable[[], None]) -> "Analyzer":
    """Return the analyzer, and call `on_wait` if that takes long: the first time compiles it, for about a minute."""
    timer = Timer(_PATIENCE, on_wait)
    timer.daemon = True
    timer.start()
    try:
        return _analyzer()
    finally:
        timer.cancel()


@cache
def _analyzer() -> "Analyzer":
    return Analyzer()


class Analyzer(WasmClient):
    """The analyzer with BigQuery's options."""

    def __init__(self) -> None:
        """Load the analyzer. Its machine code is kept in the user's cache, where only the user can read it."""
        config = Config()
        config.shared_memory = True
        with owner_only():
            with suppress(WasmtimeError):  # without a home folder it is compiled each time
                config.cache = True
            self._engine = Engine(config)
            self._module = Module.from_file(self._engine, str(get_wasm_path()))
        self.restart()
        self.language = self._make_language()
        self._functions: list[Any] = []

    def restart(self) -> None:
        """Start with empty memory, as after a crash."""
        wasi = WasiConfig()
        wasi.preopen_dir(get_tzinfo_dir(), "/usr/share/zoneinfo")
        self.store = Store(self._engine)
        self.store.set_wasi(wasi)
        linker = Linker(self._engine)
        linker.define_wasi()
        exports: Any = linker.instantiate(self.store, self._module).exports(self.store)
        exports["_initialize"](self.store)
        self.exports, self.memory = exports, exports["memory"]

    # The package copies byte by byte, which takes longer than the analysis.
    def write_bytes(self, ptr: int, data: bytes) -> None:
        """Copy bytes into the analyzer's memory."""
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr().contents) + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        """Copy bytes from the analyzer's memory."""
        return ctypes.string_at(ctypes.addressof(self.memory.data_ptr().contents) + ptr, size)

    def analyze(self, statement: Typed) -> Any:
        """Return the resolved statement. Raises Refused."""
        request = service.AnalyzeRequest(sql_statement=statement.sql)
        self.fill_options(request.options, statement.parameters)
        # An unqualified name is that of a table of the default dataset.
        tables = {name.rpartition(".")[2]: fields for name, fields in statement.tables.items()}
        named = {**tables, **statement.tables}.items()
        self.fill_catalogue(request, [simple_table(name, fields) for name, fields in named], self._functions)
        return self.call("Analyze", request, service.AnalyzeResponse).resolved_statement

    def rows(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Return the rows of a SELECT that reads no table, with values as in JSON.

        Raises Refused, as for a division by zero.
        """
        request = service.EvaluateQueryRequest(
            sql=f"SELECT TO_JSON_STRING(result) FROM (\n{sql}\n) AS result",  # noqa: S608 - made-up rows
            registered_catalog_id=self._registered,
        )
        given = {str(each.name): each.to_api_repr() for each in parameters}
        self.fill_options(request.options, {name: each["parameterType"] for name, each in given.items()})
        for name, each in given.items():
            request.params.add(name=name, value=_value(each["parameterType"], each["parameterValue"]))
        answer = self.call("EvaluateQuery", request, service.EvaluateQueryResponse)
        return [json.loads(row.cell[0].string_value) for row in answer.content.table_data.row]

    @cached_property
    def _registered(self) -> int:
        """The id of a catalogue without tables, which takes longer to make than most queries to evaluate."""
        request = service.RegisterCatalogRequest()
        self.fill_catalogue(request, [], [])
        number: int = self.call("RegisterCatalog", request, service.RegisterResponse).registered_id
        return number

    def fill_options(self, options: Any, parameters: Mapping[str, Any]) -> None:
        """Set BigQuery's options and the types of parameters in a request."""
        options.language_options.CopyFrom(self.language)
        options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
        options.default_timezone = "UTC"
        for name, kind in parameters.items():
            options.query_parameters.add(name=name, type=type_of_parameter(kind))

    def fill_catalogue(self, request: Any, tables: Iterable[Any], functions: Iterable[Any]) -> None:
        """Set what statements can name in a request."""
        catalogue = request.simple_catalog
        catalogue.name = "catalogue"
        catalogue.builtin_function_options.language_options.CopyFrom(self.language)
        catalogue.custom_tvf.extend(functions)
        catalogue.table.extend(tables)
        request.descriptor_pool_list.SetInParent()

    def call(self, name: str, request: Any, answer: Any) -> Any:
        """Return the service's answer to a request. Raises Refused, or Failed if the service does."""
        try:
            return self.call_grpc_func(f"ZetaSqlLocalService_{name}", request, answer)
        except ServerError as error:
            if error.code not in _REFUSALS:
                raise Failed from None
            raise Refused(_one_line(error)) from None
        except WasmtimeError:
            raise Failed from None

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


def scalar_type(name: str) -> Any:
    """Return a type by its name in BigQuery's API."""
    return type_pb2.TypeProto(type_kind=type_pb2.TypeKind.Value(f"TYPE_{TYPES[name]}"))


def array_type(element: Any) -> Any:
    """Return the type of arrays."""
    kind = type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY)
    kind.array_type.element_type.CopyFrom(element)
    return kind


def struct_of(fields: Iterable[tuple[str, Any]]) -> Any:
    """Return the type of structs with these fields."""
    kind = type_pb2.TypeProto(type_kind=type_pb2.TYPE_STRUCT)
    kind.struct_type.SetInParent()
    for name, field_type in fields:
        kind.struct_type.field.add(field_name=name, field_type=field_type)
    return kind


def struct_type(fields: Iterable[Field]) -> Any:
    """Return the type of rows with these columns."""
    return struct_of((field["name"], type_of_field(field)) for field in fields)


def type_of_field(field: Field) -> Any:
    """Return the type of a column."""
    kind = struct_type(field["fields"]) if field["type"] in ("RECORD", "STRUCT") else scalar_type(field["type"])
    return array_type(kind) if field.get("mode") == "REPEATED" else kind


def type_of_parameter(kind: Mapping[str, Any]) -> Any:
    """Return the type of a parameter."""
    if kind["type"] == "ARRAY":
        return array_type(type_of_parameter(kind["arrayType"]))
    if kind["type"] == "STRUCT":
        return struct_of((each["name"], type_of_parameter(each["type"])) for each in kind["structTypes"])
    return scalar_type(kind["type"])


def _value(kind: dict[str, Any], value: dict[str, Any]) -> Any:
    """Return the value of a parameter; both are as in BigQuery's API."""
    made = value_pb2.ValueProto()
    if kind["type"] == "ARRAY":
        made.array_value.SetInParent()
        made.array_value.element.extend(_value(kind["arrayType"], each) for each in value["arrayValues"])
    elif value["value"] is not None:
        _set_scalar(made, kind["type"], value["value"])
    return made


def _set_scalar(made: Any, kind: str, text: Any) -> None:
    match kind:
        case "STRING":
            made.string_value = text
        case "INT64":
            made.int64_value = int(text)
        case "FLOAT64":
            made.double_value = float(text)
        case "BOOL":
            made.bool_value = str(text).lower() == "true"
        case "TIMESTAMP":
            made.timestamp_value.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
        case _:
            raise ValueError(f"no parameter is of the type {kind}")


def simple_table(name: str, fields: Iterable[Field]) -> Any:
    """Return a table as the catalogue takes it."""
    made = simple_table_pb2.SimpleTableProto(name=name)
    for field in fields:
        made.column.add(name=field["name"], type=type_of_field(field), is_writable_column=True)
    return made
