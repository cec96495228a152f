"""Files of lines: every line is one delivery with its number, whatever it contains, in bounded memory."""

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from rawless import events, privacy
from rawless.errors import Unavailable
from rawless.events import lines
from rawless.events.event import Delivery
from rawless.events.file_format import open_text
from rawless.events.lines import Shard
from rawless.privacy import Raw, Reason, Rejected

LIMIT = 1 << 20
MARK = b"\xef\xbb\xbf"


def _fields(line: bytes) -> Raw[Mapping[str, object]]:
    if line.startswith(b"bad"):
        raise Rejected(Reason.MALFORMED_EVENT)
    return Raw({"line": line})


def _read(path: Path, count: int = 500, limit: int = LIMIT) -> list[Delivery]:
    return [delivery for shard in lines.shards(path, count) for delivery in lines.read(path, shard, limit, _fields)]


def _fields_or_reason(delivery: Delivery) -> Any:
    """Return the reason, or else the line."""
    return delivery.fields.reveal()["line"] if isinstance(delivery.fields, Raw) else delivery.fields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def read_lines(path: Path) -> Callable[..., list[Any]]:
    """Returns a function that writes these bytes to a file and returns the outcome of each line."""

    def read(content: bytes, **options: int) -> list[Any]:
        path.write_bytes(content)
        return [_fields_or_reason(delivery) for delivery in _read(path, **options)]

    return read


def test_the_deliveries_carry_number_size_and_fields(path: Path) -> None:
    path.write_bytes(b"first\nbad\n\xc3\xa9")
    assert [(delivery.message_id, delivery.size, _fields_or_reason(delivery)) for delivery in _read(path)] == [
        ("1", 6, b"first\n"),
        ("2", 4, Reason.MALFORMED_EVENT),
        ("3", 2, b"\xc3\xa9"),
    ]


def test_a_byte_order_mark_is_skipped_at_the_beginning_only(read_lines: Callable[..., list[Any]]) -> None:
    assert read_lines(MARK + b"a\n" + MARK + b"b\n", count=1) == [b"a\n", MARK + b"b\n"]


# --- shards

