"""Every rule of the raw event: what is rejected and why, what is kept of it, and what is never shown."""

import base64
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawless.errors import Unavailable
from rawless.events.event import Delivery, Event, Rejection, ValidIds
from rawless.events.objects import ObjectLocation
from rawless.events.parse import Parsed, Parser
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected
from rawless.privacy.pseudonyms import PseudonymKey
from tests.streams import ANY_ID

NOW = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC)
KEY = PseudonymKey(bytes(range(32)))
SUBJECT = "anna.muster@example.org"
TEXT = "my card ends in 4711"
STREAM: dict[str, Any] = {
    "stream": "message",
    "modality": "text",
    "encoders": ["minilm@1.0.0"],
    "event_id": ANY_ID,
    "attributes": {"channel": {"enum": ["chat", "email"]}, "app": {"pattern": r"\d+\.\d+", "max_length": 8}},
    "limits": {"max_bytes": 2000},
}
WHOLE: dict[str, Any] = {
    "event_id": "event-1",
    "occurred_at": "2026-06-14T08:30:00+02:00",
    "stream": "message",
    "subject_id": SUBJECT,
    "text": TEXT,
}


def _fields(**fields: Any) -> dict[str, Any]:
    """Parse a complete event with these changes; a field that is `...` is omitted."""
    return {name: value for name, value in {**WHOLE, **fields}.items() if value is not ...}


def _delivery(fields: dict[str, Any]) -> Delivery:
    return Delivery("17", Raw(fields), 321)


def _parse(stream: dict[str, Any] | None = None, /, **fields: Any) -> Parsed:
    return Parser(Stream.model_validate(STREAM | (stream or {})), KEY).parse(_delivery(_fields(**fields)), NOW)


def _whole() -> ValidIds:
    return ValidIds("event-1", KEY.pseudonym(SUBJECT), KEY.key_id)


def _reason(stream: dict[str, Any] | None = None, /, **fields: Any) -> Reason | None:
    outcome = _parse(stream, **fields).outcome
    return outcome.reason if isinstance(outcome, Rejection) else None


def _event(stream: dict[str, Any] | None = None, /, **fields: Any) -> Event:
    outcome = _parse(stream, **fields).outcome
    assert isinstance(outcome, Event)
    return outcome


def test_a_complete_event_is_accepted() -> None:
    event = _event(attributes={"channel": "chat", "app": "1.20"})
    assert event == Event(
        stream="message",
        event_id="event-1",
        subject_key=KEY.pseudonym(SUBJECT),
        subject_key_id=KEY.key_id,
        occurred_at=datetime(2026, 6, 14, 6, 30, tzinfo=UTC),
        attributes=(("app", "1.20"), ("channel", "chat")),
        payload=event.payload,
        size=len(TEXT),
    )
    assert event.payload.reveal() == TEXT.encode()


def test_a_delivery_that_the_source_rejected_keeps_its_reason() -> None:
    parser = Parser(Stream.model_validate(STREAM), KEY)
    parsed = parser.parse(Delivery("17", Reason.INVALID_UTF8, 321), NOW)
    assert parsed == Parsed(Rejection(ValidIds(), Reason.INVALID_UTF8), 0)


# --- ids


@pytest.mark.parametrize("event_id", [..., None, ""])
def test_an_event_without_id_is_refused(event_id: Any) -> None:
    assert _reason(event_id=event_id) is Reason.MISSING_EVENT_ID


@pytest.mark.parametrize(
    "event_id",
    ["a b", "a" * 65, "a\n", "a\0", "é", "\ud800", " ", "../a", "a@b.c", 5, 0, 1.5, True, False, [], ["a"], {}, b"a"],
    ids=repr,
)
def test_an_id_that_breaks_its_pattern_is_refused_and_not_kept(event_id: Any) -> None:
    outcome = _parse(event_id=event_id).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.BAD_EVENT_ID
    assert outcome.ids.event_id is None
    assert outcome.ids.subject_key == KEY.pseudonym(SUBJECT)


