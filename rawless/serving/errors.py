"""Why a request got no answer: a status, a closed code, and a sentence of ours. Nothing of the request."""

from enum import StrEnum
from http import HTTPStatus

from rawless.privacy import Reason


class ErrorCode(StrEnum):
    """Reasons beside those for which an event is rejected."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MISDIRECTED = "misdirected"
    HEAD_MISMATCH = "head_mismatch"
    HEAD_FAILED = "head_failed"
    QUEUE_FULL = "queue_full"
    UNAVAILABLE = "unavailable"
    TOO_SLOW = "too_slow"


Code = ErrorCode | Reason
_STATUS: dict[Code, HTTPStatus] = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.MISDIRECTED: HTTPStatus.MISDIRECTED_REQUEST,
    ErrorCode.HEAD_MISMATCH: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.HEAD_FAILED: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.QUEUE_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.TOO_SLOW: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_DETAILS: dict[Code, str] = {
    ErrorCode.BAD_REQUEST: "A parameter is wrong; /openapi.json says what each may be.",
    ErrorCode.UNAUTHORIZED: "Send a token that is known here: Authorization: Bearer TOKEN.",
    ErrorCode.FORBIDDEN: "The token is known, but not for this.",
    ErrorCode.NOT_FOUND: "There is nothing here; /openapi.json says what there is.",
    ErrorCode.METHOD_NOT_ALLOWED: "This path takes another method; /openapi.json says which.",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "The Content-Type is none that this path takes; /openapi.json says which.",
    ErrorCode.MISDIRECTED: "Without tokens, the service answers only under a loopback host name such as localhost.",
    ErrorCode.HEAD_MISMATCH: "The head takes vectors of another encoder, so it was not asked.",
    ErrorCode.HEAD_FAILED: "The head gives no finite answer for this content.",
    ErrorCode.QUEUE_FULL: "As much is waiting as may; send the request again.",
    ErrorCode.UNAVAILABLE: "A part of the service is away; send the request again.",
    ErrorCode.TOO_SLOW: "The answer took longer than it may; send the request again.",
    Reason.MISSING_EVENT_ID: "The stream's event ids cannot be made up here: send Rawless-Event-Id.",
    Reason.BAD_EVENT_ID: "Rawless-Event-Id does not match the stream's pattern.",
    Reason.BAD_OCCURRED_AT: "Rawless-Occurred-At is no time in RFC 3339 with an offset, or too old, or ahead of now.",
    Reason.MISSING_SUBJECT: "What this head is asked is logged, and its stream requires a Rawless-Subject-Id.",
    Reason.EMPTY_PAYLOAD: "The body is empty, or holds no text.",
    Reason.PAYLOAD_TOO_LARGE: "The content is larger than the stream's limit.",
    Reason.UNDECODABLE_IMAGE: "The image cannot be decoded.",
    Reason.UNSUPPORTED_IMAGE_FORMAT: "The image is of a format that the stream does not take.",
    Reason.TOO_MANY_PIXELS: "The image has more pixels than the stream's limit.",
    Reason.EMPTY_TEXT: "The text is empty.",
    Reason.INVALID_UTF8: "The body, or a header, is no UTF-8.",
    Reason.FORBIDDEN_CHARACTERS: "The text holds characters that no text has.",
    Reason.MALFORMED_EVENT: 'The body is not {"text": "…"}, or a Rawless- header has not the form that it must have.',
    Reason.ENCODER_FAILED: "The encoder cannot encode this content.",
    Reason.NON_FINITE_EMBEDDING: "The encoder gives no finite vector for this content.",
    Reason.INTERNAL: "The service met a fault of its own.",
}
RETRY_AFTER_SECONDS = 1


class RequestError(Exception):
    """A request that gets no answer. Raised inside of the service, told by the outermost layer."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code

    @property
    def status(self) -> int:
        """Of HTTP: that of the code, 422 for what is wrong with the content."""
        return _STATUS.get(self.code, HTTPStatus.UNPROCESSABLE_ENTITY).value

    @property
    def detail(self) -> str:
        """One sentence."""
        return _DETAILS.get(self.code, "The content was refused.")


def codes(status: int) -> list[Code]:
    """Those that a status may come with."""
    return [code for code in _DETAILS if RequestError(code).status == status]
