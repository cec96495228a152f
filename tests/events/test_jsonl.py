"""JSON lines: every line is one delivery with its number, whatever it holds, in bounded memory."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import events
import privacy
from events import jsonl
from events import lines as files
from events.event import Delivery
from events.jsonl import JsonlSource, line_limit
from events.lines import Shard
from privacy import Raw, Reason, Unavailable, UserError

LIMIT = 1 << 20


def _read(path: Path, lines: int = 500, limit: int = LIMIT) -> list[Delivery]:
    return [each for shard in files.shards(path, lines) for each in files.read(path, shard, limit, jsonl._fields)]


def _told(delivery: Delivery) -> Any:
    """The reason, or the fields themselves."""
    return delivery.fields.reveal() if isinstance(delivery.fields, Raw) else delivery.fields


@pytest.fixture
def read_lines(tmp_path: Path) -> Callable[..., list[Any]]:
    """What is told of a file of these bytes, line by line."""

    def read(content: bytes, **options: int) -> list[Any]:
        path = tmp_path / "events.jsonl"
        path.write_bytes(content)
        return [_told(each) for each in _read(path, **options)]

    return read


def test_the_deliveries_carry_number_size_and_fields(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xc3\xa9"}\n')
    first, second = _read(path)
    assert (first.message_id, first.size, _told(first)) == ("1", 14, {"text": "a"})
    assert (second.message_id, second.size, _told(second)) == ("2", 15, {"text": "é"})
    assert isinstance(first.fields, Raw)


# --- shards

_content = st.lists(
    st.sampled_from([b"\n", b"\n\n", b"{}", b'{"text": "a"}', b"\r\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"\0", b"\x85"])
    | st.binary(max_size=12),
    max_size=12,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_content, st.integers(1, 4))
@example(b"", 1)
@example(b"\n", 1)
@example(b"{}", 1)
@example(b"{}\n", 1)
@example(b"\n\n\n", 2)
@example(b"a\nb\nc", 2)
@example(b"a\nb\nc\nd\n", 2)
def test_the_shards_cover_every_line_once_and_in_order(tmp_path: Path, content: bytes, lines: int) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    shards = list(files.shards(path, lines))
    assert all(1 <= shard.lines <= lines for shard in shards)
    assert [shard.first for shard in shards] == list(range(1, len(expected) + 1, lines))
    assert [shard.offset for shard in shards] == [
        sum(len(line) + 1 for line in expected[:start]) for start in range(0, len(expected), lines)
    ]

    deliveries = [each for shard in reversed(shards) for each in files.read(path, shard, LIMIT, jsonl._fields)]
    assert sorted(int(each.message_id) for each in deliveries) == list(range(1, len(expected) + 1))
    assert sum(each.size for each in deliveries) == len(content)
    assert all(each.fields is not Reason.INTERNAL for each in deliveries)


@pytest.mark.parametrize(("content", "counts"), [(b"1\n2\n3\n", [2, 1]), (b"1\n2\n3", [2, 1]), (b"1\n2\n", [2])])
def test_a_shard_says_how_many_lines_it_has(content: bytes, counts: list[int], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    assert [shard.lines for shard in files.shards(path, 2)] == counts


def test_a_line_end_on_the_edge_of_what_is_read_at_once_is_no_special_place(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for before in (-1, 0, 1):
        line = b'"' + b"a" * ((1 << 20) - 3 + before) + b'"\n'
        path.write_bytes(line + b"{}\n{}")
        assert [shard.offset for shard in files.shards(path, 1)] == [0, len(line), len(line) + 3]
        assert [_told(each) for each in _read(path, 1, 1 << 22)] == [Reason.MALFORMED_EVENT, {}, {}]


def test_a_shard_is_read_apart_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(b'{"n": %d}\n' % number for number in range(10)))
    third = list(files.shards(path, 3))[2]
    assert [(each.message_id, _told(each)) for each in files.read(path, third, LIMIT, jsonl._fields)] == [
        ("7", {"n": 6}),
        ("8", {"n": 7}),
        ("9", {"n": 8}),
    ]


# --- what a line may hold


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"  \n", b"\t\r\n"])
def test_an_object_is_read_whatever_ends_its_line(end: bytes, read_lines: Callable[..., list[Any]]) -> None:
    assert read_lines(b'{"a": 1}' + end) == [{"a": 1}]


def test_a_byte_order_mark_is_skipped_at_the_beginning_alone(read_lines: Callable[..., list[Any]]) -> None:
    mark = b"\xef\xbb\xbf"
    assert read_lines(mark + b"{}\n" + mark + b"{}\n", lines=1) == [{}, Reason.MALFORMED_EVENT]


MALFORMED = {
    "empty": b"",
    "white space": b" \t ",
    "a carriage return": b"\r",
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
    "a huge integer": b'{"text": ' + b"1" * 5000 + b"}",
    "a huge integer alone": b"1" * 100_000,
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_line_that_is_no_object_is_a_rejection_like_any_other(
    line: bytes, read_lines: Callable[..., list[Any]]
) -> None:
    told = read_lines(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert told == [{"a": 1}, Reason.MALFORMED_EVENT, {"a": 2}]


@pytest.mark.parametrize(
    "line",
    [b"\xff", b'{"text": "\xff"}', b'{"text": "\xc3"}', b'{"text": "\xed\xa0\x80"}', b"\xff\xfe{\0}\0", b"\xc0\x80"],
)
def test_a_line_that_is_no_utf8_is_a_rejection(line: bytes, read_lines: Callable[..., list[Any]]) -> None:
    assert read_lines(b"{}\n" + line + b"\n{}") == [{}, Reason.INVALID_UTF8, {}]


@pytest.mark.parametrize(
    "line",
    [
        b'{"occurred_at": NaN, "text": -Infinity}',
        b'{"text": 1e999}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"": {"": [{}]}}',
    ],
)
def test_odd_values_of_an_object_are_left_to_the_parser(line: bytes, read_lines: Callable[..., list[Any]]) -> None:
    [told] = read_lines(line)
    assert isinstance(told, dict)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=3), max_size=6))
def test_what_was_written_is_what_is_read(tmp_path: Path, written: list[dict[str, Any]]) -> None:
    path = tmp_path / "events.jsonl"
    for ascii_only in (True, False):
        lines = [json.dumps(each, ensure_ascii=ascii_only) for each in written]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        assert [_told(each) for each in _read(path, 2)] == written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_reader_fail(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    told = [_told(each) for each in _read(path, 3, 32)]
    allowed = (Reason.INVALID_UTF8, Reason.MALFORMED_EVENT, Reason.PAYLOAD_TOO_LARGE)
    assert all(isinstance(each, dict) or each in allowed for each in told)


def test_a_refused_line_shows_nothing_of_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"text": "my card ends in 4711"}\nmy card ends in 4711\n\xffmy card ends in 4711\n')
    with caplog.at_level("DEBUG"):
        shown = repr(_read(path)) + caplog.text
    assert "4711" not in shown


# --- long lines


@pytest.mark.parametrize("length", [101, 102, 5000, 3 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_over_the_limit_is_too_large_while_its_neighbours_go_through(
    length: int, end: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    long = b'{"text": "' + b"a" * (length - 12) + b'"}' + end
    path.write_bytes(b'{"a": 1}\n' + long + b'{"a": 2}\n' + long + b'{"a": 3}')
    deliveries = _read(path, 2, limit=100)
    too_large = Reason.PAYLOAD_TOO_LARGE
    assert [_told(each) for each in deliveries] == [{"a": 1}, too_large, {"a": 2}, too_large, {"a": 3}]
    assert [each.message_id for each in deliveries] == ["1", "2", "3", "4", "5"]
    assert deliveries[1].size == len(long)


def test_a_long_last_line_without_an_end_is_too_large(read_lines: Callable[..., list[Any]]) -> None:
    assert read_lines(b"{}\n" + b"a" * 5000, limit=100) == [{}, Reason.PAYLOAD_TOO_LARGE]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_exactly_the_limit_is_looked_into(end: bytes, read_lines: Callable[..., list[Any]]) -> None:
    line = b'{"a": "' + b"a" * (100 - 9 - len(end)) + b'"}' + end
    assert len(line) == 100
    assert [type(each) for each in read_lines(line, limit=100)] == [dict]


def test_a_line_that_holds_the_largest_payload_is_looked_into_however_it_is_spelled(tmp_path: Path) -> None:
    max_bytes = 3 << 20
    path = tmp_path / "events.jsonl"
    path.write_text('{"text": "' + "\\u0041" * max_bytes + '", "event_id": "' + "a" * 128 + '"}\n')
    [delivery] = _read(path, limit=line_limit(max_bytes))
    assert len(_told(delivery)["text"]) == max_bytes


def test_a_huge_line_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n')
        for _ in range(64):
            file.write(b"a" * (1 << 20))
        file.write(b'\n{"a": 2}\n')
    tracemalloc.start()
    try:
        told = [_told(each) for each in _read(path, 1, limit=1 << 16)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told == [{"a": 1}, Reason.PAYLOAD_TOO_LARGE, {"a": 2}]
    assert peak < 8 << 20


def test_many_lines_are_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes((b'{"text": "' + b"a" * 10_000 + b'"}\n') * 3000)  # 30 MB
    tracemalloc.start()
    try:
        count = sum(1 for shard in files.shards(path) for _ in files.read(path, shard, LIMIT, jsonl._fields))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3000
    assert peak < 8 << 20


# --- a source that goes away


def test_a_file_that_vanishes_after_the_check_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n")
    source = JsonlSource(str(path), 100)
    source.check()
    [shard] = source.shards()
    path.unlink()
    with pytest.raises(Unavailable, match="could not be opened"):
        list(source.shards())
    with pytest.raises(Unavailable, match="could not be opened") as raised:
        list(source.read(shard))
    assert raised.value.__cause__ is None
    with pytest.raises(UserError, match="there is no such file"):
        source.check()


def test_a_file_that_became_a_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not be opened"):
        list(files.read(tmp_path, Shard(0, 1, 1), 100, jsonl._fields))


def _frames_of_the_rooms(error: BaseException) -> Iterator[FrameType]:
    rooms = {Path(module.__file__ or "").parent for module in (events, privacy)}
    trace = error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename).parent in rooms:
            yield trace.tb_frame
        trace = trace.tb_next


def test_out_of_memory_on_a_line_is_unavailable_and_its_traceback_holds_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(text: str) -> Any:
        raise MemoryError(text)

    path = tmp_path / "source.jsonl"
    path.write_bytes(b'{"text": "my card ends in 4711"}\n')
    monkeypatch.setattr(json, "loads", out_of_memory)
    with pytest.raises(Unavailable, match="ran out of memory") as raised:
        _read(path)
    assert raised.value.__context__ is None
    frames = list(_frames_of_the_rooms(raised.value))
    assert "read" in [frame.f_code.co_name for frame in frames]
    assert not [frame for frame in frames if "4711" in repr(frame.f_locals)]