@pytest.mark.parametrize("subject_id", [..., None, ""])
def test_a_required_subject_that_is_missing_is_refused(subject_id: Any) -> None:
    assert _reason(subject_id=subject_id) is Reason.MISSING_SUBJECT


@pytest.mark.parametrize("subject_id", [..., None, ""])
def test_an_optional_subject_may_be_missing(subject_id: Any) -> None:
    event = _event({"subject": "optional"}, subject_id=subject_id)
    assert (event.subject_key, event.subject_key_id) == (None, None)


def test_an_optional_subject_gets_its_pseudonym() -> None:
    event = _event({"subject": "optional"})
    assert (event.subject_key, event.subject_key_id) == (KEY.pseudonym(SUBJECT), KEY.key_id)


@pytest.mark.parametrize("subject_id", [SUBJECT, ..., None, "", 5, "a\0b", "a" * 5000])
def test_a_stream_without_subjects_keeps_none(subject_id: Any) -> None:
    event = _event({"subject": "none"}, subject_id=subject_id)
    assert (event.subject_key, event.subject_key_id) == (None, None)


def test_a_stream_without_subjects_needs_no_key() -> None:
    parser = Parser(Stream.model_validate(STREAM | {"subject": "none"}), None)
    assert isinstance(parser.parse(_delivery(_fields()), NOW).outcome, Event)


