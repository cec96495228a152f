"""The stream file: the one in the design is accepted, and every mistake is refused with a message that names it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.events.stream import MAX_AGE, Stream, load_stream
from tests.streams import ANY_ID

EXAMPLE = r"""
stream: support_message
modality: text                       # text | image
encoders: [minilm@1.0.0]             # several: all are logged (migration)
event_id: uuid                       # uuid | ulid | {pattern: …}; default {pattern: '[A-Za-z0-9_-]{1,64}'}
subject: required                    # required | optional | none
attributes:                          # allow-list; anything else is dropped and counted
  channel: {enum: [chat, email]}
  app_version: {pattern: '\d+\.\d+\.\d+', max_length: 16}
limits: {max_bytes: 20000}
uri_prefixes: []
leakage: {max: {words_f1: 0.5}, max_age: 90d}   # optional gate on the encoder's last audit
"""

LEAST = {"stream": "message", "modality": "text", "encoders": ["minilm@1.0.0"]}


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Returns the message about a minimal stream file with these fields, without its beginning."""

    def refuse(**fields: Any) -> str:
        path = tmp_path / "stream.yaml"
        whole = {name: value for name, value in {**LEAST, **fields}.items() if value is not ...}
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        with pytest.raises(UserError) as refused:
            load_stream(path)
        start = f"The stream file {path}: "
        assert str(refused.value).startswith(start)
        assert "\n" not in str(refused.value)
        return str(refused.value).removeprefix(start)

    return refuse


def _stream(**fields: Any) -> Stream:
    return Stream.model_validate(LEAST | fields)


def test_the_example_of_the_design_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text(EXAMPLE, encoding="utf-8")
    stream = load_stream(tmp_path / "stream.yaml")
    assert (stream.stream, stream.modality, stream.encoders) == ("support_message", "text", ("minilm@1.0.0",))
    assert stream.max_bytes == 20000
    assert stream.subject == "required"
    assert stream.attributes["channel"].allows("email")
    assert not stream.attributes["channel"].allows("fax")
    assert stream.attributes["app_version"].allows("1.20.3")
    assert not stream.attributes["app_version"].allows("1.20")
    assert not stream.attributes["app_version"].allows("1.20.3\n")
    assert stream.leakage is not None
    assert (stream.leakage.max, stream.leakage.max_age) == ({"words_f1": 0.5}, timedelta(days=90))


def test_omitted_fields_have_the_defaults_of_the_design() -> None:
    stream = _stream()
    assert stream.event_id == "uuid"
    assert stream.subject == "required"
    assert stream.attributes == {}
    assert stream.leakage is None
    assert timedelta(days=3600) <= stream.limits.max_age == MAX_AGE


@pytest.mark.parametrize("modality", ["text", "image"])
def test_every_modality_has_a_limit_of_bytes(modality: str) -> None:
    assert 1_000 < _stream(modality=modality).max_bytes <= 100_000_000
    assert _stream(modality=modality, limits={"max_bytes": 7}).max_bytes == 7


def test_several_encoders_are_kept_in_order() -> None:
    assert _stream(encoders=["b@1.0.0", "a@1.0.0"]).encoders == ("b@1.0.0", "a@1.0.0")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("15m", 900), ("12h", 43200), ("90d", 90 * 86400), ("2w", 14 * 86400), ("9y", 3294 * 86400)],
)
def test_a_duration_is_a_number_and_a_unit(written: str, seconds: int) -> None:
    assert _stream(limits={"max_age": written}).limits.max_age.total_seconds() == seconds


