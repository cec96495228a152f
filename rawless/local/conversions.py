"""Conversions from and to text as in GoogleSQL, for the local BigQuery, which would convert as DuckDB does.

A cast of `x` becomes the same cast of a macro of `x`, such as `rawless_int64(x)`. A macro looks at the type of its
argument and leaves alone what both convert alike. Those of SAFE_CAST return NULL where the others raise an error.
"""

import base64
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bqemulator.sql import builtin_udfs
from sqlglot import exp

from rawless.local.rewriting import rewrite

_BLANKS = r"[ \t\n\x0b\f\r]*"
_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_HEXADECIMAL = r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
_NAMED = "[+-]?(?i:inf|infinity|nan)"
_INT64 = re.compile(f"{_BLANKS}([+-]?)(?:0[xX]([0-9a-fA-F]+)|([0-9]+)){_BLANKS}")
_FLOAT64 = re.compile(f"{_BLANKS}(?:({_HEXADECIMAL})|({_DECIMAL}|{_NAMED})){_BLANKS}")
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_NUMERIC = re.compile(f"{_BLANKS}({_DECIMAL}){_BLANKS}")
_DATE = f"{_YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}"
_TIME = r"(?:[01]?[0-9]|2[0-3]):[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]{1,6})?"
_OFFSET = "[+-](?:[0-9]{1,2}(?::[0-5][0-9])?|[0-9]{2}[0-5][0-9])"
_ZONE = "[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*"
_TIMESTAMP = re.compile(
    f"(?P<date>{_DATE})"
    f"(?:[ Tt](?P<time>{_TIME})(?:(?P<utc>[zZ])|(?P<offset>{_OFFSET})| (?P<zone>{_ZONE}))?"
    f"|[ Tt](?P<of_date>{_OFFSET}))?"
)
_READABLE = {
    "bool": "(?i:true|false)",
    "bignumeric": _NUMERIC.pattern,
    "date": _DATE,
    "time": _TIME,
}
"""The texts from which both read a type alike; DuckDB reads it from others, too."""
_TYPES = {
    exp.DType.TEXT: "string", exp.DType.BINARY: "bytes", exp.DType.BIGINT: "int64", exp.DType.INT: "int64",
    exp.DType.DOUBLE: "float64", exp.DType.DECIMAL: "numeric", exp.DType.BIGDECIMAL: "bignumeric",
    exp.DType.BOOLEAN: "bool", exp.DType.DATE: "date", exp.DType.TIME: "time", exp.DType.TIMESTAMP: "datetime",
    exp.DType.TIMESTAMPTZ: "timestamp",
}  # fmt: skip
"""The macro for each type to convert to."""
_WRITTEN_ALIKE = frozenset({"numeric", "bignumeric", "date", "time", "datetime", "timestamp"})
"""Types of valid literals that both read alike."""
_SMALLEST_NUMERIC = Decimal("1e-9")
_LEAST_EXPONENT = -9
_EXACT = Context(prec=38)
"""A NUMERIC has 38 digits."""
_LEAP_SECOND = 60
_LARGEST_OFFSET = timedelta(hours=14)
_MOST_DIGITS = 19
"""Of an INT64."""
_LARGEST_EXACT = 2**53
"""JSON has larger integers as texts, since many readers would round them."""
_ESCAPED = r"\\u|\x{2028}|\x{2029}"
"""In JSON, what Google escapes otherwise than DuckDB does."""
_ESCAPES = {"\u2028": r"\u2028", "\u2029": r"\u2029"}


def read_int64(text: str | None) -> int | None:
    """Return the integer that a text means, None for none."""
    if text is None or not (found := _INT64.fullmatch(text)):
        return None
    sign, hexadecimal, decimal = found.groups()
    digits = (hexadecimal or decimal).lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS:
        return None
    number = int(sign + digits, 16 if hexadecimal else 10)
    return number if -(2**63) <= number < 2**63 else None


def read_float64(text: str | None) -> str | None:
    """Return DuckDB's text of the number that a text means, None for none. DuckDB would make NULL of the number NaN."""
    if text is None or not (found := _FLOAT64.fullmatch(text)):
        return None
    if found[1] is None:
        return repr(float(found[2]))
    try:
        return repr(float.fromhex(found[1]))
    except OverflowError:
        return "-inf" if found[1].startswith("-") else "inf"