@pytest.mark.parametrize(
    "subject_id",
    [
        5,
        0,
        False,
        True,
        1.5,
        [],
        [SUBJECT],
        {},
        b"anna",
        "a" * 257,
        "a\nb",
        "a\0b",
        "\ud800",
        "a\u2028b",
        "\x7f",
        " a",
        "a ",
        "\u3000a",
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("subject", ["required", "optional"])
def test_a_subject_that_is_not_short_printable_text_is_rejected_and_not_kept(subject: str, subject_id: Any) -> None:
    outcome = _parse({"subject": subject}, subject_id=subject_id).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.MALFORMED_EVENT
    assert outcome.ids == ValidIds("event-1")


@pytest.mark.parametrize("subject_id", ["a", "a" * 256, "Änne Müller", "客户-1", "A b"])
def test_any_other_subject_gets_the_pseudonym_of_its_exact_text(subject_id: str) -> None:
    assert _event(subject_id=subject_id).subject_key == KEY.pseudonym(subject_id)


@pytest.mark.parametrize("subject_id", ["zoë@x", " Zoë@X ", "ZOE\u0308@x\t"])
def test_spellings_of_one_subject_get_one_pseudonym_where_the_stream_has_a_form(subject_id: str) -> None:
    event = _event({"subject_form": ["nfc", "lower", "trim"]}, subject_id=subject_id)
    assert event.subject_key == KEY.pseudonym("zoë@x")


@pytest.mark.parametrize(
    "mistake",
    [
        {"occurred_at": "yesterday"},
        {"stream": "another"},
        {"text": ...},
        {"text": ""},
        {"text": "a" * 2001},
        {"attributes": "chat"},
        {"uri": "gs://a/b", "text": ...},
        {"payload_base64": "?", "text": ...},
    ],
    ids=repr,
)
def test_valid_ids_are_kept_whatever_else_is_wrong(mistake: dict[str, Any]) -> None:
    outcome = _parse(**mistake).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.ids == ValidIds("event-1", KEY.pseudonym(SUBJECT), KEY.key_id)


def test_of_two_bad_ids_neither_is_kept() -> None:
    outcome = _parse(event_id="a b", subject_id="a\0b").outcome
    assert outcome == Rejection(ValidIds(), Reason.BAD_EVENT_ID)


@pytest.mark.parametrize("stream", [..., None, "", "Message", "message ", "messages", 5, [], ["message"], {}, True])
def test_an_event_of_another_stream_is_refused(stream: Any) -> None:
    assert _reason(stream=stream) is Reason.UNKNOWN_STREAM


# --- dates


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-06-14T08:30:00Z", datetime(2026, 6, 14, 8, 30, tzinfo=UTC)),
        ("2026-06-14t08:30:00z", datetime(2026, 6, 14, 8, 30, tzinfo=UTC)),
        ("2026-06-14 08:30:00+00:00", datetime(2026, 6, 14, 8, 30, tzinfo=UTC)),
        ("2026-06-14T08:30:00-00:00", datetime(2026, 6, 14, 8, 30, tzinfo=UTC)),
        ("2026-06-14T08:30:00.5Z", datetime(2026, 6, 14, 8, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-06-14T08:30:00.123456+05:45", datetime(2026, 6, 14, 2, 45, 0, 123_456, tzinfo=UTC)),
        ("2026-06-14T08:30:00.123456789Z", datetime(2026, 6, 14, 8, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-06-14T00:00:00+23:59", datetime(2026, 6, 13, 0, 1, tzinfo=UTC)),
        ("2024-02-29T00:00:00-12:00", datetime(2024, 2, 29, 12, 0, tzinfo=UTC)),
    ],
)
def test_a_date_is_read_to_the_microsecond_and_converted_to_utc(written: str, meant: datetime) -> None:
    occurred_at = _event(occurred_at=written).occurred_at
    assert occurred_at == meant
    assert occurred_at.tzinfo is UTC


HOSTILE_DATES = [
    ...,
    None,
    "",
    " ",
    "yesterday",
    "2026-06-14",
    "2026-06-14T08:30:00",  # no offset
    "2026-06-14T08:30Z",
    "2026-06-14T08Z",
    "20260614T083000Z",
    "2026-W24-7T08:30:00Z",
    "2026-165T08:30:00Z",
    "14/06/2026 08:30:00Z",
    "Sun, 14 Jun 2026 08:30:00 GMT",
    "2026-06-14T08:30:00 Z",
    " 2026-06-14T08:30:00Z",
    "2026-06-14T08:30:00Z ",
    "2026-06-14T08:30:00Z\n",
    "2026-06-14T08:30:00Z; DROP TABLE",
    "2026-06-14T08:30:00Z\0",
    "2026-06-14\n08:30:00Z",
    "2026-06-14_08:30:00Z",
    "2026-06-14T08:30:00UTC",
    "2026-06-14T08:30:00+0200",
    "2026-06-14T08:30:00+02",
    "2026-06-14T08:30:00+2:00",
    "2026-06-14T08:30:00+24:00",
    "2026-06-14T08:30:00-99:99",
    "2026-06-14T08:30:00+01:60",  # RFC 3339: the minutes of an offset are 00 to 59
    "2026-06-14T08:30:00+01:99",
    "2026-06-14T08:30:00+02:00:30",
    "2026-06-14T08:30:00+02:00[Europe/Berlin]",
    "2026-06-14T08:30:00.Z",
    "2026-06-14T08:30:00,5Z",
    "2026-06-14T08:30:00.1234567890Z",
    "2026-06-14T08:30:00." + "0" * 100_000 + "Z",
    "2016-12-31T23:59:60Z",  # a real leap second
    "2026-06-14T23:59:60Z",
    "2026-06-14T24:00:00Z",
    "2026-06-14T08:60:00Z",
    "2026-02-29T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-06-00T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",  # before the first year
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",  # after the last
    "10000-01-01T00:00:00Z",
    "-2026-06-14T08:30:00Z",
    "+2026-06-14T08:30:00Z",
    "1970-01-01T00:00:00Z",
    "1926-06-14T08:30:00Z",
    "2126-06-14T08:30:00Z",
    "\u0662\u0660\u0662\u0666-\u0660\u0666-\u0661\u0664T\u0660\u0668:\u0663\u0660:\u0660\u0660Z",  # Arabic digits
    "\uff12\uff10\uff12\uff16-06-14T08:30:00Z",  # full-width digits
    "2026-06-1\u0664T08:30:00Z",
    "2026\u201006\u201014T08:30:00Z",  # a Unicode hyphen
    "2026-06-14T08:30:00\u221202:00",  # a Unicode minus sign
    "\ud800",
    0,
    1_781_425_800,
    1_781_425_800.5,
    float("nan"),
    float("inf"),
    10**400,
    True,
    [],
    ["2026-06-14T08:30:00Z"],
    {},
    {"$date": "2026-06-14T08:30:00Z"},
    b"2026-06-14T08:30:00Z",
    NOW,
]


@pytest.mark.parametrize("occurred_at", HOSTILE_DATES, ids=lambda value: ascii(value)[:40])
def test_a_hostile_date_is_refused(occurred_at: Any) -> None:
    assert _reason(occurred_at=occurred_at) is Reason.BAD_OCCURRED_AT


@pytest.mark.parametrize(
    ("beyond", "reason"),
    [
        (timedelta(days=1), None),
        (timedelta(days=1, microseconds=1), Reason.BAD_OCCURRED_AT),
        (timedelta(days=-30), None),
        (timedelta(days=-30, microseconds=-1), Reason.BAD_OCCURRED_AT),
    ],
)
@pytest.mark.parametrize("offset", [0, 14, -12])
def test_a_date_may_be_between_the_oldest_and_a_day_ahead(beyond: timedelta, reason: Reason, offset: int) -> None:
    written = (NOW + beyond).astimezone(timezone(timedelta(hours=offset))).isoformat()
    assert _reason({"limits": {"max_age": "30d"}}, occurred_at=written) is reason


def test_an_event_is_accepted_by_default_if_bigquery_still_stores_it_a_week_later() -> None:
    oldest_day_of_bigquery = (NOW + timedelta(days=7)).date() - timedelta(days=3650)
    oldest = next(days for days in range(3700, 0, -1) if _reason(occurred_at=_days_ago(days)) is None)
    assert (NOW - timedelta(days=oldest)).date() > oldest_day_of_bigquery
    assert oldest > 3600


def _days_ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat()


_on_the_wall = NOW.replace(tzinfo=None)
_moments = st.datetimes(_on_the_wall.replace(year=1700), _on_the_wall.replace(year=2100), timezones=st.timezones())


@given(_moments, st.just("") | st.text(max_size=3))
def test_a_date_is_read_exactly_or_rejected(moment: datetime, end: str) -> None:
    with patch("rawless.events.stream.MAX_AGE", timedelta(days=300 * 366)):
        outcome = _parse({"limits": {"max_age": "300y"}}, occurred_at=moment.isoformat() + end).outcome
    exact = moment.astimezone(UTC)
    if isinstance(outcome, Event):
        assert outcome.occurred_at == exact
        assert NOW - timedelta(days=300 * 366) <= exact <= NOW + timedelta(days=1)
    else:
        assert outcome.reason is Reason.BAD_OCCURRED_AT


# --- attributes


@pytest.mark.parametrize(
    ("attributes", "kept", "dropped"),
    [
        (..., (), 0),
        (None, (), 0),
        ({}, (), 0),
        ({"channel": "chat"}, (("channel", "chat"),), 0),
        ({"channel": "email", "app": "1.2"}, (("app", "1.2"), ("channel", "email")), 0),
        ({"mood": "angry"}, (), 1),
        ({"channel": "chat", "mood": "angry", "note": "call me"}, (("channel", "chat"),), 2),
        ({"channel": "my card ends in 4711"}, (), 1),
        ({"channel": "Chat"}, (), 1),
        ({"channel": "chat "}, (), 1),
        ({"channel": ""}, (), 1),
        ({"app": "1.2\n"}, (), 1),
        ({"app": "12345.6789"}, (), 1),  # longer than max_length
        ({"app": 1.2}, (), 1),
        ({"channel": None, "app": ["1.2"]}, (), 2),
        ({"channel": {"enum": "chat"}}, (), 1),
        ({"channel": True, "app": "1.2"}, (("app", "1.2"),), 1),
        ({"": "", "\ud800": "\ud800", "event_id": "x"}, (), 3),
    ],
)
def test_attributes_are_kept_by_the_list_and_the_rest_is_counted(
    attributes: Any, kept: tuple[tuple[str, str], ...], dropped: int
) -> None:
    parsed = _parse(attributes=attributes)
    assert isinstance(parsed.outcome, Event)
    assert (parsed.outcome.attributes, parsed.dropped) == (kept, dropped)


@pytest.mark.parametrize(
    "attributes", ["channel=chat", "", 0, 5, False, True, [], ["channel"], [["channel", "chat"]], b""]
)
def test_attributes_that_are_not_an_object_are_rejected(attributes: Any) -> None:
    assert _reason(attributes=attributes) is Reason.MALFORMED_EVENT


def test_unknown_fields_are_dropped_and_counted_with_the_attributes() -> None:
    parsed = _parse(attributes={"mood": "angry"}, note="call me", Text="again", **{"": 1})
    assert isinstance(parsed.outcome, Event)
    assert parsed.dropped == 4


def test_dropped_attributes_are_counted_for_a_refused_event_too() -> None:
    parsed = _parse(attributes={"mood": "angry"}, note="call me", text="")
    assert isinstance(parsed.outcome, Rejection)
    assert parsed.dropped == 2


# --- payload

IMAGE = {"modality": "image", "limits": {"max_bytes": 2000}}
BASE64 = base64.b64encode(TEXT.encode()).decode()


@pytest.mark.parametrize(
    ("form", "value"), [("text", TEXT), ("payload", TEXT.encode()), ("payload_base64", BASE64)], ids=["text", "b", "64"]
)
def test_every_form_of_payload_is_decoded(form: str, value: Any) -> None:
    event = _event(**{"text": ..., form: value})
    assert event.payload.reveal() == TEXT.encode()
    assert event.size == len(TEXT)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, Reason.EMPTY_PAYLOAD),
        ({"text": None, "uri": None, "parts": None}, Reason.EMPTY_PAYLOAD),
        ({"body": TEXT}, Reason.EMPTY_PAYLOAD),
        ({"text": ""}, Reason.EMPTY_TEXT),
        ({"payload": b""}, Reason.EMPTY_TEXT),
        ({"payload_base64": ""}, Reason.EMPTY_TEXT),
        ({"text": TEXT, "payload_base64": BASE64}, Reason.MALFORMED_EVENT),
        ({"text": TEXT, "uri": "gs://a/b"}, Reason.MALFORMED_EVENT),
        ({"text": "", "payload_base64": ""}, Reason.MALFORMED_EVENT),
        ({"text": TEXT, "parts": {}}, Reason.MALFORMED_EVENT),
        ({"text": 5}, Reason.MALFORMED_EVENT),
        ({"text": 0}, Reason.MALFORMED_EVENT),
        ({"text": False}, Reason.MALFORMED_EVENT),
        ({"text": [TEXT]}, Reason.MALFORMED_EVENT),
        ({"text": {"de": TEXT}}, Reason.MALFORMED_EVENT),
        ({"text": TEXT.encode()}, Reason.MALFORMED_EVENT),
        ({"payload": TEXT}, Reason.MALFORMED_EVENT),
        ({"payload": 5}, Reason.MALFORMED_EVENT),
        ({"payload_base64": "my card ends in 4711"}, Reason.MALFORMED_EVENT),
        ({"payload_base64": BASE64[:-1]}, Reason.MALFORMED_EVENT),
        ({"payload_base64": BASE64 + "\n"}, Reason.MALFORMED_EVENT),
        ({"payload_base64": BASE64[:4] + " " + BASE64[4:]}, Reason.MALFORMED_EVENT),
        ({"payload_base64": "_-_-"}, Reason.MALFORMED_EVENT),
        ({"payload_base64": "YQ==YQ=="}, Reason.MALFORMED_EVENT),
        ({"payload_base64": "é" * 4}, Reason.MALFORMED_EVENT),
        ({"payload_base64": "\ud800"}, Reason.MALFORMED_EVENT),
        ({"payload_base64": 5}, Reason.MALFORMED_EVENT),
        ({"payload_base64": [BASE64]}, Reason.MALFORMED_EVENT),
        ({"uri": "gs://somebody-elses/object"}, Reason.PAYLOAD_URI_FORBIDDEN),
        ({"uri": "file:///etc/passwd"}, Reason.PAYLOAD_URI_FORBIDDEN),
        ({"uri": "http://169.254.169.254/"}, Reason.PAYLOAD_URI_FORBIDDEN),
        ({"uri": ""}, Reason.PAYLOAD_URI_FORBIDDEN),
        ({"uri": 5}, Reason.MALFORMED_EVENT),
        ({"uri": ["gs://a/b"]}, Reason.MALFORMED_EVENT),
        ({"parts": {"title": "a"}}, Reason.WRONG_MODALITY),
        ({"parts": []}, Reason.WRONG_MODALITY),
        ({"text": "\ud800"}, Reason.FORBIDDEN_CHARACTERS),
        ({"text": TEXT + "\udfff"}, Reason.FORBIDDEN_CHARACTERS),
        ({"text": "\udc00\ud800"}, Reason.FORBIDDEN_CHARACTERS),
    ],
    ids=repr,
)
def test_a_bad_payload_is_refused_for_its_reason(payload: dict[str, Any], reason: Reason) -> None:
    assert _reason(**{"text": ..., **payload}) is reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"text": TEXT}, Reason.WRONG_MODALITY),
        ({"text": ""}, Reason.WRONG_MODALITY),
        ({"parts": {"title": "a"}}, Reason.WRONG_MODALITY),
        ({"payload": b""}, Reason.EMPTY_PAYLOAD),
        ({"payload_base64": ""}, Reason.EMPTY_PAYLOAD),
        ({"payload": b"\x89PNG"}, None),
        ({"payload_base64": "iVBORw=="}, None),
    ],
    ids=repr,
)
def test_an_image_stream_accepts_bytes_but_not_text(payload: dict[str, Any], reason: Reason | None) -> None:
    assert _reason(IMAGE, **{"text": ..., **payload}) is reason


