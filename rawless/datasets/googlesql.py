"""Google's own analyzer of GoogleSQL, the open-source part of BigQuery, compiled to WebAssembly.

It is in the extra `local`: import this module only where the package `zetasql` is installed.
"""

import ctypes
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import Timer
from typing import Any

from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig, WasmtimeError
from zetasql.core.exceptions import ServerError, StatusCode
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import simple_table_pb2, type_pb2

from rawless.files import owner_only

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
            engine = Engine(config)
            module = Module.from_file(engine, str(get_wasm_path()))
        self._instantiate(engine, module)
        self._language = self._make_language()
        self._functions: list[Any] = []

    def _instantiate(self, engine: Engine, module: Module) -> None:
        wasi = WasiConfig()
        wasi.preopen_dir(get_tzinfo_dir(), "/usr/share/zoneinfo")
        self.store = Store(engine)
        self.store.set_wasi(wasi)
        linker = Linker(engine)
        linker.define_wasi()
        exports: Any = linker.instantiate(self.store, module).exports(self.store)
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
        request.options.language_options.CopyFrom(self._language)
        request.options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
        request.options.default_timezone = "UTC"
        for name, kind in statement.parameters.items():
            request.options.query_parameters.add(name=name, type=_parameter_type(kind))
        catalogue = request.simple_catalog
        catalogue.name = "catalogue"
        catalogue.builtin_function_options.language_options.CopyFrom(self._language)
        catalogue.custom_tvf.extend(self._functions)
        # An unqualified name is that of a table of the default dataset.
        tables = {name.rpartition(".")[2]: fields for name, fields in statement.tables.items()}
        for name, fields in {**tables, **statement.tables}.items():
            catalogue.table.append(_table(name, fields))
        request.descriptor_pool_list.SetInParent()
        try:
            answer = self.call_grpc_func("ZetaSqlLocalService_Analyze", request, service.AnalyzeResponse)
        except ServerError as error:
            if error.code not in _REFUSALS:
                raise Failed from None
            raise Refused(_one_line(error)) from None
        except WasmtimeError:
            raise Failed from None
        return answer.resolved_statement

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


def basic_type(name: str) -> Any:
    """Return a type by its name in BigQuery's API."""
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


def struct_type(fields: Iterable[Field]) -> Any:
    """Return the type of rows with these columns."""
    return _struct_of((field["name"], _field_type(field)) for field in fields)


def _field_type(field: Field) -> Any:
    kind = struct_type(field["fields"]) if field["type"] in ("RECORD", "STRUCT") else basic_type(field["type"])
    return _array(kind) if field.get("mode") == "REPEATED" else kind


def _parameter_type(kind: dict[str, Any]) -> Any:
    if kind["type"] == "ARRAY":
        return _array(_parameter_type(kind["arrayType"]))
    if kind["type"] == "STRUCT":
        return _struct_of((each["name"], _parameter_type(each["type"])) for each in kind["structTypes"])
    return basic_type(kind["type"])


def _table(name: str, fields: Iterable[Field]) -> Any:
    made = simple_table_pb2.SimpleTableProto(name=name)
    for field in fields:
        made.column.add(name=field["name"], type=_field_type(field), is_writable_column=True)
    return made
