"""The items of a request as they were sent in JSON or in a form, not yet checked against their stream.

Call these functions only inside `guarded`: they handle content.
"""

import re
from collections.abc import Mapping, Sequence

from rawless.content import Modality
from rawless.events.json_object import Ambiguous, json_value
from rawless.privacy import Reason, Rejected
from rawless.serving.errors import Code, ErrorCode, RequestError
from rawless.serving.forms import FormField
from rawless.serving.requests import METADATA, is_utf8

CONTENT_FIELDS: Mapping[Modality, str] = {"text": "text", "image": "payload_base64", "parts": "parts"}
"""The field of an item in JSON that has its content, by modality."""
FORM_FIELDS: Mapping[Modality, str] = {"text": "text", "image": "file"}
"""The field of a form that is an item, by modality."""
METADATA_FIELD = "metadata"
"""The field of a form with the metadata of its items."""
_MAX_VALUES = 1000
"""Of an item in JSON: more than anything that an item may have."""
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
SentItem = Mapping[str, object] | Code
"""The fields of an item: metadata, and the field of an event with its payload. Or the reason why it is none."""


def items_json(content: bytes, max_items: int) -> object:
    """Parse the JSON of at most `max_items` items. Raises Rejected.

    Raises RequestError for JSON with more values than so many items can have, before it is parsed: its objects would
    need a multiple of its memory, and no other request is answered while they are made.
    """
    limit = _MAX_VALUES * max_items
    if _strings(content) > limit or (_values(content) > limit and _values(_STRINGS.sub(b"", content)) > limit):
        raise RequestError(ErrorCode.TOO_MANY_ITEMS)
    return json_value(content)


def _strings(content: bytes) -> int:
    """Return how many strings JSON has at least: no quotation mark that begins one follows a backslash."""
    return (content.count(b'"') - content.count(b'\\"')) // 2


def _values(content: bytes) -> int:
    """Return how many values JSON has at most: what looks like the sign before one may be in a string."""
    return sum(map(content.count, (b"[", b"{", b",")))


def items_of_json(body: object, modality: Modality, max_items: int) -> list[SentItem] | None:
    """Return the items of a JSON body, None for an object that is one item as it is sent alone.

    Raises Rejected, and RequestError for more than `max_items`.
    """
    if isinstance(body, Mapping):
        if isinstance(body, Ambiguous):
            raise Rejected(Reason.MALFORMED_EVENT)
        if body.keys() != {"items"} or not isinstance(body["items"], list):
            return None
        body = body["items"]
    if not isinstance(body, list):
        raise Rejected(Reason.MALFORMED_EVENT)
    check_number(len(body), max_items)
    return [_fields_of(item, {CONTENT_FIELDS[modality], *METADATA}) for item in body]


def check_number(items: int, max_items: int) -> None:
    """Raise RequestError if a request has no items, or too many."""
    if not items:
        raise RequestError(ErrorCode.NO_ITEMS)
    if items > max_items:
        raise RequestError(ErrorCode.TOO_MANY_ITEMS)


def items_of_form(fields: Sequence[FormField], modality: Modality, max_items: int) -> list[SentItem]:
    """Return the items of a form. Raises RequestError."""
    own = FORM_FIELDS[modality]
    if any(field.name not in (own, METADATA_FIELD) for field in fields):
        raise RequestError(ErrorCode.UNKNOWN_FIELD)
    contents = [field for field in fields if field.name == own]
    check_number(len(contents), max_items)
    if own == "file" and not all(field.has_file_name for field in contents):
        raise RequestError(ErrorCode.NOT_A_FILE)
    about = [field for field in fields if field.name == METADATA_FIELD and field.content.strip() not in (b"", b"[]")]
    metadata = _metadata_of(about, len(contents))
    return [_with_content(sent, field) for field, sent in zip(contents, metadata, strict=True)]


def _metadata_of(fields: Sequence[FormField], items: int) -> list[SentItem]:
    """Return the metadata of each item: of one array, or of a field each, as OpenAPI has it. Raises RequestError."""
    if not fields:
        return [{}] * items
    try:
        values = [items_json(field.content, items) for field in fields]
    except Rejected:
        raise RequestError(ErrorCode.BAD_METADATA) from None
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    if len(values) != items:
        raise RequestError(ErrorCode.BAD_METADATA)
    return [{} if each is None else _fields_of(each, set(METADATA)) for each in values]


def _with_content(sent: SentItem, field: FormField) -> SentItem:
    if not isinstance(sent, Mapping):
        return sent
    if not is_utf8(field.content_type.partition(";")[2]):
        return ErrorCode.UNSUPPORTED_MEDIA_TYPE
    return {**sent, "payload": field.content}


def _fields_of(item: object, allowed: set[str]) -> SentItem:
    """Return the fields of an item, or the reason why it has other ones, names one twice, or has a wrong type."""
    if not isinstance(item, Mapping) or item.keys() - allowed:
        return Reason.MALFORMED_EVENT
    objects = [item, *(item.get(name) for name in ("attributes", "features"))]
    if any(isinstance(each, Ambiguous) for each in objects) or not isinstance(item.get("features"), Mapping | None):
        return Reason.MALFORMED_EVENT
    text = item.get("text")
    return item if isinstance(text, str | None) else Reason.MALFORMED_EVENT
