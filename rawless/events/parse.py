"""Parse deliveries into checked events, or into rejections: every rule of design: The raw event."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from rawless.events.claim_checks import WHOLE, check_content, read_event, with_contents
from rawless.events.event import ClaimCheck, Delivery, Event, Rejection, UnreadEvent, ValidIds
from rawless.events.objects import ObjectLocation, ReadObject, locate, read_file
from rawless.events.payload import FORMS, FORMS_OF_PARTS, decode_payload, given_parts, part_fields, payload_form
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected, guarded
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import normal_form

T = TypeVar("T")

MAX_AHEAD = timedelta(days=1)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)
_FIELDS = {"event_id", "occurred_at", "stream", "subject_id", "attributes", *FORMS}


@dataclass(frozen=True)
class Checked:
    """The outcome for one event, and how many attributes and fields were dropped from it."""

    outcome: Event | UnreadEvent | Rejection
    dropped: int = 0


@dataclass(frozen=True)
class Parsed:
    """The outcome for one event whose objects were read, and how many attributes and fields were dropped from it."""

    outcome: Event | Rejection
    dropped: int = 0


class Parser:
    """Checks the events of one stream."""

    def __init__(self, stream: Stream, key: PseudonymKey | None, read_object: ReadObject = read_file) -> None:
        """Make a parser. `key` may be None only if no subject is stored; by default `parse` reads local files only."""
        self._stream = stream
        self._key = key
        self._read_object = read_object

    def check(self, delivery: Delivery, now: datetime) -> Checked:
        """Check everything about a delivery but objects, which are not read. `now` must be aware.

        Never raises because of what the delivery contains.
        """
        if isinstance(delivery.fields, Reason):
            return Checked(Rejection(ValidIds(), delivery.fields))
        return self._check_fields(delivery.fields, now)

    def parse(self, delivery: Delivery, now: datetime) -> Parsed:
        """Check a delivery as `check` does, and read its objects. Raises Unavailable if a store does not answer."""
        return self._read(self.check(delivery, now))

    def parse_fields(self, fields: Raw[Mapping[str, object]], now: datetime) -> Parsed:
        """Check the fields of an event and read its objects, as `parse` does."""
        return self._read(self._check_fields(fields, now))

    def _read(self, checked: Checked) -> Parsed:
        outcome = checked.outcome
        if isinstance(outcome, UnreadEvent):
            outcome = read_event(outcome, self._read_object)
        return Parsed(outcome, checked.dropped)

    def _check_fields(self, fields: Raw[Mapping[str, object]], now: datetime) -> Checked:
        work = _Work()
        event = guarded(self._parse, fields, now, work)
        return Checked(Rejection(work.ids, event) if isinstance(event, Reason) else event, work.dropped)

    def _parse(self, raw: Raw[Mapping[str, object]], now: datetime, work: "_Work") -> Event | UnreadEvent:
        fields = raw.reveal()
        work.dropped += len(fields.keys() - _FIELDS)
        # Ids first, each on its own: whatever else is wrong, the valid ones are stored with the rejection.
        event_id = _attempt(self._event_id, fields)
        subject = _attempt(self._subject, fields)
        work.ids = self._valid_ids(event_id, subject)
        attributes = _attempt(self._attributes, fields)
        if not isinstance(attributes, Reason):
            work.dropped += attributes[1]
        for outcome in (event_id, subject):
            if isinstance(outcome, Reason):
                raise Rejected(outcome)
        self._check_stream(fields)
        if isinstance(attributes, Reason):
            raise Rejected(attributes)
        occurred_at = self._occurred_at(fields, now)
        is_packed = self._stream.modality == "parts"
        contents = self._parts(fields, work) if is_packed else {WHOLE: self._payload(fields)}
        event = Event(
            stream=self._stream.stream,
            event_id=work.ids.event_id or "",
            subject_key=work.ids.subject_key,
            subject_key_id=work.ids.subject_key_id,
            occurred_at=occurred_at,
            attributes=attributes[0],
            payload=Raw(b""),
            size=0,
        )
        return with_contents(event, contents)

    def _event_id(self, fields: Mapping[str, object]) -> str:
        value = fields.get("event_id")
        if value is None or value == "":
            raise Rejected(Reason.MISSING_EVENT_ID)
        if not isinstance(value, str) or not self._stream.allows_id(value):
            raise Rejected(Reason.BAD_EVENT_ID)
        return value

    def _check_stream(self, fields: Mapping[str, object]) -> None:
        if fields.get("stream") != self._stream.stream:
            raise Rejected(Reason.UNKNOWN_STREAM)

    def _subject(self, fields: Mapping[str, object]) -> str | None:
        value = fields.get("subject_id")
        if self._stream.subject == "none":
            return None  # never read
        if value is None or (isinstance(value, str) and value.isspace()) or value == "":
            if self._stream.subject == "required":
                raise Rejected(Reason.MISSING_SUBJECT)
            return None
        subject = normal_form(value, self._stream.subject_form) if isinstance(value, str) else None
        if subject is None:
            raise Rejected(Reason.MALFORMED_EVENT)
        return subject

    def _valid_ids(self, event_id: str | Reason, subject: str | Reason | None) -> ValidIds:
        ids = ValidIds() if isinstance(event_id, Reason) else ValidIds(event_id)
        if subject is None or isinstance(subject, Reason) or self._key is None:
            return ids
        return replace(ids, subject_key=self._key.pseudonym(subject), subject_key_id=self._key.key_id)

    def _occurred_at(self, fields: Mapping[str, object], now: datetime) -> datetime:
        value = fields.get("occurred_at")
        if not isinstance(value, str) or not _RFC3339.fullmatch(value):
            raise Rejected(Reason.BAD_OCCURRED_AT)
        try:
            occurred_at = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # the 30th of February, a leap second, the year 0001 east of Greenwich
            raise Rejected(Reason.BAD_OCCURRED_AT) from None
        if not now - self._stream.limits.max_age <= occurred_at <= now + MAX_AHEAD:
            raise Rejected(Reason.BAD_OCCURRED_AT)
        return occurred_at

    def _attributes(self, fields: Mapping[str, object]) -> tuple[tuple[tuple[str, str], ...], int]:
        attributes = fields.get("attributes")
        if attributes is None:
            return (), 0
        if not isinstance(attributes, Mapping):
            raise Rejected(Reason.MALFORMED_EVENT)
        rules = self._stream.attributes
        # A value that breaks its rule may contain content, so it is dropped like an attribute that has no rule.
        kept = {
            name: value
            for name, value in attributes.items()
            if name in rules and isinstance(value, str) and rules[name].allows(value)
        }
        return tuple(sorted(kept.items())), len(attributes) - len(kept)

    def _payload(self, fields: Mapping[str, object]) -> bytes | ClaimCheck:
        return self._content(fields, self._stream.modality, self._stream.max_bytes)

    def _parts(self, fields: Mapping[str, object], work: "_Work") -> dict[str, bytes | ClaimCheck]:
        """Return the parts of an event; what its encoders need of them is theirs to say."""
        parts, rules = given_parts(fields), self._stream.parts
        work.dropped += len(parts.keys() - rules)
        contents = {}
        for name, rule in rules.items():
            if parts.get(name) is not None:
                part = part_fields(parts[name])
                work.dropped += len(part.keys() - FORMS_OF_PARTS)
                contents[name] = self._content(part, rule.modality, rule.max_bytes)
        if not contents:
            raise Rejected(Reason.EMPTY_PAYLOAD)
        return contents

    def _content(self, fields: Mapping[str, object], modality: str, max_bytes: int) -> bytes | ClaimCheck:
        form = payload_form(fields)
        value = fields[form]
        if form == "text" and isinstance(value, str) and modality != "text":
            raise Rejected(Reason.WRONG_MODALITY)
        if form == "uri" and isinstance(value, str):
            return ClaimCheck(locate(value, self._stream.uri_prefixes), modality, max_bytes)
        if form == "payload" and isinstance(value, ObjectLocation):  # of the source, which the user named
            return ClaimCheck(value, modality, max_bytes)
        return check_content(decode_payload(form, value), modality, max_bytes)


def _attempt(check: Callable[[Mapping[str, object]], T], fields: Mapping[str, object]) -> T | Reason:
    try:
        return check(fields)
    except Rejected as rejected:
        return rejected.reason


@dataclass
class _Work:
    """What is known of an event so far, kept outside of the step that may fail half-way."""

    ids: ValidIds = field(default_factory=ValidIds)
    dropped: int = 0
