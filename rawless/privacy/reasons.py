"""Why an event was rejected: a closed list of codes, so that no free text is ever stored."""

from enum import StrEnum

from rawless.errors import RawlessError


class Reason(StrEnum):
    """A permanent failure of one event. A new kind of failure gets a new code and a test."""

    MISSING_EVENT_ID = "missing_event_id"
    BAD_EVENT_ID = "bad_event_id"
    BAD_OCCURRED_AT = "bad_occurred_at"
    MISSING_SUBJECT = "missing_subject"
    UNKNOWN_STREAM = "unknown_stream"
    WRONG_MODALITY = "wrong_modality"
    MISSING_PART = "missing_part"
    """The event lacks a part that its encoder reads."""
    EMPTY_PAYLOAD = "empty_payload"
    """The event has no payload, or one of no bytes. Empty texts are EMPTY_TEXT."""
    PAYLOAD_TOO_LARGE = "payload_too_large"
    OBJECT_NOT_FOUND = "object_not_found"
    """The object that the event names does not exist."""
    OBJECT_UNREADABLE = "object_unreadable"
    """The object exists and cannot be read, while others beside it can."""
    PAYLOAD_URI_FORBIDDEN = "payload_uri_forbidden"
    UNDECODABLE_IMAGE = "undecodable_image"
    UNSUPPORTED_IMAGE_FORMAT = "unsupported_image_format"
    TOO_MANY_PIXELS = "too_many_pixels"
    DECODER_CRASHED = "decoder_crashed"
    """The process that decoded the image died of it twice, or needed more memory than any image in the limits does."""
    DECODER_TIMEOUT = "decoder_timeout"
    """Decoding the image took too long."""
    EMPTY_TEXT = "empty_text"
    INVALID_UTF8 = "invalid_utf8"
    FORBIDDEN_CHARACTERS = "forbidden_characters"
    MALFORMED_EVENT = "malformed_event"
    ENCODER_FAILED = "encoder_failed"
    NON_FINITE_EMBEDDING = "non_finite_embedding"
    WORKER_CRASHED = "worker_crashed"
    """Encoding the event ended the process several times."""
    ROW_REFUSED = "row_refused"
    """The warehouse refused the row."""
    INTERNAL = "internal"
    """A defect of Rawless itself: report every one as a bug."""

    @classmethod
    def _missing_(cls, value: object) -> "Reason | None":
        """Return the reason that an earlier version stored under another code."""
        return _FORMER_CODES.get(value)


_FORMER_CODES: dict[object, Reason] = {
    "missing_payload": Reason.EMPTY_PAYLOAD,
    "payload_missing": Reason.OBJECT_NOT_FOUND,
}


class Stage(StrEnum):
    """The step at which an event was rejected."""

    READ = "read"
    PARSE = "parse"
    FETCH = "fetch"
    ENCODE = "encode"
    WRITE = "write"


class Rejected(RawlessError):
    """One event cannot be embedded, for a permanent reason. Carries no text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
