"""Claim checks: events that name objects, which contain their payload or parts of it."""

from collections.abc import Mapping
from dataclasses import replace

from rawless.content_parts import pack
from rawless.events.event import ClaimCheck, Event, Rejection, UnreadEvent
from rawless.events.objects import ReadObject
from rawless.privacy import Raw, Reason, Rejected, guarded

WHOLE = ""
"""The name of a payload that has no parts."""

Contents = Mapping[str, bytes | ClaimCheck]


def with_contents(event: Event, contents: Contents) -> Event | UnreadEvent:
    """Return an event with its content, or with the claim checks among its parts, still to be read."""
    claims = [content for content in contents.values() if isinstance(content, ClaimCheck)]
    if claims:
        return UnreadEvent(event, Raw(contents), sum(claim.max_bytes + 1 for claim in claims))
    payload = _assembled({name: content for name, content in contents.items() if isinstance(content, bytes)})
    return replace(event, payload=Raw(payload), size=len(payload))


def read_event(unread: UnreadEvent, read_object: ReadObject) -> Event | Rejection:
    """Return an event with the content of its objects, which are read one after the other.

    Raises Unavailable if a store does not answer.
    """
    payload = guarded(_read, unread.contents, read_object)
    if isinstance(payload, Reason):
        return Rejection(unread.event.ids, payload)
    return replace(unread.event, payload=payload, size=len(payload.reveal()))


def check_content(content: bytes, modality: str, max_bytes: int) -> bytes:
    """Return a payload, or a part of one. Raises Rejected if it is empty or too large."""
    if not content:
        raise Rejected(Reason.EMPTY_TEXT if modality == "text" else Reason.EMPTY_PAYLOAD)
    if len(content) > max_bytes:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    return content


def _read(contents: Raw[Contents], read_object: ReadObject) -> Raw[bytes]:
    return Raw(_assembled({name: _content(part, read_object) for name, part in contents.reveal().items()}))


def _content(part: bytes | ClaimCheck, read_object: ReadObject) -> bytes:
    if isinstance(part, bytes):
        return part
    return check_content(read_object(part.location, part.max_bytes), part.modality, part.max_bytes)


def _assembled(contents: Mapping[str, bytes]) -> bytes:
    return contents[WHOLE] if WHOLE in contents else pack(contents)
