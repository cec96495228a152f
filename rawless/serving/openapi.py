"""Parameters and bodies of operations as OpenAPI describes them."""

from typing import Any

from rawless.events.stream import Enumerated, IdPattern, PartRule, Stream
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH
from rawless.serving import requests
from rawless.serving.config import ServedHead
from rawless.serving.remote import BYTES
from rawless.serving.vector_index import MAX_TOP

DEFAULT_TOP = 10
_ID_FORMATS = {"uuid": {"format": "uuid"}, "ulid": {"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}}
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
TOP_PARAMETER = {
    "name": "top", "in": "query", "description": "the number of matches",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "default": DEFAULT_TOP},
}  # fmt: skip
FEATURES_PARAMETER = {
    "name": requests.FEATURES.title(), "in": "header",
    "description": "the features that GET /v1/heads lists for the head: a number, a class, or null if it is not known",
    "content": {
        "application/json": {
            "schema": {"type": "object", "additionalProperties": {"type": ["number", "string", "null"]}}
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
        parts = {name: _part_schema(part) for name, part in stream.parts.items()}
        schema = {"type": "object", "properties": parts, "minProperties": 1}
    else:
        schema = _BINARY
    content = {content_type: {"schema": schema} for content_type in requests.content_types(stream)}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": _metadata_headers(stream, logged=head.log),
    }


def _text_schema(max_bytes: int) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": max_bytes}
    return {"type": "object", "properties": {"text": text}, "required": ["text"], "additionalProperties": False}


def _part_schema(part: PartRule) -> dict[str, Any]:
    if part.modality == "text":
        return _text_schema(part.max_bytes)
    file = {"type": "string", "contentEncoding": "base64", "minLength": 1}
    return {"type": "object", "properties": {"payload_base64": file}, "required": ["payload_base64"]}


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
    headers = [
        header_parameter(requests.EVENT_ID, required=requests.needs_event_id(stream, logged=logged), **id_schema),
        header_parameter(requests.OCCURRED_AT, format="date-time"),
        header_parameter(requests.ASSIGNMENT_KEY, maxLength=requests.MAX_HEADER),
        {"name": "Rawless-Attributes", "in": "header", "content": {"application/json": {"schema": attributes_schema}}},
    ]
    if stream.subject == "none":
        return headers
    is_required = logged and stream.subject == "required"
    return [*headers, header_parameter(requests.SUBJECT_ID, required=is_required, maxLength=MAX_SUBJECT_LENGTH)]