@pytest.mark.parametrize(("count", "reason"), [(1999, None), (2000, None), (2001, Reason.PAYLOAD_TOO_LARGE)])
@pytest.mark.parametrize("form", ["text", "payload", "payload_base64"])
def test_a_payload_may_have_exactly_the_limit_in_bytes(form: str, count: int, reason: Reason | None) -> None:
    content = b"a" * count
    value = {"text": content.decode(), "payload": content, "payload_base64": base64.b64encode(content).decode()}[form]
    assert _reason(**{"text": ..., form: value}) is reason


@pytest.mark.parametrize(("text", "reason"), [("é" * 1000, None), ("é" * 1000 + "a", Reason.PAYLOAD_TOO_LARGE)])
def test_the_limit_counts_bytes_and_not_characters(text: str, reason: Reason | None) -> None:
    assert _reason(text=text) is reason


def test_a_text_of_megabytes_is_refused() -> None:
    assert _reason(text="a" * 5_000_000) is Reason.PAYLOAD_TOO_LARGE


# --- objects by URI, and payloads that the source could not read

PREFIXES = {"uri_prefixes": ["gs://bucket/a/", "file:///uploads/"]}


def _parse_by(
    read: Callable[[ObjectLocation, int], bytes], stream: dict[str, Any] | None = None, /, **fields: Any
) -> Parsed:
    parser = Parser(Stream.model_validate(STREAM | PREFIXES | (stream or {})), KEY, read)
    return parser.parse(_delivery(_fields(text=..., **fields)), NOW)