def _image(**limits: Any) -> dict[str, Any]:
    return {"modality": "image", "limits": limits}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no stream": ({"stream": ...}, "the field stream is missing; add it."),
    "no modality": ({"modality": ...}, "the field modality is missing; add it."),
    "no encoders": ({"encoders": ...}, "the field encoders is missing; add it."),
    "unknown field": ({"encoder": "a"}, "the field encoder is unknown; correct its name to encoders, or remove"),
    "unknown capital field": (
        {"Subject": "none"},
        "the field Subject is unknown; correct its name to subject, or remove it.",
    ),
    "unknown limit": ({"limits": {"bytes": 5}}, "limits.bytes is unknown; correct its name to max_bytes, or"),
    "capital limit": ({"limits": {"Max_bytes": 5}}, "the field limits.Max_bytes is unknown"),
    "name with capitals": ({"stream": "Message"}, "stream is 'Message', but the rule is: "),
    "name with a line end": ({"stream": "message\n"}, "stream is 'message\\n', but the rule is: "),
    "name with a dash": ({"stream": "a-b"}, "stream is 'a-b', but the rule is: "),
    "empty name": ({"stream": ""}, "stream is '', but the rule is: "),
    "name too long": ({"stream": "a" * 64}, "stream is 'aaa"),
    "name that is a number": ({"stream": 5}, "stream is 5, but the rule is: "),
    "bad modality": ({"modality": "sound"}, "modality is 'sound', but the rule is: Input should be 'text', 'image' or"),
    "empty encoders": ({"encoders": []}, "encoders is [], but the rule is: "),
    "encoders no list": ({"encoders": "minilm@1.0.0"}, "encoders is 'minilm@1.0.0', but the rule is: "),
    "empty encoder": ({"encoders": [""]}, "encoders.0 is '', but the rule is: "),
    "encoder that is a number": ({"encoders": ["a", 5]}, "encoders.1 is 5, but the rule is: "),
    "encoder twice": ({"encoders": ["a", "b", "a"]}, "encoders: each encoder may be named once."),
    "bad subject": ({"subject": "maybe"}, "subject is 'maybe', but the rule is: "),
    "bad kind of id": (
        {"event_id": "guid"},
        "event_id is 'guid', but the rule is: Input should be 'uuid' or 'ulid' (did you mean uuid?).",
    ),
    "id of any text": ({"event_id": {"pattern": ".*"}}, "event_id.pattern is '.*', but the rule is: the pattern may"),
    "id pattern that is none": ({"event_id": {"pattern": "("}}, "event_id.pattern is '(', but the rule is: "),
    "attribute name with capitals": ({"attributes": {"Channel": {"enum": ["a"]}}}, "'Channel', but the rule is: "),
    "attribute without a rule": ({"attributes": {"channel": None}}, "attributes.channel is None, but the rule is: "),
    "attributes as a list": ({"attributes": ["channel"]}, "attributes is ['channel'], but the rule is: "),
    "empty enum": ({"attributes": {"channel": {"enum": []}}}, "attributes.channel.enum is [], but the rule is: "),
    "enum of numbers": ({"attributes": {"a": {"enum": [1]}}}, "attributes.a.enum.0 is 1, but the rule is: "),
    "enum of a truth": ({"attributes": {"a": {"enum": [True]}}}, "attributes.a.enum.0 is True, but the rule is: "),
    "long enum value": ({"attributes": {"a": {"enum": ["a" * 65]}}}, "attributes.a.enum.0 is 'aaa"),
    "empty enum value": ({"attributes": {"a": {"enum": [""]}}}, "attributes.a.enum.0 is '', but the rule is: "),
    "enum and pattern": ({"attributes": {"a": {"enum": ["b"], "pattern": "b"}}}, "the field attributes.a."),
    "unbounded pattern": ({"attributes": {"a": {"pattern": ".*"}}}, "attributes.a.pattern is '.*', but the rule is: "),
    "pattern that is none": ({"attributes": {"a": {"pattern": "("}}}, "attributes.a.pattern is '(', but the rule is: "),
    "pattern that is a number": ({"attributes": {"a": {"pattern": 5}}}, "attributes.a.pattern is 5, but the rule is: "),
    "max_length 33": (
        {"attributes": {"a": {"pattern": "b", "max_length": 33}}},
        "attributes.a.max_length is 33, but the rule is: Input should be less than or equal to 32.",
    ),
    "max_length 0": ({"attributes": {"a": {"pattern": "b", "max_length": 0}}}, "attributes.a.max_length is 0, but"),
    "negative max_bytes": ({"limits": {"max_bytes": -1}}, "limits.max_bytes is -1, but the rule is: "),
    "no bytes at all": ({"limits": {"max_bytes": 0}}, "limits.max_bytes is 0, but the rule is: "),
    "boundless max_bytes": ({"limits": {"max_bytes": 10**12}}, "limits.max_bytes is 1000000000000, but the rule is: "),
    "max_bytes as text": ({"limits": {"max_bytes": "20kB"}}, "limits.max_bytes is '20kB', but the rule is: "),
    "max_bytes as a truth": ({"limits": {"max_bytes": True}}, "limits.max_bytes is True, but the rule is: "),
    "max_bytes with a fraction": ({"limits": {"max_bytes": 1.5}}, "limits.max_bytes is 1.5, but the rule is: "),
    "duration without unit": ({"limits": {"max_age": 90}}, "limits.max_age is 90, but the rule is: a duration is"),
    "duration in months": ({"limits": {"max_age": "3mo"}}, "limits.max_age is '3mo', but the rule is: a duration is"),
    "negative duration": ({"limits": {"max_age": "-1d"}}, "limits.max_age is '-1d', but the rule is: a duration is"),
    "Arabic duration": (
        {"limits": {"max_age": "\u0663d"}},
        "limits.max_age is '\u0663d', but the rule is: a duration is",
    ),
    "older than all calendars": ({"limits": {"max_age": "3000y"}}, "limits.max_age is '3000y', but the rule is: "),
    "older than BigQuery stores": (
        {"limits": {"max_age": "3641d"}},
        "limits.max_age is '3641d', but the rule is: it is at most 3640d",
    ),
    "ten years of 366 days": ({"limits": {"max_age": "10y"}}, "limits.max_age is '10y', but the rule is: "),
    "uri_prefixes": ({"uri_prefixes": ["gs://a"]}, "uri_prefixes.0 is 'gs://a', but the rule is: "),
    "max_age of nothing": ({"limits": {"max_age": "0d"}}, "limits.max_age is '0d', but the rule is: "),
    "uri_prefixes no list": ({"uri_prefixes": "gs://a/"}, "uri_prefixes is 'gs://a/', but the rule is: "),
    "prefix without its end": ({"uri_prefixes": ["gs://b/", "file:///a"]}, "uri_prefixes.1 is 'file:///a', but the"),
    "prefix of another kind": ({"uri_prefixes": ["https://b/"]}, "the rule is: a prefix must start with gs:// or file"),
    "prefix of everything": (
        {"uri_prefixes": ["file:///"]},
        "the rule is: a prefix must name a folder by its",
    ),
    "prefix that climbs": ({"uri_prefixes": ["gs://b/../c/"]}, "the rule is: a prefix must not contain empty names"),
    "prefix that climbs by escapes": ({"uri_prefixes": ["file:///a/%2e%2e/"]}, "a prefix must not contain empty names"),
    "prefix that is a number": ({"uri_prefixes": [5]}, "uri_prefixes.0 is 5, but the rule is: "),
    "very many prefixes": ({"uri_prefixes": ["gs://b/"] * 101}, "uri_prefixes is ['gs://b/', "),
    "no pixels": (_image(max_pixels=0), "limits.max_pixels is 0, but the rule is: Input should be greater than or"),
    "pixels that decoding refuses": (_image(max_pixels=89_000_001), "limits.max_pixels is 89000001, but the rule is: "),
    "pixels as text": (_image(max_pixels="1M"), "limits.max_pixels is '1M', but the rule is: "),
    "pixels as a truth": (_image(max_pixels=True), "limits.max_pixels is True, but the rule is: "),
    "pixels with a fraction": (_image(max_pixels=1.5), "limits.max_pixels is 1.5, but the rule is: "),
    "no side": (_image(max_side=0), "limits.max_side is 0, but the rule is: "),
    "a boundless side": (_image(max_side=65_536), "limits.max_side is 65536, but the rule is: "),
    "no formats": (_image(formats=[]), "limits.formats is [], but the rule is: "),
    "unknown format": (_image(formats=["png", "svg"]), "limits.formats.1 is 'svg', but the rule is: Input should be "),
    "format with capitals": (_image(formats=["PNG"]), "limits.formats.0 is 'PNG', but the rule is: "),
    "format by its ending": (_image(formats=["jpg"]), "limits.formats.0 is 'jpg', but the rule is: "),
    "formats no list": (_image(formats="png"), "limits.formats is 'png', but the rule is: "),
    "pixels of a text": (
        {"limits": {"max_pixels": 5}},
        "limits.max_pixels is for streams of images, but this stream is",
    ),
    "sides of a text": (
        {"limits": {"max_side": 5}},
        "limits.max_side is for streams of images, but this stream is text",
    ),
    "formats of a text": ({"limits": {"formats": ["png"]}}, "limits.formats is for streams of images, but this stream"),
    "a link without https": (
        {"inspect": {"url": "http://t.example/{event_id}"}},
        "the URL begins with https:// and a h",
    ),
    "a link with a user": ({"inspect": {"url": "https://u@t.example/{event_id}"}}, "it has no user, and the event id"),
    "a link to a host by id": ({"inspect": {"url": "https://{event_id}.example/"}}, "the event id follows the host"),
    "a link without the id": (
        {"inspect": {"url": "https://t.example/"}},
        "contains the placeholder {event_id}, and no",
    ),
    "a link with more": (
        {"inspect": {"url": "https://t.example/{event_id}/{0}"}},
        "contains the placeholder {event_id}",
    ),
    "a link with spaces": ({"inspect": {"url": "https://t.example/a b/{event_id}"}}, "without spaces and backslashes"),
    "leakage over 1": ({"leakage": {"max": {"f1": 1.5}, "max_age": "9d"}}, "leakage.max.f1 is 1.5, but the rule is: "),
    "leakage of no number": ({"leakage": {"max": {"f1": float("nan")}, "max_age": "9d"}}, "leakage.max.f1 is nan, but"),
    "leakage without limits": ({"leakage": {"max": {}, "max_age": "9d"}}, "leakage.max is {}, but the rule is: "),
    "leakage without age": ({"leakage": {"max": {"f1": 0.5}}}, "the field leakage.max_age is missing; add it."),
}


