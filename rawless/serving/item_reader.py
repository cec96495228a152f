"""Requests with one or several items as events. Like `requests`, it handles what a caller sent only inside `guarded`.

The headers of a request hold for all of its items, unless an item has the same field. Each item is read by itself: what
is wrong with one concerns no other.
"""

import asyncio
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.requests import Request

from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected, guarded
from rawless.serving.config import ServiceLimits
from rawless.serving.errors import Code, ErrorCode, RequestError
from rawless.serving.forms import FORM_TYPE, parse_form
from rawless.serving.items import FORM_FIELDS, SentItem, items_json, items_of_form, items_of_json
from rawless.serving.requests import (
    JSON_TYPE,
    METADATA,
    InferenceRequest,
    Metadata,
    RequestReader,
    check_content_type,
    check_fields,
    content_types,
    header_metadata,
    max_body_bytes,
    read_body,
)

_SMALL_BYTES = 1 << 16
"""Of a body that is parsed in the event loop; parsing a larger one would keep other requests waiting."""
Items = list[InferenceRequest | Code]
"""The items of a request: each as an event, or the reason why it is none."""


def content_types_of_items(stream: Stream) -> list[str]:
    """Return the content types of bodies with several items."""
    return [JSON_TYPE, FORM_TYPE] if stream.modality in FORM_FIELDS else [JSON_TYPE]


def max_bytes_of_items(stream: Stream, limits: ServiceLimits) -> int:
    """Return the size limit of a body with several items, for which the queue must have places."""
    return max(max_body_bytes(stream), min(limits.batch_bytes, limits.queue * _place_bytes(stream)))


def _place_bytes(stream: Stream) -> int:
    """Return the size of a body for which a request takes one place, so that the queue bounds the memory."""
    return max(max_body_bytes(stream), _SMALL_BYTES)


class ItemReader:
    """Reads requests of one stream with one or several items."""

    def __init__(self, stream: Stream, reader: RequestReader, limits: ServiceLimits) -> None:
        self._stream, self._reader, self._max_items = stream, reader, limits.max_items
        self._max_bytes = max_bytes_of_items(stream, limits)
        self._content_types = [*content_types(stream), *content_types_of_items(stream)]

    async def read(self, request: Request) -> InferenceRequest | Items:
        """Return the event in a request with one item, or those in one with several. Raises RequestError."""
        content_type = check_content_type(request.headers, self._content_types)
        if content_type not in (JSON_TYPE, FORM_TYPE):
            return await self._reader.read(request)
        body = await read_body(request, self._max_bytes, ErrorCode.BATCH_TOO_LARGE, _place_bytes(self._stream))
        caller_key = self._reader.caller_key(request)

        def parse() -> InferenceRequest | Items | Code:
            return guarded(self._parse, content_type, body, request.headers, caller_key)

        outcome = parse() if _is_small(body) else await asyncio.to_thread(parse)
        if isinstance(outcome, Reason | ErrorCode):
            raise RequestError(outcome)
        if isinstance(outcome, list):
            request.state.places.extend_to(len(outcome))
        return outcome

    def _parse(
        self, content_type: str, body: Raw[bytes], headers: Headers, caller_key: str | None
    ) -> InferenceRequest | Items | Code:
        try:
            if content_type == FORM_TYPE:
                fields = parse_form(headers["content-type"], body.reveal(), 2 * self._max_items)
                return self._read_all(
                    items_of_form(fields, self._stream.modality, self._max_items), headers, caller_key
                )
            value = items_json(body.reveal(), self._max_items)
            items = items_of_json(value, self._stream.modality, self._max_items)
            if items is not None:
                return self._read_all(items, headers, caller_key)
        except RequestError as error:
            return error.code
        return self._reader.parse(self._single(body, value), header_metadata(headers), caller_key)

    def _single(self, body: Raw[bytes], value: object) -> Mapping[str, object]:
        """Return the content of the only item of a JSON body. Raises Rejected."""
        if self._stream.modality == "image" or not isinstance(value, Mapping):
            raise Rejected(Reason.MALFORMED_EVENT)
        if len(body.reveal()) > max_body_bytes(self._stream):
            raise Rejected(Reason.PAYLOAD_TOO_LARGE)
        if self._stream.modality == "parts":
            return {"parts": value}
        check_fields(value)
        return value

    def _read_all(self, items: Sequence[SentItem], headers: Headers, caller_key: str | None) -> Items:
        """Return each item as an event, or why it is none.

        Raises RequestError if two have the same event id, and Rejected for malformed headers.
        """
        shared = header_metadata(headers)
        ids = [event_id for item in items if isinstance(event_id := _metadata(item, shared)["event_id"], str)]
        if len(set(ids)) < len(ids):
            raise RequestError(ErrorCode.DUPLICATE_EVENT_ID)
        return [self._read_item(item, shared, caller_key) for item in items]

    def _read_item(self, item: SentItem, shared: Metadata, caller_key: str | None) -> InferenceRequest | Code:
        if not isinstance(item, Mapping):
            return item
        content = {name: value for name, value in item.items() if name not in METADATA}
        return guarded(self._reader.parse, content, _metadata(item, shared), caller_key)


def _is_small(body: Raw[bytes]) -> bool:
    return len(body.reveal()) <= _SMALL_BYTES


def _metadata(item: SentItem, shared: Metadata) -> Metadata:
    """Return the metadata of an item: its own, and what it lacks from the headers."""
    own = {name: item.get(name) for name in METADATA} if isinstance(item, Mapping) else {}
    return {name: shared[name] if own.get(name) is None else own[name] for name in METADATA}