_content = st.lists(
    st.sampled_from([b"\n", b"\n\n", b"a", b"bad", b"\r\n", b"\r", b"\xff", MARK, b"\0", b"\x85"])
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
def test_the_shards_cover_every_line_once_and_in_order(path: Path, content: bytes, count: int) -> None:
    path.write_bytes(content)
    with open_text(path) as file:
        assume(file.seekable())  # else the bytes begin like those of a compressed file
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    shards = list(lines.shards(path, count))
    assert all(1 <= shard.lines <= count for shard in shards)
    assert [shard.first for shard in shards] == list(range(1, len(expected) + 1, count))
    assert [shard.offset for shard in shards] == [
        sum(len(line) + 1 for line in expected[:start]) for start in range(0, len(expected), count)
    ]

    deliveries = [delivery for shard in reversed(shards) for delivery in lines.read(path, shard, LIMIT, _fields)]
    texts = [expected[0].removeprefix(MARK), *expected[1:]] if expected else []
    numbers = [number for number, text in enumerate(texts, start=1) if text.strip()]
    assert sorted(int(delivery.message_id) for delivery in deliveries) == numbers
    for delivery in deliveries:
        line = expected[int(delivery.message_id) - 1]
        whole = line.removeprefix(MARK) if delivery.message_id == "1" else line
        outcome = Reason.MALFORMED_EVENT if whole.startswith(b"bad") else whole
        assert (
            _fields_or_reason(delivery) in (outcome, whole + b"\n")
            if isinstance(outcome, bytes)
            else _fields_or_reason(delivery) is outcome
        )


@pytest.mark.parametrize(("content", "counts"), [(b"1\n2\n3\n", [2, 1]), (b"1\n2\n3", [2, 1]), (b"1\n2\n", [2])])
def test_a_shard_says_how_many_lines_it_has(content: bytes, counts: list[int], path: Path) -> None:
    path.write_bytes(content)
    assert [shard.lines for shard in lines.shards(path, 2)] == counts


@pytest.mark.parametrize("before", [-1, 0, 1])
def test_a_line_end_at_the_edge_of_a_chunk_is_found(before: int, path: Path) -> None:
    line = b"a" * ((1 << 20) - 1 + before) + b"\n"
    path.write_bytes(line + b"{}\n{}")
    assert [shard.offset for shard in lines.shards(path, 1)] == [0, len(line), len(line) + 3]
    assert [_fields_or_reason(delivery) for delivery in _read(path, 1, 1 << 22)] == [line, b"{}\n", b"{}"]


def test_a_shard_is_read_independently_of_the_others(path: Path) -> None:
    path.write_bytes(b"".join(b"%d\n" % number for number in range(10)))
    third = list(lines.shards(path, 3))[2]
    assert [
        (delivery.message_id, _fields_or_reason(delivery)) for delivery in lines.read(path, third, LIMIT, _fields)
    ] == [
        ("7", b"6\n"),
        ("8", b"7\n"),
        ("9", b"8\n"),
    ]


# --- long lines


@pytest.mark.parametrize("length", [101, 102, 5000, 3 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_over_the_limit_is_too_large_while_its_neighbours_go_through(
    length: int, end: bytes, path: Path
) -> None:
    long = b"a" * (length - len(end)) + end
    path.write_bytes(b"1\n" + long + b"2\n" + long + b"3")
    deliveries = _read(path, 2, limit=100)
    too_large = Reason.PAYLOAD_TOO_LARGE
    assert [_fields_or_reason(delivery) for delivery in deliveries] == [b"1\n", too_large, b"2\n", too_large, b"3"]
    assert [delivery.message_id for delivery in deliveries] == ["1", "2", "3", "4", "5"]
    assert deliveries[1].size == len(long)


def test_a_long_last_line_without_an_end_is_too_large(read_lines: Callable[..., list[Any]]) -> None:
    assert read_lines(b"{}\n" + b"a" * 5000, limit=100) == [b"{}\n", Reason.PAYLOAD_TOO_LARGE]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "unended"])
def test_a_line_of_exactly_the_limit_is_parsed(end: bytes, read_lines: Callable[..., list[Any]]) -> None:
    line = b"a" * (100 - len(end)) + end
    assert read_lines(line, limit=100) == [line]


def test_a_huge_line_is_skipped_in_bounded_memory(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"1\n")
        for _ in range(64):
            file.write(b"a" * (1 << 20))
        file.write(b"\n2\n")
    tracemalloc.start()
    try:
        outcome = [_fields_or_reason(delivery) for delivery in _read(path, 1, limit=1 << 16)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome == [b"1\n", Reason.PAYLOAD_TOO_LARGE, b"2\n"]
    assert peak < 8 << 20


def test_many_lines_are_read_in_bounded_memory(path: Path) -> None:
    path.write_bytes((b"a" * 10_000 + b"\n") * 3000)  # 30 MB
    tracemalloc.start()
    try:
        count = sum(1 for shard in lines.shards(path) for _ in lines.read(path, shard, LIMIT, _fields))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3000
    assert peak < 8 << 20


# --- a source that becomes unavailable


def test_a_file_that_vanishes_is_unavailable_and_not_empty(path: Path) -> None:
    path.write_bytes(b"{}\n")
    [shard] = lines.shards(path)
    path.unlink()
    with pytest.raises(Unavailable, match="could not be opened"):
        list(lines.shards(path))
    with pytest.raises(Unavailable, match="could not be opened") as raised:
        list(lines.read(path, shard, LIMIT, _fields))
    assert raised.value.__cause__ is None


def test_a_file_that_became_a_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not be opened"):
        list(lines.read(tmp_path, Shard(0, 1, 1), LIMIT, _fields))


def test_a_file_that_became_shorter_is_unavailable(path: Path) -> None:
    path.write_bytes(b"1\n2\n3\n")
    [shard] = lines.shards(path)
    path.write_bytes(b"1\n2\n")
    read = lines.read(path, shard, LIMIT, _fields)
    assert [_fields_or_reason(next(read)), _fields_or_reason(next(read))] == [b"1\n", b"2\n"]
    with pytest.raises(Unavailable, match=r"changed or could not be read at line 3; run again\.$"):
        next(read)


def _frames_of_the_rooms(error: BaseException) -> Iterator[FrameType]:
    rooms = {Path(module.__file__ or "").parent for module in (events, privacy)}
    trace = error.__traceback__
    while trace:
        if not rooms.isdisjoint(Path(trace.tb_frame.f_code.co_filename).parents):
            yield trace.tb_frame
        trace = trace.tb_next


def test_out_of_memory_on_a_line_is_unavailable_without_the_line_in_its_traceback(path: Path) -> None:
    def out_of_memory(line: bytes) -> Any:
        raise MemoryError(line)

    path.write_bytes(b"my card ends in 4711\n")
    with pytest.raises(Unavailable, match="ran out of memory") as raised:
        list(lines.read(path, Shard(0, 1, 1), LIMIT, out_of_memory))
    assert raised.value.__context__ is None
    frames = list(_frames_of_the_rooms(raised.value))
    assert "read" in [frame.f_code.co_name for frame in frames]
    assert not [frame for frame in frames if "4711" in repr(frame.f_locals)]