@pytest.mark.parametrize(("fields", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], sentence: str, refusal: Callable[..., str]) -> None:
    assert sentence in refusal(**fields)


def test_the_image_limits_of_an_image_stream_are_kept() -> None:
    limits = {"max_pixels": 89_000_000, "max_side": 65_535, "formats": ["png", "jpeg"], "max_bytes": 5}
    stream = _stream(modality="image", limits=limits, uri_prefixes=["gs://b/", "file:///a/b/"])
    assert (stream.limits.max_pixels, stream.limits.max_side) == (89_000_000, 65_535)
    assert (stream.limits.formats, stream.max_bytes) == (("png", "jpeg"), 5)
    assert stream.uri_prefixes == ("gs://b/", "file:///a/b/")


def test_the_image_limits_default_to_those_of_the_encoders() -> None:
    limits, encoders = _stream(modality="image").limits, ImageLimits()
    assert (limits.max_pixels, limits.max_side) == (encoders.max_pixels, encoders.max_side)
    assert limits.formats == encoders.formats
    assert _stream(modality="image").uri_prefixes == ()


def test_a_long_pattern_is_shortened_in_the_message(refusal: Callable[..., str]) -> None:
    sentence = refusal(event_id={"pattern": "a" * 5000 + "."})
    assert sentence.startswith("event_id.pattern is 'aaa")
    assert len(sentence) < 300


