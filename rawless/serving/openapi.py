"""Parameters and bodies of operations as OpenAPI describes them."""

from typing import Any

from rawless.events.stream import Enumerated, IdPattern, PartRule, Stream
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH
from rawless.serving import requests
from rawless.serving.config import ServedHead, ServiceLimits
from rawless.serving.forms import FORM_TYPE
from rawless.serving.items import CONTENT_FIELDS, FORM_FIELDS, METADATA_FIELD
from rawless.serving.remote import BYTES
from rawless.serving.vector_index import MAX_TOP

DEFAULT_TOP = 10
_ID_FORMATS = {"uuid": {"format": "uuid"}, "ulid": {"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}}
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FILE: dict[str, Any] = {"type": "string", "contentEncoding": "base64", "minLength": 1}
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
TOP_PARAMETER = {
    "name": "top", "in": "query", "description": "the number of matches",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": DEFAULT_TOP},
}  # fmt: skip
FEATURES_PARAMETER = {
    "name": requests.FEATURES.title(), "in": "header",
    "description": "the features that GET /v1/heads lists for the head: a number, a class, or null if it is not known",
    "content": {
        "application/json": {
            "schema": {"type": "object", "additionalProperties": {"type": ["number", "string", "null"]}},
            "example": {},
        }
    },
}  # fmt: skip
VECTOR_RESPONSE = {"200": {"description": "little-endian float32", "content": {BYTES: {"schema": _BINARY}}}}
BINARY_BODY = {"required": True, "content": {BYTES: {"schema": _BINARY}}}


def arm_parameter(head: ServedHead) -> dict[str, Any]:
    """Describe the parameter by which a request asks for an arm of a head."""
    return {
        "name": "arm", "in": "query", "description": "the head or encoder that answers; by default the assigned one",
        "schema": {"type": "string", "enum": list(head.arms)},
    }  # fmt: skip


def path_parameter(name: str, values: list[str]) -> dict[str, Any]:
    """Describe a part of the path that is one of `values`."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def fingerprint_parameter() -> dict[str, Any]:
    """Describe the fingerprint of an encoder in the path. Which ones are loaded changes while the service runs."""
    return {
        "name": "fingerprint",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }


def header_parameter(name: str, *, required: bool = False, **schema: str | int) -> dict[str, Any]:
    """Describe a header that is a string with a JSON schema."""
    return {"name": name.title(), "in": "header", "required": required, "schema": {"type": "string", **schema}}


def describe_request(head: ServedHead) -> dict[str, Any]:
    """Describe the body and the headers of requests to a served head."""
    stream = head.stream
    schema: dict[str, Any]
    if stream.modality == "text":
        schema = _text_schema(stream.max_bytes)
    elif stream.modality == "parts":
        schema = _parts_schema(stream)
    else:
        schema = _BINARY
    content = {content_type: {"schema": schema} for content_type in requests.content_types(stream)}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _metadata_headers(stream, logged=head.log),
    }


def describe_items(head: ServedHead, limits: ServiceLimits) -> dict[str, Any]:
    """Describe the bodies and headers of requests to a served head with one item or with several."""
    stream = head.stream
    description = describe_request(head)
    description["parameters"].append(FEATURES_PARAMETER)
    metadata = _metadata_fields(stream, logged=head.log)
    required = ["event_id"] if requests.needs_event_id(stream, logged=head.log) else []
    content = description["requestBody"]["content"]
    field = CONTENT_FIELDS[stream.modality]
    item = {
        "type": "object", "properties": {field: _item_schema(stream), **metadata}, "required": [field, *required],
        "additionalProperties": False,
    }  # fmt: skip
    bounds = {"minItems": 1, "maxItems": limits.max_items}
    array = {"type": "array", "items": item, **bounds}
    several = {"type": "object", "properties": {"items": array}, "required": ["items"], "additionalProperties": False}
    single = [content[requests.JSON_TYPE]["schema"]] if requests.JSON_TYPE in content else []
    content[requests.JSON_TYPE] = {"schema": {"anyOf": [*single, several, array]}, "examples": _examples(stream)}
    if form_field := FORM_FIELDS.get(stream.modality):
        each = _BINARY if form_field == "file" else _item_schema(stream)
        about = {"type": "object", "properties": metadata, "additionalProperties": False}
        fields = {
            form_field: {"type": "array", "items": each, **bounds},
            METADATA_FIELD: {
                "type": "array", "items": {"anyOf": [about, {"type": "null"}]}, **bounds,
                "description": "of each item, in their order", "examples": [[]],
            },
        }  # fmt: skip
        schema = {"type": "object", "properties": fields, "required": [form_field], "additionalProperties": False}
        content[FORM_TYPE] = {"schema": schema, "encoding": {METADATA_FIELD: {"contentType": requests.JSON_TYPE}}}
    return description


def _examples(stream: Stream) -> dict[str, Any]:
    """Return example bodies, which the page /docs offers."""
    if stream.modality == "text":
        texts = [{"text": "Where is my parcel?"}, {"text": "The app crashes."}]
        return {"one item": {"value": texts[0]}, "several items": {"value": {"items": texts}}}
    image = {"payload_base64": _PIXEL}
    if stream.modality == "image":
        return {"several items": {"value": {"items": [image, image]}}}
    parts = {
        name: {"text": "Where is my parcel?"} if part.modality == "text" else image
        for name, part in stream.parts.items()
    }
    return {"one item": {"value": parts}, "several items": {"value": {"items": [{"parts": parts}]}}}


def _item_schema(stream: Stream) -> dict[str, Any]:
    """Describe the field of an item that has its content."""
    if stream.modality == "text":
        return {"type": "string", "minLength": 1, "maxLength": stream.max_bytes}
    if stream.modality == "image":
        return _FILE
    return _parts_schema(stream)


def _parts_schema(stream: Stream) -> dict[str, Any]:
    parts = {name: _part_schema(part) for name, part in stream.parts.items()}
    return {"type": "object", "properties": parts, "minProperties": 1}


def _metadata_fields(stream: Stream, *, logged: bool) -> dict[str, Any]:
    """Describe the fields of an item with the same metadata as the headers."""
    fields: dict[str, Any] = {}
    for header in [*_metadata_headers(stream, logged=logged), FEATURES_PARAMETER]:
        name = header["name"].removeprefix("Rawless-").replace("-", "_").lower()
        fields[name] = header.get("schema") or header["content"][requests.JSON_TYPE]["schema"]
    return fields


def _text_schema(max_bytes: int) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": max_bytes}
    return {"type": "object", "properties": {"text": text}, "required": ["text"], "additionalProperties": False}


def _part_schema(part: PartRule) -> dict[str, Any]:
    if part.modality == "text":
        return _text_schema(part.max_bytes)
    return {"type": "object", "properties": {"payload_base64": _FILE}, "required": ["payload_base64"]}


def _metadata_headers(stream: Stream, *, logged: bool) -> list[dict[str, Any]]:
    event_id = stream.event_id
    id_schema: dict[str, Any] = (
        {"pattern": f"^(?:{event_id.pattern})$"} if isinstance(event_id, IdPattern) else _ID_FORMATS[event_id]
    )
    value_schemas = {
        name: {"enum": list(rule.enum)} if isinstance(rule, Enumerated) else {"pattern": f"^(?:{rule.pattern})$"}
        for name, rule in stream.attributes.items()
    }
    attributes_schema = {
        "type": "object",
        "properties": {name: {"type": "string"} | schema for name, schema in value_schemas.items()},
    }
    attributes = {"schema": attributes_schema, "example": {}}
    headers = [
        header_parameter(requests.EVENT_ID, required=requests.needs_event_id(stream, logged=logged), **id_schema),
        header_parameter(requests.OCCURRED_AT, format="date-time"),
        header_parameter(requests.ASSIGNMENT_KEY, maxLength=requests.MAX_HEADER),
        {"name": "Rawless-Attributes", "in": "header", "content": {requests.JSON_TYPE: attributes}},
    ]
    if stream.subject == "none":
        return headers
    is_required = logged and stream.subject == "required"
    return [*headers, header_parameter(requests.SUBJECT_ID, required=is_required, maxLength=MAX_SUBJECT_LENGTH)]