def read_numeric(text: str | None) -> str | None:
    """Return the text with nine decimal places of the number that a text means, None for none."""
    if text is None or not (found := _NUMERIC.fullmatch(text)):
        return None
    try:
        rounded = Decimal(found[1]).quantize(_SMALLEST_NUMERIC, ROUND_HALF_UP, _EXACT)
        # Google reads 0 from any number with such an exponent, even from 100000000000785e-14.
        return "0" if int(found[1].lower().partition("e")[2] or 0) < _LEAST_EXPONENT else str(rounded)
    except InvalidOperation:
        return None


def round_float64(text: str | None) -> str | None:
    """Return the text with nine decimal places of DuckDB's text of a FLOAT64, None for none of a NUMERIC."""
    try:
        return text and str(Decimal(float(text)).quantize(_SMALLEST_NUMERIC, ROUND_HALF_UP, _EXACT))
    except InvalidOperation:
        return None


def read_datetime(text: str | None) -> str | None:
    """Return the ISO form of the date and time that a text means, None for none."""
    found = _TIMESTAMP.fullmatch(text or "")
    if not found or any(found.group("utc", "offset", "zone", "of_date")):
        return None
    time = _without_zone(found["date"], found["time"] or "")
    return time.isoformat() if time else None


def read_timestamp(text: str | None) -> str | None:
    """Return the ISO form, in UTC, of the point in time that a text means, None for none.

    DuckDB reads all times after one with a named zone in that zone.
    """
    if not (found := _TIMESTAMP.fullmatch(text or "")):
        return None
    if not (time := _without_zone(found["date"], found["time"] or "")):
        return None
    try:
        zone = ZoneInfo(found["zone"]) if found["zone"] else _offset(found["offset"] or found["of_date"] or "+0")
        return time.replace(tzinfo=zone).astimezone(UTC).isoformat()
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        return None


def _without_zone(date: str, time: str) -> datetime | None:
    """Return a date and time whose 60th second is the first of the next minute, None if there is no such day."""
    whole, _, fraction = time.partition(".")
    hour, minute, second = map(int, (whole or "0:0:0").split(":"))
    try:
        year, month, day = map(int, date.split("-"))
        if second == _LEAP_SECOND:
            return datetime(year, month, day, hour, minute) + timedelta(minutes=1)  # noqa: DTZ001
        return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")))  # noqa: DTZ001
    except (ValueError, OverflowError):
        return None