def test_an_object_is_read_at_its_place_with_the_limit_of_the_stream() -> None:
    requests = []

    def read(location: ObjectLocation, limit: int) -> bytes:
        requests.append((location, limit))
        return TEXT.encode()

    outcome = _parse_by(read, uri="gs://bucket/a/b/c").outcome
    assert isinstance(outcome, Event)
    assert (outcome.payload.reveal(), outcome.size) == (TEXT.encode(), len(TEXT))
    assert requests == [(ObjectLocation("gs", "bucket/a/", ("b", "c")), 2000)]


@pytest.mark.parametrize("uri", ["gs://bucket/b", "gs://bucket/a/../b", "file:///uploads/", "file:///etc/passwd", ""])
def test_an_object_outside_of_the_prefixes_is_never_requested(uri: str) -> None:
    outcome = _parse_by(lambda location, limit: pytest.fail("It was read."), uri=uri).outcome
    assert outcome == Rejection(_whole(), Reason.PAYLOAD_URI_FORBIDDEN)


@pytest.mark.parametrize(
    ("content", "modality", "reason"),
    [
        (b"", "text", Reason.EMPTY_TEXT),
        (b"", "image", Reason.EMPTY_PAYLOAD),
        (b"a" * 2000, "text", None),
        (b"a" * 2001, "text", Reason.PAYLOAD_TOO_LARGE),
        (b"a" * 2001, "image", Reason.PAYLOAD_TOO_LARGE),
    ],
    ids=["empty text", "empty image", "the limit", "large text", "large image"],
)
def test_an_object_is_checked_like_any_payload(content: bytes, modality: str, reason: Reason | None) -> None:
    outcome = _parse_by(lambda location, limit: content, {"modality": modality}, uri="gs://bucket/a/b").outcome
    assert (outcome.reason if isinstance(outcome, Rejection) else None) is reason


