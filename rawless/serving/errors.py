"""Errors of requests: a closed code, an HTTP status and a fixed sentence, which never quote the request.

A feature is named as the manifest of the head names it.
"""

from enum import StrEnum
from http import HTTPStatus

from rawless.errors import RawlessError
from rawless.privacy import Reason


class ErrorCode(StrEnum):
    """Codes of errors, in addition to the reasons for which an event is rejected."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MISDIRECTED = "misdirected"
    CROSS_ORIGIN = "cross_origin"
    HEAD_MISMATCH = "head_mismatch"
    HEAD_FAILED = "head_failed"
    MISSING_FEATURE = "missing_feature"
    BAD_FEATURE = "bad_feature"
    NO_ITEMS = "no_items"
    TOO_MANY_ITEMS = "too_many_items"
    BATCH_TOO_LARGE = "batch_too_large"
    DUPLICATE_EVENT_ID = "duplicate_event_id"
    MALFORMED_FORM = "malformed_form"
    UNKNOWN_FIELD = "unknown_field"
    NOT_A_FILE = "not_a_file"
    BAD_METADATA = "bad_metadata"
    QUEUE_FULL = "queue_full"
    UNAVAILABLE = "unavailable"
    TOO_SLOW = "too_slow"


Code = ErrorCode | Reason
RETRY_AFTER_SECONDS = 1
_STATUSES: dict[Code, HTTPStatus] = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.MISDIRECTED: HTTPStatus.MISDIRECTED_REQUEST,
    ErrorCode.CROSS_ORIGIN: HTTPStatus.FORBIDDEN,
    ErrorCode.HEAD_MISMATCH: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.HEAD_FAILED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.MISSING_FEATURE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.BAD_FEATURE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.TOO_MANY_ITEMS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.BATCH_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.QUEUE_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TOO_SLOW: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_ANY_FEATURE = "A feature of the head"
_DETAILS: dict[Code, str] = {
    ErrorCode.BAD_REQUEST: "The request is invalid; /openapi.json describes the allowed parameters and bodies.",
    ErrorCode.UNAUTHORIZED: "The bearer token is missing or unknown; send Authorization: Bearer TOKEN.",
    ErrorCode.FORBIDDEN: "The token does not permit this operation.",
    ErrorCode.NOT_FOUND: "The resource does not exist; /openapi.json lists the available paths.",
    ErrorCode.METHOD_NOT_ALLOWED: "This path does not support this method; /openapi.json lists its methods.",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "Send JSON or an image with its Content-Type, not compressed; see /openapi.json.",
    ErrorCode.MISDIRECTED: "Without access tokens, only requests for a loopback host name are answered.",
    ErrorCode.CROSS_ORIGIN: "Pages of this origin may not call the service; list it under cors.origins in its file.",
    ErrorCode.HEAD_MISMATCH: "The deployed head takes the vectors of another encoder.",
    ErrorCode.HEAD_FAILED: "The head returned no finite value for this content.",
    ErrorCode.MISSING_FEATURE: f"{_ANY_FEATURE} is missing among the features; send null if it is not known.",
    ErrorCode.BAD_FEATURE: f"{_ANY_FEATURE} has none of the classes, or is outside of the range, of GET /v1/heads.",
    ErrorCode.NO_ITEMS: "The request has no items; send at least one.",
    ErrorCode.TOO_MANY_ITEMS: "The request has too many items; GET /v1/heads says how many there may be as max_items.",
    ErrorCode.BATCH_TOO_LARGE: "The body is too large; send fewer items, see max_request_bytes in GET /v1/heads.",
    ErrorCode.DUPLICATE_EVENT_ID: "Two items of the request have the same event id; give each its own.",
    ErrorCode.MALFORMED_FORM: "The form is no valid multipart/form-data, or is cut off; send it as curl -F does.",
    ErrorCode.UNKNOWN_FIELD: "A form has the fields metadata, and text for a head of texts or file for one of images.",
    ErrorCode.NOT_A_FILE: "The field file was sent without a file; send it as curl -F file=@PATH does.",
    ErrorCode.BAD_METADATA: "The field metadata of the form is not JSON with an object or null for each item.",
    ErrorCode.QUEUE_FULL: "The request queue is full; retry later.",
    ErrorCode.UNAVAILABLE: "A part of the service is unavailable; retry later.",
    ErrorCode.TOO_SLOW: "The request timed out; retry later.",
    Reason.MISSING_EVENT_ID: "The event id is missing; send the header Rawless-Event-Id, or event_id of the item.",
    Reason.BAD_EVENT_ID: "The event id does not match the stream's pattern.",
    Reason.BAD_OCCURRED_AT: "The time of the event is not an RFC 3339 time with offset, or is out of range.",
    Reason.MISSING_SUBJECT: "Requests are logged and the stream requires a subject; send Rawless-Subject-Id.",
    Reason.MISSING_PART: "The item lacks a part that the encoder reads.",
    Reason.EMPTY_PAYLOAD: "The item is empty, or has no text.",
    Reason.PAYLOAD_TOO_LARGE: "The content exceeds the stream's size limit.",
    Reason.UNDECODABLE_IMAGE: "The image cannot be decoded.",
    Reason.UNSUPPORTED_IMAGE_FORMAT: "The stream does not accept this image format.",
    Reason.TOO_MANY_PIXELS: "The image exceeds the stream's pixel limit.",
    Reason.DECODER_CRASHED: "The image crashes its decoder, or needs more memory than an image of its size may.",
    Reason.DECODER_TIMEOUT: "Decoding the image takes too long.",
    Reason.EMPTY_TEXT: "The text is empty.",
    Reason.INVALID_UTF8: "The item or a header is not valid UTF-8.",
    Reason.FORBIDDEN_CHARACTERS: "The text contains a NUL character or an unpaired surrogate.",
    Reason.MALFORMED_EVENT: 'The body or a Rawless- header is not as in /openapi.json; send a text as {"text": "…"}.',
    Reason.ENCODER_FAILED: "The encoder failed on this content.",
    Reason.NON_FINITE_EMBEDDING: "The encoder returned a vector that is not finite for this content.",
    Reason.INTERNAL: "Internal error.",
}


class RequestError(RawlessError):
    """A request that cannot be answered. `Service` turns it into a problem response."""

    def __init__(self, code: Code, feature: str | None = None) -> None:
        """`feature` is the name of the feature of the head that the error is about."""
        super().__init__(code.value)
        self.code = code
        self.feature = feature

    @property
    def status(self) -> int:
        """The HTTP status: 422 for every reason that concerns the content."""
        return _STATUSES.get(self.code, HTTPStatus.UNPROCESSABLE_ENTITY).value

    @property
    def detail(self) -> str:
        """One sentence for the caller."""
        detail = _DETAILS.get(self.code, "The content was rejected.")
        return detail.replace(_ANY_FEATURE, f"The feature {self.feature}") if self.feature else detail


def codes_of(status: int) -> list[Code]:
    """Return the codes of the errors that have an HTTP status."""
    return [code for code in _DETAILS if RequestError(code).status == status]