def _offset(text: str) -> timezone:
    sign, size = text[0], text[1:]
    hours, _, minutes = (size if ":" in size else f"{size[:2]}:{size[2:]}").partition(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if offset > _LARGEST_OFFSET:
        raise ValueError
    return timezone(-offset if sign == "-" else offset)


def write(text: str | None, kind: str) -> str | None:
    """Return DuckDB's text of a value of a type as Google writes it."""
    if text is None:
        return None
    if kind == "DOUBLE":
        return _write_float64(float(text))
    if kind.startswith("DECIMAL"):
        return _write_numeric(text)
    return _write_time(text)


def _write_float64(number: float) -> str:
    written = f"{number or 0:.15g}"
    return written if float(written) == number or number != number else f"{number:.17g}"


def _write_numeric(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_time(text: str) -> str:
    """Write fractions of a second with three or six digits."""
    return re.sub(r"\.([0-9]+)", lambda found: "." + found[1].ljust(3 if len(found[1]) <= 3 else 6, "0"), text)


class _Number(str):
    """A number as it is written."""


def write_json(text: str | None, kind: str) -> str:
    """Return DuckDB's JSON of a value of a type as Google writes it."""
    if text is None:
        return "null"
    value = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=tuple)
    return _write_json(value, _parsed(kind))


@lru_cache
def _parsed(kind: str) -> exp.DataType:
    return exp.DataType.build("UNKNOWN" if kind == '"NULL"' else kind, dialect="duckdb")


def _write_json(value: Any, kind: exp.DataType) -> str:
    if value is None:
        return "null"
    if kind.this in (exp.DType.ARRAY, exp.DType.LIST):
        return f"[{','.join(_write_json(each, kind.expressions[0]) for each in value)}]"
    if kind.this == exp.DType.STRUCT:
        kinds = [getattr(field, "kind", None) or field for field in kind.expressions]
        parts = zip(value, kinds, strict=True)
        return f"{{{','.join(f'{_quote(name)}:{_write_json(part, each)}' for (name, part), each in parts)}}}"
    return _write_scalar(value, kind)


def _write_scalar(value: Any, kind: exp.DataType) -> str:
    match kind.this:
        case exp.DType.JSON:
            return _write_document(value)
        case exp.DType.BOOLEAN:
            return "true" if value else "false"
        case exp.DType.DOUBLE:
            return _write_float64(float(value)) if value.lstrip("-")[0].isdigit() else f'"{value}"'
        case exp.DType.DECIMAL:
            return _write_exact(_write_numeric(value))
        case exp.DType.TIMESTAMP | exp.DType.TIMESTAMPNTZ | exp.DType.TIMESTAMPTZ | exp.DType.TIME:
            return f'"{_write_time(value).replace(" ", "T").replace("+00", "Z")}"'
        case exp.DType.VARBINARY | exp.DType.BINARY | exp.DType.BLOB:
            return f'"{base64.b64encode(_unescaped(value)).decode()}"'
        case _ if kind.is_type(*exp.DataType.INTEGER_TYPES):
            return _write_exact(value)
    return _quote(value)


def _write_exact(number: str) -> str:
    """Write a number as a text if many readers would round it."""
    exact = "." not in number and abs(int(number)) <= _LARGEST_EXACT
    return number if exact else f'"{number}"'


def _write_document(value: Any) -> str:
    """Write a value of the type JSON: numbers are as they were, and names in order."""
    if isinstance(value, list):
        return f"[{','.join(map(_write_document, value))}]"
    if isinstance(value, tuple):
        fields = sorted(value, key=lambda field: field[0])
        return f"{{{','.join(f'{_quote(name)}:{_write_document(each)}' for name, each in fields)}}}"
    if isinstance(value, _Number):
        return value
    return _quote(value) if isinstance(value, str) else json.dumps(value)


def _quote(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    for character, escape in _ESCAPES.items():
        written = written.replace(character, escape)
    return written


def _unescaped(text: str) -> bytes:
    """Return the bytes that DuckDB writes in this way: printable ASCII, and others as in \\xFF."""
    return re.sub(r"\\x([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text).encode("latin-1")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")


_REFUSED = "error('A value cannot be converted to {kind}.')"
_STRING = """
CASE
  WHEN typeof(x) IN ('DOUBLE', 'TIME', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE') OR starts_with(typeof(x), 'DECIMAL')
    THEN rawless_write(CAST(x AS VARCHAR), typeof(x))
  WHEN typeof(x) = 'JSON' THEN json_extract_string(CAST(x AS VARCHAR), '$')
  WHEN typeof(x) = 'BLOB' THEN {decode}
  ELSE CAST(x AS VARCHAR)
END"""
_BYTES = "CASE WHEN typeof(x) = 'VARCHAR' THEN encode(CAST(x AS VARCHAR)) ELSE CAST(x AS BLOB) END"
_INTEGER = """
CASE
  WHEN typeof(x) = 'VARCHAR' THEN {read}
  WHEN typeof(x) = 'DOUBLE' THEN {cast}(round(TRY_CAST(x AS DOUBLE)) AS BIGINT)
  ELSE {cast}(x AS BIGINT)
END"""
_OTHER = "CASE WHEN typeof(x) = 'VARCHAR' THEN {cast}({read} AS {type}) ELSE {cast}(x AS {type}) END"
_ROUNDED = """
CASE
  WHEN typeof(x) = 'VARCHAR' THEN {cast}({read} AS {type})
  WHEN typeof(x) = 'DOUBLE' THEN {cast}({round} AS {type})
  ELSE {cast}(x AS {type})
END"""
_READ_IN_PYTHON = {
    "int64": (_INTEGER, "BIGINT"),
    "numeric": (_ROUNDED, "DECIMAL(38, 9)"),
    "float64": (_OTHER, "DOUBLE"),
    "datetime": (_OTHER, "TIMESTAMP"),
    "timestamp": (_OTHER, "TIMESTAMPTZ"),
}
_ROUND = "rawless_round_float64(CAST(x AS VARCHAR))"
_READ = "rawless_read_{kind}(CAST(x AS VARCHAR))"
_GUARDED = """
CASE
  WHEN typeof(x) = 'VARCHAR' AND NOT regexp_full_match(CAST(x AS VARCHAR), {readable}) THEN {otherwise}
  ELSE x
END"""
_JSON = """
CASE
  WHEN typeof(x) = 'DOUBLE[]' THEN COALESCE(CAST(to_json(x) AS VARCHAR), 'null')
  WHEN typeof(x) IN ('VARCHAR', 'VARCHAR[]') AND NOT regexp_matches(CAST(to_json(x) AS VARCHAR), {escaped})
    THEN CAST(to_json(x) AS VARCHAR)
  ELSE rawless_write_json(CAST(to_json(x) AS VARCHAR), typeof(x))
END"""


def _macros() -> dict[str, str]:
    """Return the definitions of the macros by their names."""
    macros = {"json": _JSON.format(escaped=_text(_ESCAPED)), "bytes": _BYTES, "safe_bytes": _BYTES}
    macros |= {"string": _STRING.format(decode="decode(TRY_CAST(x AS BLOB))")}
    macros |= {"safe_string": _STRING.format(decode="TRY(decode(TRY_CAST(x AS BLOB)))")}
    for kind, (template, duckdb_type) in _READ_IN_PYTHON.items():
        read, refused = (
            _READ.format(kind=kind),
            f"CASE WHEN x IS NOT NULL THEN {_REFUSED.format(kind=kind.upper())} END",
        )
        certain = {"read": f"COALESCE({read}, {refused})", "round": f"COALESCE({_ROUND}, {refused})", "cast": "CAST"}
        safe = {"read": read, "round": _ROUND, "cast": "TRY_CAST"}
        macros |= {kind: template.format(**certain, type=duckdb_type)}
        macros |= {f"safe_{kind}": template.format(**safe, type=duckdb_type)}
    for kind, pattern in _READABLE.items():
        readable, refused = _text(pattern), _REFUSED.format(kind=kind.upper())
        macros |= {kind: _GUARDED.format(readable=readable, otherwise=refused)}
        macros |= {f"safe_{kind}": _GUARDED.format(readable=readable, otherwise="NULL")}
    return macros


_register = builtin_udfs.register_builtin_udfs


def _register_with_conversions(connection: Any) -> None:
    _register(connection)
    for name, function, arguments, result in (
        ("read_int64", read_int64, ["VARCHAR"], "BIGINT"),
        ("read_float64", read_float64, ["VARCHAR"], "VARCHAR"),
        ("read_numeric", read_numeric, ["VARCHAR"], "VARCHAR"),
        ("round_float64", round_float64, ["VARCHAR"], "VARCHAR"),
        ("read_datetime", read_datetime, ["VARCHAR"], "VARCHAR"),
        ("read_timestamp", read_timestamp, ["VARCHAR"], "VARCHAR"),
        ("write", write, ["VARCHAR", "VARCHAR"], "VARCHAR"),
        ("write_json", write_json, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    ):
        connection.create_function(f"rawless_{name}", function, arguments, result, null_handling="special")
    for name, definition in _macros().items():
        connection.execute(f"CREATE TEMP MACRO rawless_{name}(x) AS {definition}")


def convert_as_google() -> None:
    """Make the macros known to databases that are opened from now on."""
    builtin_udfs.register_builtin_udfs = _register_with_conversions


def call_macros(sql: str) -> str:
    """Return a statement that calls the macros in its casts; a statement without casts as it is."""
    if not _CONVERSION.search(sql):
        return sql
    return rewrite(sql, (exp.Cast, exp.JSONFormat, exp.String), _call_macro)


_CONVERSION = re.compile(r"CAST|TO_JSON_STRING|STRING\s*\(", re.IGNORECASE)


def _call_macro(node: exp.Expr) -> bool:
    """Let a conversion call its macro, and return whether it has one."""
    if isinstance(node, exp.JSONFormat):
        if node.args.get("to_json") or node.args.get("options"):
            return False
        node.replace(_macro("json", node.this))
    elif isinstance(node, exp.String):
        if node.args.get("zone"):
            return False
        node.replace(_macro("string", node.this))
    else:
        name, is_safe = _TYPES.get(node.args["to"].this), isinstance(node, exp.TryCast)
        if not name or node.args.get("format") or _is_converted_alike(node.this, name, is_safe=is_safe):
            return False
        call = _macro(f"safe_{name}" if is_safe else name, node.this)
        # With the cast, a NUMERIC would have DuckDB's three decimal places.
        if name == "numeric":
            node.replace(call)
        else:
            node.set("this", call)
    return True


def _macro(name: str, value: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=f"rawless_{name}", expressions=[value])


def _is_converted_alike(value: exp.Expr, name: str, *, is_safe: bool) -> bool:
    """Return whether a value is a literal that both convert alike: of a cast that fails, a valid one."""
    if isinstance(value, exp.Literal) and value.is_string:
        return name == "string" or (name in _WRITTEN_ALIKE and not is_safe)
    return isinstance(value, exp.Null) or (
        isinstance(value, exp.Literal) and name in ("float64", "numeric", "bignumeric")
    )
