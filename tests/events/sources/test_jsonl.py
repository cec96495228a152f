"""JSON lines: what a line may contain, and the outcome of lines that are not events."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rawless.errors import Unavailable, UserError
from rawless.events.event import Delivery
from rawless.events.file_format import open_text
from rawless.events.source import read_all
from rawless.events.sources.jsonl import JsonlSource, line_limit
from rawless.privacy import Raw, Reason

MAX_BYTES = 2000


def _read(path: Path, max_bytes: int = MAX_BYTES) -> list[Delivery]:
    source = JsonlSource(str(path), max_bytes)
    return list(read_all(source))


def _fields_or_reason(delivery: Delivery) -> Any:
    """Return the reason, or else the fields."""
    return delivery.fields.reveal() if isinstance(delivery.fields, Raw) else delivery.fields


@pytest.fixture
def read_lines(tmp_path: Path) -> Callable[[bytes], list[Any]]:
    """Returns a function that writes these bytes to a file and returns the outcome of each line."""

    def read(content: bytes) -> list[Any]:
        path = tmp_path / "events.jsonl"
        path.write_bytes(content)
        return [_fields_or_reason(delivery) for delivery in _read(path)]

    return read


def test_the_deliveries_carry_number_size_and_fields(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xc3\xa9"}\n')
    first, second = _read(path)
    assert (first.message_id, first.size, _fields_or_reason(first)) == ("1", 14, {"text": "a"})
    assert (second.message_id, second.size, _fields_or_reason(second)) == ("2", 15, {"text": "é"})
    assert isinstance(first.fields, Raw)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"  \n", b"\t\r\n"])
def test_an_object_is_read_whatever_ends_its_line(end: bytes, read_lines: Callable[[bytes], list[Any]]) -> None:
    assert read_lines(b'{"a": 1}' + end) == [{"a": 1}]


def test_a_byte_order_mark_is_skipped_also_where_files_were_joined(read_lines: Callable[[bytes], list[Any]]) -> None:
    mark = b"\xef\xbb\xbf"
    assert read_lines(mark + b"{}\n" + mark + b"{}\n") == [{}, {}]


MALFORMED = {
    "a byte order mark": b"\xef\xbb\xbf\xef\xbb\xbf",
    "words": b"my card ends in 4711",
    "a number": b"4711",
    "a text": b'"text"',
    "null": b"null",
    "true": b"true",
    "a list": b'[{"event_id": "a"}]',
    "no number": b"NaN",
    "half an object": b'{"event_id": "a"',
    "two objects": b'{"event_id": "a"} {"event_id": "b"}',
    "single quotes": b"{'event_id': 'a'}",
    "a comma too many": b'{"event_id": "a",}',
    "NUL": b'{"event_id": "\0"}',
    "NUL alone": b"\0" * 9,
    "control characters": b'{"text": "a\tb"}',
    "half an escape": b'{"text": "\\u12"}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge integer alone": b"1" * 100_000,
    "a repeated field": b'{"text": "a", "text": "b"}',
    "a repeated field, escaped": b'{"text": "a", "te\\u0078t": "b"}',
    "a repeated attribute": b'{"attributes": {"channel": "chat", "channel": "email"}}',
}


def test_blank_lines_are_skipped_and_the_numbers_of_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\n{"a": 1}\n\r\n \t \n{"a": 2}\n\n  ')
    assert [(delivery.message_id, _fields_or_reason(delivery)) for delivery in _read(path)] == [
        ("2", {"a": 1}),
        ("5", {"a": 2}),
    ]


def test_lines_that_end_with_a_carriage_return_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\r{"a": 2}\r')
    with pytest.raises(UserError, match="its lines end with a carriage return only"):
        JsonlSource(str(path), MAX_BYTES).check()


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_line_that_is_not_an_object_is_a_rejection(line: bytes, read_lines: Callable[[bytes], list[Any]]) -> None:
    outcome = read_lines(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert outcome == [{"a": 1}, Reason.MALFORMED_EVENT, {"a": 2}]


@pytest.mark.parametrize(
    "line",
    [b"\xff", b'{"text": "\xff"}', b'{"text": "\xc3"}', b'{"text": "\xed\xa0\x80"}', b"\xff\xfe{\0}\0", b"\xc0\x80"],
)
def test_a_line_that_is_not_utf8_is_a_rejection(line: bytes, read_lines: Callable[[bytes], list[Any]]) -> None:
    assert read_lines(b"{}\n" + line + b"\n{}") == [{}, Reason.INVALID_UTF8, {}]


@pytest.mark.parametrize(
    "line",
    [
        b'{"occurred_at": NaN, "text": -Infinity}',
        b'{"text": 1e999}',
        b'{"text": ' + b"1" * 5000 + b"}",
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"": {"": [{}]}}',
    ],
)
def test_odd_values_of_an_object_are_left_to_the_parser(line: bytes, read_lines: Callable[[bytes], list[Any]]) -> None:
    [outcome] = read_lines(line)
    assert isinstance(outcome, dict)


UNUSED = {
    "a number of 5,000 digits": b"1" * 5000,
    "a negative number of 5,000 digits": b"-" + b"1" * 5000,
    "a number of 5,000 digits, nested": b'{"a": [' + b"1" * 5000 + b"]}",
    "a fraction of 5,000 digits": b"0." + b"1" * 5000,
    "a huge exponent": b"1e" + b"9" * 5000,
    "NaN": b"NaN",
    "-Infinity": b"-Infinity",
    "a repeated name": b'{"a": 1, "a": 2}',
    "lists of depth 100": b"[" * 100 + b"]" * 100,
}


@pytest.mark.parametrize("value", UNUSED.values(), ids=UNUSED)
def test_a_field_that_nobody_uses_may_have_any_value(value: bytes, read_lines: Callable[[bytes], list[Any]]) -> None:
    [outcome] = read_lines(b'{"event_id": "a", "other": ' + value + b', "text": "b"}')
    assert (outcome["event_id"], outcome["text"]) == ("a", "b")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=3), max_size=6))
def test_written_objects_are_read_unchanged(tmp_path: Path, written: list[dict[str, Any]]) -> None:
    path = tmp_path / "events.jsonl"
    for ascii_only in (True, False):
        lines = [json.dumps(fields, ensure_ascii=ascii_only) for fields in written]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        assert [_fields_or_reason(delivery) for delivery in _read(path)] == written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_the_reader_fails_for_no_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    with open_text(path) as file:
        assume(file.seekable())  # else the bytes begin like those of a compressed file
    outcome = [_fields_or_reason(delivery) for delivery in _read(path)]
    allowed = (Reason.INVALID_UTF8, Reason.MALFORMED_EVENT)
    assert all(isinstance(value, dict) or value in allowed for value in outcome)


def test_a_rejected_line_is_not_quoted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"text": "my card ends in 4711"}\nmy card ends in 4711\n\xffmy card ends in 4711\n')
    with caplog.at_level("DEBUG"):
        shown = repr(_read(path)) + caplog.text
    assert "4711" not in shown


def test_a_line_with_the_largest_payload_is_parsed_however_it_is_escaped(tmp_path: Path) -> None:
    max_bytes = 3 << 20
    path = tmp_path / "events.jsonl"
    path.write_text('{"text": "' + "\\u0041" * max_bytes + '", "event_id": "' + "a" * 128 + '"}\n')
    [delivery] = _read(path, max_bytes)
    assert len(_fields_or_reason(delivery)["text"]) == max_bytes


def test_a_line_over_its_limit_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{}\n{"text": "' + b"a" * line_limit(MAX_BYTES) + b'"}\n{}\n')
    assert [_fields_or_reason(delivery) for delivery in _read(path)] == [{}, Reason.PAYLOAD_TOO_LARGE, {}]


def test_a_file_that_vanishes_after_the_check_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n")
    source = JsonlSource(str(path), MAX_BYTES)
    source.check()
    reader = source.reader()
    [shard] = reader.shards()
    path.unlink()
    with pytest.raises(Unavailable, match="could not be opened"):
        list(reader.shards())
    with pytest.raises(Unavailable, match="could not be opened"):
        list(reader.read(shard))
    with pytest.raises(UserError, match="there is no such file"):
        source.check()
