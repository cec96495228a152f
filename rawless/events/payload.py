"""The forms in which an event may carry its payload."""

import base64
import binascii
from collections.abc import Mapping

from rawless.privacy import Reason, Rejected

FORMS = ("payload", "text", "payload_base64", "uri", "parts")
"""Fields, of which an event has one. `payload` is a source's own: bytes, or the reason for which there are none."""


def form_of(fields: Mapping[str, object]) -> str:
    """The field that holds the payload. Raises Rejected when there is none, or several."""
    given = [name for name in FORMS if fields.get(name) is not None]
    if not given:
        raise Rejected(Reason.EMPTY_PAYLOAD)
    if len(given) > 1:
        raise Rejected(Reason.MALFORMED_EVENT)
    return given[0]


def inline(form: str, value: object) -> bytes:
    """A payload that the event itself carries, of any form but `uri`. Raises Rejected when it cannot be had."""
    if form == "payload" and isinstance(value, bytes):
        return value
    if form == "payload" and isinstance(value, Reason):  # the source could not read it
        raise Rejected(value)
    if form == "text" and isinstance(value, str):
        return _from_text(value)
    if form == "payload_base64" and isinstance(value, str):
        return _from_base64(value)
    raise Rejected(Reason.WRONG_MODALITY if form == "parts" else Reason.MALFORMED_EVENT)


def _from_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        raise Rejected(Reason.FORBIDDEN_CHARACTERS) from None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(Reason.MALFORMED_EVENT) from None
