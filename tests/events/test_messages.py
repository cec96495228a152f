"""Events as messages: an event has the same outcome as a line and as a message."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.pubsub_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from rawless.config import check
from rawless.errors import UserError
from rawless.events.event import Delivery, Event, Rejection
from rawless.events.messages import FIELDS, MAX_MESSAGE_BYTES, Message, decode_message, encode_message
from rawless.events.parse import Parser
from rawless.events.stream import Stream
from rawless.local.pubsub.checks import check_messages
from rawless.privacy import Raw, Reason
from rawless.privacy.pseudonyms import PseudonymKey
from tests.streams import ANY_ID

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STREAM = Stream.model_validate(
    {
        "stream": "message",
        "modality": "text",
        "encoders": ["minilm@1.0.0"],
        "event_id": ANY_ID,
        "attributes": {"channel": {"enum": ["chat", "email"]}, "app": {"pattern": r"\d\.\d"}},
        "limits": {"max_bytes": 200},
    }
)
PARSER = Parser(STREAM, PseudonymKey(b"k" * 32))


def _sent(fields: Any) -> Raw[Message] | Reason:
    return encode_message(Delivery("1", Raw(fields) if isinstance(fields, dict) else fields, 10))


def _outcome(delivery: Delivery) -> Any:
    outcome = PARSER.parse(delivery, NOW).outcome
    if isinstance(outcome, Rejection):
        return outcome.ids, outcome.reason
    return (
        outcome.event_id, outcome.subject_key, outcome.occurred_at, outcome.attributes, outcome.payload.reveal()
    )  # fmt: skip


_text = st.text(st.characters(codec="utf-8"), max_size=30)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.sampled_from(["e-1", "", "an id", "e" * 90]) | _text,
        "occurred_at": st.sampled_from([(NOW - timedelta(days=1)).isoformat(), "now", ""]),
        "stream": st.sampled_from(["message", "other", ""]),
        "subject_id": st.sampled_from(["s-1", "", " "]) | _text,
        "attributes": st.dictionaries(
            st.sampled_from(["channel", "app", "more", "x"]), st.sampled_from(["chat", "1.2", ""]) | _text
        ),
        "text": st.sampled_from(["A text.", "x" * 300]) | _text.filter(bool),
    },
)


@given(_fields)
def test_a_message_and_its_line_have_the_same_outcome(fields: dict[str, Any]) -> None:
    message = _sent(fields)
    if isinstance(message, Reason):
        assert message is Reason.MALFORMED_EVENT  # it is empty
        assert not {name: value for name, value in fields.items() if value and name != "attributes"}
        return
    sent = message.reveal()

    received = decode_message("1", sent.data, sent.attributes)

    if "text" in fields:  # a message cannot distinguish an empty payload from a missing one
        assert _outcome(received) == _outcome(Delivery("1", Raw(fields), 10))
    else:
        assert isinstance(PARSER.parse(received, NOW).outcome, Rejection)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None), max_size=2000),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(st.characters(codec=None), max_size=300), inner)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "attributes", "text", "payload_base64", "parts", "zzz"]), _json))
def test_for_any_event_pubsub_accepts_the_message_or_there_is_a_reason(fields: dict[str, Any]) -> None:
    message = _sent(fields)

    if isinstance(message, Reason):
        assert message is not Reason.INTERNAL
        return
    sent = message.reveal()
    proto = types.PubsubMessage(data=sent.data, attributes=sent.attributes)
    check_messages([types.PubsubMessage.pb(proto)])
    assert types.PubsubMessage.pb(proto).ByteSize() <= sent.size


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (Reason.INVALID_UTF8, Reason.INVALID_UTF8),
        ({"event_id": 7, "text": "x"}, Reason.MALFORMED_EVENT),
        ({"event_id": "x" * 1025, "text": "x"}, Reason.MALFORMED_EVENT),
        ({"event_id": "\ud83d", "text": "x"}, Reason.MALFORMED_EVENT),
        ({"event_id": "e", "attributes": "x", "text": "x"}, Reason.MALFORMED_EVENT),
        ({"event_id": "e", "text": "x", "uri": "gs://b/o"}, Reason.MALFORMED_EVENT),
        ({"event_id": "e", "text": "\ud83d"}, Reason.FORBIDDEN_CHARACTERS),
        ({"event_id": "e", "payload_base64": "**"}, Reason.MALFORMED_EVENT),
        ({"event_id": "e", "parts": {"a": "b"}}, Reason.WRONG_MODALITY),
        ({"event_id": "e", "payload": Reason.OBJECT_NOT_FOUND}, Reason.OBJECT_NOT_FOUND),
        ({"event_id": "e", "payload": b"x" * MAX_MESSAGE_BYTES}, Reason.PAYLOAD_TOO_LARGE),
        ({}, Reason.MALFORMED_EVENT),
    ],
    ids=str,
)
def test_an_event_that_no_message_can_carry_has_a_reason(fields: Any, reason: Reason) -> None:
    assert _sent(fields) is reason


@pytest.mark.parametrize("form", ["payload", "payload_base64", "uri", "none"])
def test_every_form_of_payload_is_sent_as_a_message(form: str) -> None:
    forms = {"payload": b"\x00", "payload_base64": base64.b64encode(b"\x00").decode(), "uri": "gs://b/o", "none": None}

    message = _sent({"event_id": "e", form: forms[form]})

    assert isinstance(message, Raw)
    sent = message.reveal()
    assert sent.data == (b"\x00" if form.startswith("payload") else b"")
    assert sent.attributes == {"event_id": "e"} | ({"uri": "gs://b/o"} if form == "uri" else {})


def test_only_attributes_that_pubsub_accepts_are_sent() -> None:
    attributes = {"channel": "chat", "goog": "x", "": "x", "long": "x" * 1025, "n" * 257: "x", "number": 1, "uri": "x"}

    message = _sent({"event_id": "e", "attributes": attributes | {f"a{n:03d}": "" for n in range(200)}})

    assert isinstance(message, Raw)
    sent = message.reveal().attributes
    assert {"event_id": "e", "channel": "chat"}.items() <= sent.items()
    assert len(sent) == 1 + 95
    assert not {"goog", "", "long", "number", "uri"} & set(sent)


@pytest.mark.parametrize("name", FIELDS)
def test_a_stream_cannot_have_an_attribute_named_like_a_field(name: str) -> None:
    fields = STREAM.model_dump() | {"attributes": {name: {"enum": ["x"]}}}

    with pytest.raises(UserError, match=f"attributes.{name} is the name of a field of every event"):
        check(fields, Stream, where="The stream file x")


def test_a_message_whose_object_is_named_and_that_has_data_too_is_malformed() -> None:
    delivery = decode_message("1", b"x", {"event_id": "e", "stream": "message", "uri": "gs://b/o", "subject_id": "s",
                                       "occurred_at": NOW.isoformat()})  # fmt: skip

    assert _outcome(delivery)[1] is Reason.MALFORMED_EVENT
    assert not isinstance(PARSER.parse(delivery, NOW).outcome, Event)