IDS: list[tuple[Any, str, bool]] = [
    (..., "0b6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f", True),
    (..., "DE89370400440532013000", False),
    (..., "quibble-diabetes", False),
    ("uuid", "0b6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f", True),
    ("uuid", "0B6C7C1E-1F0E-4F6E-9D53-3A7B0C1D2E3F", True),
    ("uuid", "00000000-0000-0000-0000-000000000000", True),
    ("uuid", "0b6c7c1e1f0e4f6e9d533a7b0c1d2e3f", False),
    ("uuid", "{0b6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f}", False),
    ("uuid", "0b6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f\n", False),
    ("uuid", "gb6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f", False),
    ("uuid", "\u0660b6c7c1e-1f0e-4f6e-9d53-3a7b0c1d2e3f", False),
    ("ulid", "01ARZ3NDEKTSV4RRFFQ69G5FAV", True),
    ("ulid", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", True),
    ("ulid", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", False),  # more than 128 bits
    ("ulid", "01ARZ3NDEKTSV4RRFFQ69G5FAU", False),  # no U in Crockford's alphabet
    ("ulid", "01ARZ3NDEKTSV4RRFFQ69G5FA", False),
    ("ulid", "01ARZ3NDEKTSV4RRFFQ69G5FAVA", False),
    (ANY_ID, "a", True),
    (ANY_ID, "A-z_09", True),
    (ANY_ID, "a" * 64, True),
    (ANY_ID, "a" * 65, False),
    (ANY_ID, "", False),
    (ANY_ID, "a b", False),
    (ANY_ID, "a\n", False),
    (ANY_ID, "a.b", False),
    (ANY_ID, "é", False),
    (ANY_ID, "a\0", False),
    (ANY_ID, "\ud800", False),
    ({"pattern": r"order_\d+"}, "order_12", True),
    ({"pattern": r"order_\d+"}, "order_" + "1" * 122, True),
    ({"pattern": r"order_\d+"}, "order_" + "1" * 123, False),  # 128 characters are enough for an id
    ({"pattern": r"order_\d+"}, "my order_12", False),
    ({"pattern": r"order_\d+"}, "order_12 please", False),
    ({"pattern": r"order_\d+"}, "order_\u0661\u0662", False),
]


@pytest.mark.parametrize(("rule", "event_id", "allowed"), IDS)
def test_an_id_is_allowed_only_if_all_of_it_matches(rule: Any, event_id: str, allowed: bool) -> None:
    stream = _stream() if rule is ... else _stream(event_id=rule)
    assert stream.allows_id(event_id) is allowed


@pytest.mark.parametrize(
    ("value", "kept"), [("1.2", True), ("1.2\n", False), ("\u0661.\u0662", False), ("1" * 7 + ".2", False)]
)
def test_an_attribute_is_kept_only_if_all_of_it_matches(value: str, kept: bool, stream: Stream) -> None:
    assert stream.attributes["app"].allows(value) is kept


def test_attributes_that_can_carry_a_payload_are_refused(refusal: Callable[..., str]) -> None:
    flags = {f"flag_{number}": {"enum": ["yes"]} for number in range(32)}
    hashes = {f"hash_{number}": {"pattern": "[0-9a-f]{32}"} for number in range(4)}

    assert _stream(attributes=flags).attribute_bits == pytest.approx(32)
    assert _stream(attributes=hashes).attribute_bits == pytest.approx(512)
    assert "33 are listed, but at most 32 may be" in refusal(attributes=flags | {"one_more": {"enum": ["yes"]}})
    assert "can carry 513 bits of a payload in each event" in refusal(attributes=hashes | {"more": {"enum": ["a"]}})


def test_a_stream_does_not_change_once_it_is_read(stream: Stream) -> None:
    with pytest.raises(ValidationError):
        stream.subject = "none"  # type: ignore[misc]
