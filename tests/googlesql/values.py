"""BigQuery's types and values: as JSON of its API, in Python, and as the messages of the analyzer and the evaluator."""

import base64
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2

from rawless.datasets.googlesql import (
    TYPES,
    Field,
)

_NAMES = {kind: name for name, kind in reversed(TYPES.items())}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def field_of_type(name: str, kind: Any) -> Field:
    """Return the column of a type as BigQuery describes it, such as that of a query's result."""
    mode = "NULLABLE"
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        mode, kind = "REPEATED", kind.array_type.element_type
    if kind.type_kind == type_pb2.TYPE_STRUCT:
        fields = [field_of_type(each.field_name, each.field_type) for each in kind.struct_type.field]
        return {"name": name, "type": "RECORD", "mode": mode, "fields": fields}
    plain = type_pb2.TypeKind.Name(kind.type_kind).removeprefix("TYPE_")
    legacy = {"INT64": "INTEGER", "DOUBLE": "FLOAT", "BOOL": "BOOLEAN"}
    return {"name": name, "type": legacy.get(plain) or _NAMES[plain], "mode": mode}


def encode(kind: Any, value: Any) -> Any:
    """Return a value of Python as a message. A list is never null, as in BigQuery."""
    made = value_pb2.ValueProto()
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        made.array_value.SetInParent()
        made.array_value.element.extend(encode(kind.array_type.element_type, each) for each in value or ())
    elif value is None:
        pass
    elif kind.type_kind == type_pb2.TYPE_STRUCT:
        made.struct_value.SetInParent()
        fields = kind.struct_type.field
        made.struct_value.field.extend(encode(each.field_type, value[each.field_name]) for each in fields)
    elif kind.type_kind == type_pb2.TYPE_TIMESTAMP:
        seconds, micros = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
        made.timestamp_value.seconds, made.timestamp_value.nanos = seconds, micros * 1000
    elif kind.type_kind == type_pb2.TYPE_DATETIME:
        made.datetime_value.bit_field_datetime_seconds = _packed(value)
        made.datetime_value.nanos = value.microsecond * 1000
    else:
        _set_scalar(made, kind.type_kind, value)
    return made


def _set_scalar(made: Any, kind: int, value: Any) -> None:
    if kind == type_pb2.TYPE_STRING:
        made.string_value = value
    elif kind == type_pb2.TYPE_INT64:
        made.int64_value = value
    elif kind == type_pb2.TYPE_DOUBLE:
        made.double_value = value
    elif kind == type_pb2.TYPE_BOOL:
        made.bool_value = value
    elif kind == type_pb2.TYPE_DATE:
        made.date_value = (value - _EPOCH.date()).days
    elif kind == type_pb2.TYPE_BYTES:
        made.bytes_value = value
    elif kind == type_pb2.TYPE_JSON:
        made.json_value = value
    elif kind == type_pb2.TYPE_NUMERIC:
        number = int(Decimal(value).scaleb(9))
        made.numeric_value = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    else:
        raise NotImplementedError(type_pb2.TypeKind.Name(kind))


def _packed(value: datetime) -> int:
    packed = value.year
    for part, bits in ((value.month, 4), (value.day, 5), (value.hour, 5), (value.minute, 6), (value.second, 6)):
        packed = packed << bits | part
    return packed


def _unpacked(packed: int) -> datetime:
    parts = []
    for bits in (6, 6, 5, 5, 4):
        parts.append(packed & ((1 << bits) - 1))
        packed >>= bits
    return datetime(packed, *reversed(parts))  # noqa: DTZ001 - a DATETIME has no zone


def decode(kind: Any, made: Any) -> Any:
    """Return a message as a value of Python: lists, dicts and scalars. A list is never null."""
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        return [decode(kind.array_type.element_type, each) for each in made.array_value.element]
    which = made.WhichOneof("value")
    if which is None:
        return None
    if kind.type_kind == type_pb2.TYPE_STRUCT:
        fields = zip(kind.struct_type.field, made.struct_value.field, strict=True)
        return {field.field_name: decode(field.field_type, each) for field, each in fields}
    value = getattr(made, which)
    if kind.type_kind == type_pb2.TYPE_TIMESTAMP:
        return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    if kind.type_kind == type_pb2.TYPE_DATETIME:
        return _unpacked(value.bit_field_datetime_seconds).replace(microsecond=value.nanos // 1000)
    if kind.type_kind == type_pb2.TYPE_DATE:
        return _EPOCH.date() + timedelta(days=value)
    if kind.type_kind == type_pb2.TYPE_NUMERIC:
        return Decimal(int.from_bytes(value, "little", signed=True)).scaleb(-9)
    return value


def is_null(kind: Any, made: Any) -> bool:
    return kind.type_kind != type_pb2.TYPE_ARRAY and made.WhichOneof("value") is None


def to_cell(value: Any) -> dict[str, Any]:
    """Return a value of Python as BigQuery's API answers it."""
    if isinstance(value, list):
        return {"v": [to_cell(each) for each in value]}
    if isinstance(value, dict):
        return {"v": {"f": [to_cell(each) for each in value.values()]}}
    if isinstance(value, datetime):
        text = str((value - _EPOCH) // _MICROSECOND) if value.tzinfo else value.isoformat()
        return {"v": text}
    if isinstance(value, date | time):
        return {"v": value.isoformat()}
    if isinstance(value, bytes):
        return {"v": base64.b64encode(value).decode()}
    if isinstance(value, bool):
        return {"v": str(value).lower()}
    return {"v": None if value is None else str(value)}


def from_parameter(kind: dict[str, Any], given: dict[str, Any]) -> Any:
    """Return the value of a parameter as BigQuery's client sends it."""
    if kind["type"] == "ARRAY":
        return [from_parameter(kind["arrayType"], each) for each in given.get("arrayValues", ())]
    if kind["type"] == "STRUCT":
        fields = kind["structTypes"]
        return {each["name"]: from_parameter(each["type"], given["structValues"][each["name"]]) for each in fields}
    return from_text(kind["type"], given.get("value"))


_READERS: dict[str, Any] = {
    "INT64": int, "DOUBLE": float, "NUMERIC": Decimal, "DATE": date.fromisoformat, "DATETIME": datetime.fromisoformat,
    "BYTES": base64.b64decode, "BOOL": lambda text: str(text).lower() == "true",
}  # fmt: skip


def from_text(kind: str, text: Any) -> Any:
    """Return a scalar that is written as the API writes it."""
    if text is None or TYPES[kind] in ("STRING", "JSON"):
        return text if text is None or isinstance(text, str) else json.dumps(text)
    if TYPES[kind] == "TIMESTAMP":
        at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return _READERS[TYPES[kind]](text)


def from_arrow(value: Any) -> Any:
    """Return a value of a row of Arrow or Parquet as `encode` takes it: lists may be those of Parquet's own form."""
    if isinstance(value, dict):
        if set(value) == {"list"}:
            return [from_arrow(each["element"]) for each in value["list"]]
        return {name: from_arrow(each) for name, each in value.items()}
    if isinstance(value, list):
        return [from_arrow(each) for each in value]
    return value
