"""Events with several named parts: what each may be, what is dropped, and the message that carries them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.content_parts import unpack
from rawless.errors import UserError
from rawless.events.event import Delivery, Event, Rejection
from rawless.events.json_object import json_object
from rawless.events.messages import decode_message, encode_message
from rawless.events.parse import Parsed, Parser
from rawless.events.stream import Stream, load_stream
from rawless.privacy import Raw, Reason, guarded
from tests.events.test_parse import KEY, NOW, WHOLE
from tests.streams import ANY_ID

PARTS: dict[str, Any] = {
    "stream": "message",
    "modality": "parts",
    "parts": {"photo": {"modality": "image", "max_bytes": 1000}, "caption": "text", "title": "text"},
    "encoders": ["photo-and-caption@1.0.0"],
    "event_id": ANY_ID,
    "limits": {"formats": ["png"]},
}
FILE = b"\x89PNG" + bytes(range(256))


def encoded(content: bytes) -> dict[str, str]:
    return {"payload_base64": base64.b64encode(content).decode()}


def event_fields(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**WHOLE, "text": ..., **fields}.items() if value is not ...}


def parse(stream: dict[str, Any] | None = None, /, **fields: Any) -> Parsed:
    parser = Parser(Stream.model_validate(PARTS | (stream or {})), KEY)
    return parser.parse(Delivery("1", Raw(event_fields(**fields)), 10), NOW)


def contents(parsed: Parsed) -> dict[str, bytes]:
    assert isinstance(parsed.outcome, Event)
    assert parsed.outcome.size == len(parsed.outcome.payload.reveal())
    return unpack(parsed.outcome.payload.reveal())


def test_each_part_has_a_content_of_its_own_and_what_the_stream_does_not_name_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(FILE)
    photo = {"uri": f"file://{tmp_path}/photo.png", "camera": "x"}
    parts = {"photo": photo, "caption": {"text": "my é"}, "voice": encoded(b"x"), "title": None}

    found = parse({"uri_prefixes": [f"file://{tmp_path}/"]}, parts=parts)

    assert contents(found) == {"photo": FILE, "caption": "my é".encode()}
    assert found.dropped == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.EMPTY_PAYLOAD),
        ({"parts": {}}, Reason.EMPTY_PAYLOAD),
        ({"parts": {"voice": {"text": "x"}}}, Reason.EMPTY_PAYLOAD),
        ({"parts": []}, Reason.MALFORMED_EVENT),
        ({"parts": "x"}, Reason.MALFORMED_EVENT),
        ({"parts": {"caption": "x"}}, Reason.MALFORMED_EVENT),
        ({"parts": {"caption": {"text": 1}}}, Reason.MALFORMED_EVENT),
        ({"parts": {"caption": {"text": "x", **encoded(b"x")}}}, Reason.MALFORMED_EVENT),
        ({"parts": {"caption": {"payload": "x"}}}, Reason.MALFORMED_EVENT),
        ({"parts": {"caption": {"parts": {"caption": {"text": "x"}}}}}, Reason.WRONG_MODALITY),
        ({"parts": {"caption": {}}}, Reason.EMPTY_PAYLOAD),
        ({"parts": {"caption": {"text": ""}}}, Reason.EMPTY_TEXT),
        ({"parts": {"photo": {"payload_base64": ""}}}, Reason.EMPTY_PAYLOAD),
        ({"parts": {"photo": {"text": "x"}}}, Reason.WRONG_MODALITY),
        ({"parts": {"photo": encoded(bytes(1001)), "caption": {"text": "x"}}}, Reason.PAYLOAD_TOO_LARGE),
        ({"parts": {"photo": {"uri": "file:///etc/passwd"}}}, Reason.PAYLOAD_URI_FORBIDDEN),
        ({"parts": {"caption": {"text": "x"}}, "text": "x"}, Reason.MALFORMED_EVENT),
        ({"text": "x"}, Reason.WRONG_MODALITY),
        (encoded(b"x"), Reason.WRONG_MODALITY),
        ({"uri": "gs://bucket/x"}, Reason.WRONG_MODALITY),
        ({"payload": b"[]"}, Reason.MALFORMED_EVENT),
        ({"payload": b"\xff"}, Reason.INVALID_UTF8),
    ],
    ids=str,
)
def test_what_is_no_event_with_parts_is_rejected(fields: dict[str, Any], reason: Reason) -> None:
    outcome = parse(**fields).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason is reason


@pytest.mark.parametrize(
    "line", ['{"parts": {"caption": {"text": "a", "text": "b"}}}', '{"parts": {"caption": {}, "caption": {}}}']
)
def test_a_part_that_is_named_twice_is_rejected(line: str) -> None:
    outcome = parse(**json_object(line.encode())).outcome
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.MALFORMED_EVENT
    fields = Raw({**event_fields(), **json_object(line.encode())})
    assert encode_message(Delivery("1", fields, 10), has_parts=True) is Reason.MALFORMED_EVENT


def test_the_data_of_a_message_is_the_object_of_the_parts() -> None:
    parts = {"photo": encoded(FILE), "caption": {"text": "my é \0"}}
    message = encode_message(Delivery("1", Raw(event_fields(parts=parts)), 10), has_parts=True)
    assert isinstance(message, Raw)
    assert json.loads(message.reveal().data) == parts

    received = decode_message("2", message.reveal().data, message.reveal().attributes)

    parsed = Parser(Stream.model_validate(PARTS), KEY).parse(received, NOW)
    assert contents(parsed) == {"photo": FILE, "caption": "my é \0".encode()}
    half = Delivery("1", Raw(event_fields(parts={"caption": {"text": "\ud83d"}})), 10)
    assert encode_message(half, has_parts=True) is Reason.FORBIDDEN_CHARACTERS
    assert encode_message(Delivery("1", Raw(event_fields(parts=parts)), 10)) is Reason.WRONG_MODALITY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {}}, "parts: name the parts of an event"),
        ({"modality": "text", "limits": {}}, "parts is for streams of the modality parts, but this stream is text"),
        ({"limits": {"max_bytes": 5}}, "limits.max_bytes is for one payload"),
        ({"parts": {"photo": "sound"}}, "parts.photo"),
        ({"parts": {"Photo": "image"}}, "parts.Photo"),
        ({"parts": {"caption": "text"}}, "limits.formats is for streams of images"),
        ({"parts": {"photo": {"modality": "image", "max_bytes": 0}}}, "parts.photo.max_bytes"),
    ],
)
def test_a_stream_of_parts_declares_them(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text(yaml.safe_dump(PARTS | changes))
    with pytest.raises(UserError, match=message):
        load_stream(file)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ({"photo": "image", "voice": "text"}, "reads the part voice, of text, but the stream message has none"),
        ({"photo": "text"}, "reads the part photo, of text, but the stream message has one of image"),
    ],
)
def test_an_encoder_reads_parts_that_the_stream_has(reads: dict[str, str], message: str) -> None:
    stream = Stream.model_validate(PARTS)
    stream.check_modality("two@1.0.0", "parts", {"photo": "image", "title": "text"})
    with pytest.raises(UserError, match=message):
        stream.check_modality("two@1.0.0", "parts", reads)
    with pytest.raises(UserError, match="The modality of stream message is parts"):
        stream.check_modality("two@1.0.0", "text", {})


def test_no_content_of_a_part_leaves_the_boundary_in_an_error() -> None:
    outcome = guarded(json_object, b'{"parts": {"caption": {"text": "4711"')
    assert outcome is Reason.MALFORMED_EVENT
    assert "4711" not in repr(parse(parts={"caption": {"text": "4711"}}))