def test_a_missing_object_is_rejected_and_an_unavailable_one_is_not() -> None:
    def missing(location: ObjectLocation, limit: int) -> bytes:
        raise Rejected(Reason.OBJECT_NOT_FOUND)

    def unavailable(location: ObjectLocation, limit: int) -> bytes:
        raise Unavailable("The store does not answer; run again later.")

    outcome = _parse_by(missing, uri="gs://bucket/a/b").outcome
    assert outcome == Rejection(_whole(), Reason.OBJECT_NOT_FOUND)
    with pytest.raises(Unavailable, match=r"^The store does not answer; run again later\.$") as raised:
        _parse_by(unavailable, uri="gs://bucket/a/b")
    assert raised.value.__context__ is None


@pytest.mark.parametrize("mistake", [{"event_id": "a b"}, {"stream": "x"}, {"occurred_at": "now"}, {"attributes": 5}])
def test_no_object_is_read_for_an_event_that_is_otherwise_rejected(mistake: dict[str, Any]) -> None:
    def read(location: ObjectLocation, limit: int) -> bytes:
        raise AssertionError("It was read.")

    outcome = _parse_by(read, uri="gs://bucket/a/b", **mistake).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason is not Reason.INTERNAL


@pytest.mark.parametrize("reason", [Reason.OBJECT_NOT_FOUND, Reason.PAYLOAD_URI_FORBIDDEN, Reason.INTERNAL])
def test_a_payload_that_the_source_could_not_read_is_refused_for_its_reason_with_the_valid_ids(reason: Reason) -> None:
    assert _parse(text=..., payload=reason).outcome == Rejection(_whole(), reason)


