"""The fields in which an event may carry its payload."""

import base64
import binascii
from collections.abc import Mapping

from rawless.events.json_object import Ambiguous, json_object
from rawless.privacy import Reason, Rejected

FORMS = ("payload", "text", "payload_base64", "uri", "parts")
"""An event has exactly one of these fields.

`payload` is set by sources: bytes, the location of the object that contains them, or the reason why they are missing.
"""
FORMS_OF_PARTS = ("text", "payload_base64", "uri")
"""A part of an event has exactly one of these fields."""


def payload_form(fields: Mapping[str, object]) -> str:
    """Return the name of the field that contains the payload. Raises Rejected unless there is exactly one."""
    forms = [name for name in FORMS if fields.get(name) is not None]
    if not forms:
        raise Rejected(Reason.EMPTY_PAYLOAD)
    if len(forms) > 1:
        raise Rejected(Reason.MALFORMED_EVENT)
    return forms[0]


def decode_payload(form: str, value: object) -> bytes:
    """Decode a payload that the event itself carries, in any form but `uri`. Raises Rejected if it is not valid."""
    if form == "payload" and isinstance(value, bytes):
        return value
    if form == "payload" and isinstance(value, Reason):  # the source could not read it
        raise Rejected(value)
    if form == "text" and isinstance(value, str):
        return _from_text(value)
    if form == "payload_base64" and isinstance(value, str):
        return _from_base64(value)
    raise Rejected(Reason.WRONG_MODALITY if form == "parts" else Reason.MALFORMED_EVENT)


def given_parts(fields: Mapping[str, object]) -> Mapping[str, object]:
    """Return the parts of an event by name. Bytes that a source delivers are the JSON object of them.

    Raises Rejected unless there is such an object.
    """
    form = payload_form(fields)
    value = fields[form]
    if form == "payload":
        value = json_object(decode_payload(form, value))
    elif form != "parts":
        raise Rejected(Reason.WRONG_MODALITY)
    if not isinstance(value, Mapping) or isinstance(value, Ambiguous):
        raise Rejected(Reason.MALFORMED_EVENT)
    return value


def part_fields(part: object) -> Mapping[str, object]:
    """Return the fields of one part, of which `text`, `payload_base64` or `uri` has its content. Raises Rejected."""
    if not isinstance(part, Mapping) or isinstance(part, Ambiguous):
        raise Rejected(Reason.MALFORMED_EVENT)
    return part


def _from_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # JSON can contain half of a surrogate pair
        raise Rejected(Reason.FORBIDDEN_CHARACTERS) from None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(Reason.MALFORMED_EVENT) from None
