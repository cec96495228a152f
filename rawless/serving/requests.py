"""From an HTTP request to an event, or to why it is refused. The one place that reads bodies and metadata.

Whatever was sent is in hand only inside `guarded`, or in `Raw`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import Request

from rawless.events.event import Delivery, Event, Refusal
from rawless.events.parse import Parser
from rawless.events.sources.jsonl import json_object
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected, guarded
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving.errors import ErrorCode, RequestError

EVENT_ID, OCCURRED_AT, SUBJECT_ID, ATTRIBUTES, ASSIGNMENT_KEY = (
    f"rawless-{name}" for name in ("event-id", "occurred-at", "subject-id", "attributes", "assignment-key")
)
MAX_HEADER = 8192
_TEXT_TYPE = "application/json"
_JSON_ROOM = 1024
"""Bytes of a JSON body around its text."""


def content_types(stream: Stream) -> list[str]:
    """Of the bodies that carry a stream's content."""
    if stream.modality == "text":
        return [_TEXT_TYPE]
    return [f"image/{each}" for each in stream.limits.formats] + ["application/octet-stream"]


def max_body(stream: Stream) -> int:
    """Bytes: JSON spells one byte of text in six."""
    return stream.max_bytes if stream.modality == "image" else 6 * stream.max_bytes + _JSON_ROOM


def needs_event_id(stream: Stream, *, logged: bool) -> bool:
    """Whether its caller has to name an event, since a made-up id would not match the stream's pattern."""
    return logged and not stream.allows_id(str(uuid4()))


class InferenceRequest(NamedTuple):
    """A request that was read and checked."""

    event: Event
    key: str
    """The caller's own, by which an arm is chosen."""


class RequestReader:
    """Reads the requests of one stream."""

    def __init__(self, stream: Stream, key: PseudonymKey | None, *, logged: bool) -> None:
        """`key` is needed where requests are logged. Where they are not, neither subject nor event id is required."""
        free = stream.subject != "required"
        self._stream = stream if logged or free else stream.model_copy(update={"subject": "optional"})
        self._parser = Parser(self._stream, key if logged else None)
        unnamed = self._stream if logged else self._stream.model_copy(update={"event_id": "uuid"})
        self._unnamed = Parser(unnamed, key if logged else None)
        self._makes_ids = not needs_event_id(stream, logged=logged)

    async def read(self, request: Request) -> InferenceRequest:
        """The event that a request carries. Raises RequestError."""
        check_type(request.headers, content_types(self._stream))
        body = await read_body(request, max_body(self._stream))
        found = guarded(self._parsed, body, request.headers)
        if isinstance(found, Reason):
            raise RequestError(found)
        return found

    def _parsed(self, body: Raw[bytes], headers: Headers) -> InferenceRequest:
        fields = self._fields(body.reveal(), headers)
        parser = self._parser if EVENT_ID in headers else self._unnamed
        outcome = parser.parse(Delivery("", Raw(fields), 0), datetime.now(UTC)).outcome
        if isinstance(outcome, Refusal):
            raise Rejected(outcome.reason)
        given = (_text(headers, name) for name in (ASSIGNMENT_KEY, SUBJECT_ID, EVENT_ID))
        return InferenceRequest(outcome, next(filter(None, given), outcome.event_id))

    def _fields(self, body: bytes, headers: Headers) -> Mapping[str, object]:
        fields: dict[str, object] = {
            "event_id": _given(_text(headers, EVENT_ID), str(uuid4()) if self._makes_ids else None),
            "occurred_at": _given(_text(headers, OCCURRED_AT), datetime.now(UTC).isoformat()),
            "stream": self._stream.stream,
            "subject_id": _text(headers, SUBJECT_ID),
            "attributes": _attributes(headers),
        }
        if self._stream.modality == "image":
            return {**fields, "payload": body}
        content = json_object(body)
        if content.keys() - {"text"} or not isinstance(content.get("text"), str | None):
            raise Rejected(Reason.MALFORMED_EVENT)
        return {**fields, **content}


def _given(value: str | None, made: str | None) -> str | None:
    return made if value is None else value


def check_type(headers: Headers, allowed: list[str]) -> None:
    """Raises RequestError for a Content-Type that is not among them."""
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = re.fullmatch(r'\s*(charset="?utf-8"?)?\s*', parameters, re.ASCII | re.IGNORECASE)
    if kind.strip().lower() not in allowed or not charset or "content-encoding" in headers:
        raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)


async def read_body(request: Request, limit: int) -> Raw[bytes]:
    """The body. Raises RequestError for one of more than `limit` bytes, as soon as that is known."""
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and int(told[:20]) > limit:
        raise RequestError(Reason.PAYLOAD_TOO_LARGE)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RequestError(Reason.PAYLOAD_TOO_LARGE)
        parts.append(part)
    return Raw(b"".join(parts))


def attributes_of(headers: Headers) -> Mapping[str, str]:
    """The attributes that another service of ours sends on. Raises RequestError."""
    found = guarded(_attributes, headers)
    if isinstance(found, Reason):
        raise RequestError(found)
    return {name: str(value) for name, value in (found or {}).items()}


def _attributes(headers: Headers) -> Mapping[str, object] | None:
    text = _text(headers, ATTRIBUTES)
    return json_object(text.encode()) if text else None


def _text(headers: Headers, name: str) -> str | None:
    """A header's value as UTF-8, which is not what servers read them as. Raises Rejected."""
    values = headers.getlist(name)
    if not values:
        return None
    if len(values) > 1 or len(values[0]) > MAX_HEADER:
        raise Rejected(Reason.MALFORMED_EVENT)
    try:
        return values[0].encode("latin-1").decode()
    except UnicodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