def test_the_code_of_a_reason_as_payload_is_malformed() -> None:
    assert _reason(text=..., payload="object_not_found") is Reason.MALFORMED_EVENT


# --- what is never shown


def _shown(parsed: Parsed) -> str:
    return repr(parsed) + str(parsed) + repr(parsed.outcome)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"subject_id": "\0" + SUBJECT},
        {"event_id": TEXT},
        {"occurred_at": TEXT},
        {"stream": TEXT},
        {"attributes": TEXT},
        {"attributes": {"channel": TEXT, TEXT: "a"}},
        {TEXT: TEXT},
        {"text": ..., "uri": "gs://bucket/" + TEXT},
        {"text": ..., "payload_base64": TEXT},
        {"text": TEXT + "\ud800"},
        {"text": TEXT * 1000},
        {"text": [TEXT]},
    ],
    ids=repr,
)
def test_neither_content_nor_subject_shows_in_the_outcome_or_a_log(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        parsed = _parse(**fields)
    for secret in (TEXT, SUBJECT, BASE64):
        assert secret not in _shown(parsed) + caplog.text + "".join(capfd.readouterr())


def test_an_internal_error_is_rejected_as_internal_with_the_valid_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError(TEXT)

    monkeypatch.setattr(Parser, "_attributes", fail)
    outcome = _parse().outcome
    assert outcome == Rejection(ValidIds("event-1", KEY.pseudonym(SUBJECT), KEY.key_id), Reason.INTERNAL)


def test_out_of_memory_does_not_reject_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError(TEXT)

    monkeypatch.setattr(Parser, "_content", fail)
    with pytest.raises(Unavailable) as raised:
        _parse()
    assert TEXT not in str(raised.value)


# --- any input

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_marked = st.text(st.characters(codec=None), max_size=10).map(lambda text: f"{text}RAW-CONTENT")


def _good_or_any(name: str) -> st.SearchStrategy[Any]:
    return st.just(WHOLE[name]) | _json


_events = st.fixed_dictionaries(
    {},
    optional={
        "event_id": _good_or_any("event_id"),
        "occurred_at": _good_or_any("occurred_at"),
        "stream": _good_or_any("stream"),
        "subject_id": _marked | st.lists(_marked, max_size=2) | _json,
        "attributes": _json | st.dictionaries(st.sampled_from(["channel", "app", "x"]), _marked | st.just("chat")),
        "text": _marked | st.lists(_marked) | _json,
        "payload_base64": _json | st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
        "payload": st.binary(max_size=9) | _json,
        "uri": _marked | _json,
        "parts": _json | st.dictionaries(_marked, _marked, max_size=2),
        "something else": _marked,
    },
)


@given(_events, st.sampled_from(["required", "optional", "none"]), st.sampled_from(["text", "image"]))
@example(WHOLE | {"text": "RAW-CONTENT", "subject_id": "RAW-CONTENT"}, "required", "text")
def test_any_fields_are_an_event_or_a_reason_without_content(
    fields: dict[str, Any], subject: str, modality: str
) -> None:
    stream = Stream.model_validate(STREAM | {"subject": subject, "modality": modality})
    parsed = Parser(stream, KEY).parse(_delivery(fields), NOW)
    assert isinstance(parsed.outcome, Event | Rejection)
    if isinstance(parsed.outcome, Rejection):
        assert parsed.outcome.reason is not Reason.INTERNAL
    assert "RAW-CONTENT" not in _shown(parsed)


@given(st.dictionaries(st.text(st.characters(codec=None), max_size=8), _json, max_size=6))
def test_any_object_is_rejected_with_a_reason_other_than_internal(fields: dict[str, Any]) -> None:
    outcome = Parser(Stream.model_validate(STREAM), KEY).parse(_delivery(fields), NOW).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason in {
        Reason.MISSING_EVENT_ID,
        Reason.BAD_EVENT_ID,
        Reason.MISSING_SUBJECT,
        Reason.UNKNOWN_STREAM,
    }


@given(st.text(min_size=1, max_size=60))
def test_every_text_that_can_be_written_arrives_as_its_utf8(text: str) -> None:
    fields = json.loads(json.dumps(_fields(text=text)))
    outcome = Parser(Stream.model_validate(STREAM), KEY).parse(_delivery(fields), NOW).outcome
    assert isinstance(outcome, Event)
    assert outcome.payload.reveal() == text.encode()
    assert outcome.size == len(text.encode())
