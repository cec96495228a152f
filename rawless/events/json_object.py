"""JSON objects that producers and callers send."""

import json
from collections.abc import Mapping

from rawless.privacy import Reason, Rejected


def json_object(content: bytes) -> Mapping[str, object]:
    """Parse a JSON object. Raises Rejected if the content is anything else, or names a field or attribute twice."""
    fields = json_value(content)
    if not isinstance(fields, dict) or any(isinstance(each, Ambiguous) for each in (fields, fields.get("attributes"))):
        raise Rejected(Reason.MALFORMED_EVENT)
    return fields


def json_value(content: bytes) -> object:
    """Parse JSON of any kind, in which an object that names a field twice is `Ambiguous`. Raises Rejected."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    try:
        value: object = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Rejected(Reason.MALFORMED_EVENT) from None
    return value


class Ambiguous(dict[str, object]):
    """An object that names a field twice: which value is meant is unknown. It matters only where fields are used."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else Ambiguous(fields)


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python converts some thousand digits at most; no field of an event is a number
        return float(digits)
