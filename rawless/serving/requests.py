"""HTTP requests as events: the only place that reads bodies and metadata headers.

What a caller sent is handled only inside `guarded`, or in `Raw`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import Request

from rawless.events.event import Event, Rejection
from rawless.events.json_object import json_object
from rawless.events.parse import Parser
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected, guarded
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving.callers import CallerKeys
from rawless.serving.errors import Code, ErrorCode, RequestError
from rawless.serving.features import Features, bounded

EVENT_ID, OCCURRED_AT, SUBJECT_ID, ATTRIBUTES, FEATURES, ASSIGNMENT_KEY = (
    f"rawless-{name}" for name in ("event-id", "occurred-at", "subject-id", "attributes", "features", "assignment-key")
)
MAX_HEADER = 8192
MAX_LOGGED_AGE, MAX_LOGGED_AHEAD = timedelta(hours=1), timedelta(minutes=1)
"""When the event of a logged request may have occurred. The service is called for what happens now: an hour is for a
caller that queues and retries, a minute for its clock. Any other time would place rows in days that are complete."""
JSON_TYPE = "application/json"
METADATA = ("event_id", "occurred_at", "subject_id", "attributes", "features", "assignment_key")
"""The metadata of an item, by the names of their fields."""
Metadata = Mapping[str, object]
"""What was sent beside the content of an item, not yet checked; None for what is missing."""
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}
"""Names of content types that clients send besides the registered ones."""
_CHARSET = re.compile(r"""(?:^|;)\s*charset\s*=\s*["']?([^\s"';]*)""", re.ASCII)
_JSON_OVERHEAD = 1024
"""Bytes of a JSON body besides its text."""


def content_types(stream: Stream) -> list[str]:
    """Return the content types of bodies with a stream's content."""
    if stream.modality in ("text", "parts"):
        return [JSON_TYPE]
    return [f"image/{image_format}" for image_format in stream.limits.formats] + ["application/octet-stream"]


def max_body_bytes(stream: Stream) -> int:
    """Return the size limit of a body. JSON may spell one byte of text in six, and three of a file in four."""
    if stream.modality == "parts":
        factors = {"text": 6, "image": 4 / 3}
        return sum(int(factors[part.modality] * part.max_bytes) + _JSON_OVERHEAD for part in stream.parts.values())
    return stream.max_bytes if stream.modality == "image" else 6 * stream.max_bytes + _JSON_OVERHEAD


def needs_event_id(stream: Stream, *, logged: bool) -> bool:
    """Return whether callers must send an event id, because a generated one would not match the stream's pattern."""
    return logged and not stream.allows_id(str(uuid4()))


class InferenceRequest(NamedTuple):
    """A request that was read and checked."""

    event: Event
    assignment_key: str
    """The key by which an arm is assigned."""
    caller_key: str | None
    """The id of the caller, for a logged request to a service with access configuration."""
    features: Features
    """What the caller sent, not yet checked against a head."""


class RequestReader:
    """Reads the requests of one stream."""

    def __init__(self, stream: Stream, pseudonym_key: PseudonymKey | None, *, logged: bool) -> None:
        """`pseudonym_key` is required for logged requests. Others require neither a subject nor an event id."""
        if not logged and stream.subject == "required":
            stream = stream.model_copy(update={"subject": "optional"})
        if stream.modality == "parts":  # a caller sends what he wants encoded, and names no objects
            stream = stream.model_copy(update={"uri_prefixes": ()})
        self._stream, self._logged = stream, logged
        key = pseudonym_key if logged else None
        self._caller_keys = CallerKeys(key) if key else None
        self._parser = Parser(stream, key)
        self._generates_ids = not needs_event_id(stream, logged=logged)
        # An event that is not logged may get a generated id that does not match the stream's pattern.
        generated = stream if logged else stream.model_copy(update={"event_id": "uuid"})
        self._generated_id_parser = Parser(generated, key)

    async def read(self, request: Request) -> InferenceRequest:
        """Return the event in a request with one item. Raises RequestError."""
        check_content_type(request.headers, content_types(self._stream))
        body = await read_body(request, max_body_bytes(self._stream))
        outcome = guarded(self._parse_body, body, request.headers, self.caller_key(request))
        if isinstance(outcome, Reason):
            raise RequestError(outcome)
        return outcome

    def caller_key(self, request: Request) -> str | None:
        """Return the id of the caller of a request, for one that is logged and was authenticated."""
        credential: str | None = request.state.credential
        return self._caller_keys.of(credential) if self._caller_keys and credential else None

    def _parse_body(self, body: Raw[bytes], headers: Headers, caller_key: str | None) -> InferenceRequest:
        content: Mapping[str, object] = {"payload": body.reveal()}
        if self._stream.modality == "text":
            content = json_object(body.reveal())
            check_fields(content)
        return self.parse(content, header_metadata(headers), caller_key)

    def parse(self, content: Mapping[str, object], metadata: Metadata, caller_key: str | None) -> InferenceRequest:
        """Return the event of one item. `content` is the field of an event with its payload. Raises Rejected."""
        features, key = metadata["features"], metadata["assignment_key"]
        if not isinstance(key, str | None) or len(key or "") > MAX_HEADER:
            raise Rejected(Reason.MALFORMED_EVENT)
        sent_id, now = metadata["event_id"], datetime.now(UTC)
        event_id = str(uuid4()) if sent_id is None and self._generates_ids else sent_id
        fields = {
            "event_id": event_id,
            "occurred_at": now.isoformat() if metadata["occurred_at"] is None else metadata["occurred_at"],
            "stream": self._stream.stream,
            "subject_id": metadata["subject_id"],
            "attributes": metadata["attributes"],
            **content,
        }
        parser = self._generated_id_parser if sent_id is None else self._parser
        outcome = parser.parse_fields(Raw(fields), now).outcome
        if isinstance(outcome, Rejection):
            raise Rejected(outcome.reason)
        if self._logged and not now - MAX_LOGGED_AGE <= outcome.occurred_at <= now + MAX_LOGGED_AHEAD:
            raise Rejected(Reason.BAD_OCCURRED_AT)
        keys = (each for each in (key, metadata["subject_id"], sent_id) if isinstance(each, str) and each)
        given = bounded(features) if isinstance(features, Mapping) else {}
        return InferenceRequest(outcome, next(keys, outcome.event_id), caller_key, given)


def check_fields(content: Mapping[str, object]) -> None:
    """Raise Rejected unless a JSON object is the body of a request with one text."""
    if content.keys() - {"text"} or not isinstance(content.get("text"), str | None):
        raise Rejected(Reason.MALFORMED_EVENT)


def header_metadata(headers: Headers) -> Metadata:
    """Return the metadata in the headers of a request. Raises Rejected."""
    return {
        "event_id": _header_text(headers, EVENT_ID),
        "occurred_at": _header_text(headers, OCCURRED_AT),
        "subject_id": _header_text(headers, SUBJECT_ID),
        "attributes": _parse_attributes(headers),
        "features": _parse_features(headers),
        "assignment_key": _header_text(headers, ASSIGNMENT_KEY),
    }


def check_content_type(headers: Headers, allowed: list[str]) -> str:
    """Return the Content-Type without its parameters.

    Raises RequestError unless it is among `allowed`, and the body neither compressed nor recoded.
    """
    sent = headers.getlist("content-type")
    content_type, _, parameters = "".join(sent[:1]).lower().partition(";")
    content_type = _ALIASES.get(content_type.strip(), content_type.strip())
    encodings = {value.strip().lower() for value in headers.getlist("content-encoding")}
    if len(sent) > 1 or content_type not in allowed or not is_utf8(parameters) or encodings - {"identity"}:
        raise RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    return content_type


def is_utf8(parameters: str) -> bool:
    """Return whether the parameters of a Content-Type name no other charset than UTF-8."""
    return all(charset in ("utf-8", "utf8") for charset in _CHARSET.findall(parameters.lower()))


class Places(Protocol):
    """The places of a request among the items in progress."""

    def extend_to(self, number: int) -> None:
        """Take places until there are `number`. Raises RequestError if there are not enough."""


async def read_body(
    request: Request, limit: int, code: Code = Reason.PAYLOAD_TOO_LARGE, place_bytes: int | None = None
) -> Raw[bytes]:
    """Return the body. Raises RequestError with `code` for more than `limit` bytes, without reading them all.

    With `place_bytes`, the request takes a place for each such number of bytes that was begun.
    """
    content_length = request.headers.get("content-length", "")
    if content_length.isascii() and content_length.isdigit() and int(content_length[:20]) > limit:
        raise RequestError(code)
    chunks, size = [], 0
    places: Places = request.state.places
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RequestError(code)
        if place_bytes:
            places.extend_to(-(-size // place_bytes))
        chunks.append(chunk)
    return Raw(b"".join(chunks))


def read_attributes(headers: Headers) -> Mapping[str, str]:
    """Return the attributes that an orchestrator forwards. Raises RequestError."""
    attributes = guarded(_parse_attributes, headers)
    if isinstance(attributes, Reason):
        raise RequestError(attributes)
    return {name: str(value) for name, value in (attributes or {}).items()}


def read_features(headers: Headers) -> Features:
    """Return the features that an orchestrator forwards. Raises RequestError."""
    features = guarded(_parse_features, headers, 4 * MAX_HEADER)  # it may write a number with more digits
    if isinstance(features, Reason):
        raise RequestError(features)
    return features


def _parse_features(headers: Headers, limit: int = MAX_HEADER) -> Features:
    text = _header_text(headers, FEATURES, limit)
    return bounded(json_object(text.encode())) if text else {}


def _parse_attributes(headers: Headers) -> Mapping[str, object] | None:
    text = _header_text(headers, ATTRIBUTES)
    return json_object(text.encode()) if text else None


def _header_text(headers: Headers, name: str, limit: int = MAX_HEADER) -> str | None:
    """Return a header's value decoded as UTF-8, where servers decode Latin-1. Raises Rejected."""
    values = headers.getlist(name)
    if not values:
        return None
    if len(values) > 1 or len(values[0]) > limit:
        raise Rejected(Reason.MALFORMED_EVENT)
    try:
        return values[0].encode("latin-1").decode()
    except UnicodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
