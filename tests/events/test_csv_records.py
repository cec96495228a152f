"""Records of CSV files: each is delivered once with the number of its first line, and none hides another."""

import csv
import io
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rawless.events import csv_records
from rawless.events import lines as lines_of_files
from rawless.events.csv_records import Record, Records
from rawless.privacy import Raw, Reason

MALFORMED = Reason.MALFORMED_EVENT


def _values(record: Record) -> Any:
    return record.values.reveal() if isinstance(record.values, Raw) else record.values


def _in_one_pass(content: bytes) -> list[Record]:
    records = Records(io.BytesIO(content), 1, ",")
    return list(iter(records.next, None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.csv"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(1, [])]),
        (b"\xef\xbb\xbf", [(1, [])]),
        (b'a,"b\nc"\nd,e', [(1, ["a", "b\nc"]), (3, ["d", "e"])]),
        (b'a,"b\r\n\r\nc"\r\nd,e\r\n', [(1, ["a", "b\r\n\r\nc"]), (4, ["d", "e"])]),
        (b'"a ""b""\n",c\n', [(1, ['a "b"\n', "c"])]),
        (b'"a\n","b\n"\nc,d\n', [(1, ["a\n", "b\n"]), (4, ["c", "d"])]),
        (b'5" screen,b\nc,d\n', [(1, ['5" screen', "b"]), (2, ["c", "d"])]),
        (b'"open,b\nc,d\ne,f\n', [(1, MALFORMED), (2, ["c", "d"]), (3, ["e", "f"])]),
        (b'a,"open\nc,d\ne,"f"\n', [(1, MALFORMED), (2, ["c", "d"]), (3, ["e", "f"])]),
        (b'"open\n"a\nb",c\nd,e\n', [(1, MALFORMED), (2, ["a\nb", "c"]), (4, ["d", "e"])]),
        (b'"a"b,c\nd,e\n', [(1, MALFORMED), (2, ["d", "e"])]),
    ],
    ids=repr,
)
def test_a_record_has_its_values_and_the_number_of_its_first_line(content: bytes, expected: list[Any]) -> None:
    assert [(record.number, _values(record)) for record in _in_one_pass(content)] == expected


_cells = st.text(st.sampled_from('a,";\n\r\té ') | st.characters(codec="utf-8"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(st.lists(_cells, min_size=2, max_size=3), max_size=8), st.sampled_from(["\n", "\r\n"]), st.integers(1, 3)
)
def test_the_output_of_a_csv_writer_is_read_unchanged(path: Path, rows: list[list[str]], end: str, lines: int) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    path.write_bytes(buffer.getvalue().encode())
    shards = list(csv_records.shards(path, ",", lines))
    records = [record for shard in shards for record in csv_records.read(path, shard, ",")]
    assert [_values(record) for record in records] == rows


_soup = st.lists(
    st.sampled_from([b"\n", b'"', b'"\n', b",", b"a", b'x","\n', b'""', b"\r", b"\xff", b"a" * 9]), max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(_soup.map(b"".join), st.integers(1, 3), st.sampled_from([8, 20, 1000]), st.sampled_from([1, 5, 1000]))
@example(b'x","\n' * 5 + b'""a\n', 1, 1000, 1000)
@example(b'"\n' + b'x","\n' * 3 + b'aa"\n', 1, 20, 1000)
@example(b"a\n" * 5 + b'"b\nc"\n', 2, 1000, 3)
def test_the_shards_of_any_bytes_have_the_same_records_as_one_pass(
    path: Path, content: bytes, lines: int, limit: int, chunk: int
) -> None:
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "RECORD_LIMIT", limit)
        patch.setattr(lines_of_files, "_CHUNK", chunk)
        whole = _in_one_pass(content)
        shards = list(csv_records.shards(path, ",", lines))
        parts = [record for shard in reversed(shards) for record in csv_records.read(path, shard, ",")]
    parts.sort(key=lambda record: record.number)
    assert [(each.number, each.lines, each.size, _values(each)) for each in parts] == [
        (each.number, each.lines, each.size, _values(each)) for each in whole
    ]
    assert sum(record.size for record in whole) == len(content)
    following = [1, *(record.number + record.lines for record in whole)]
    assert [record.number for record in whole] == following[:-1]
    assert following[-1] - 1 == content.count(b"\n") + (not content.endswith((b"\n",)) and content != b"")


def test_quotes_that_nothing_closes_are_read_in_linear_time() -> None:
    content = b'x","\n' * 6000 + b'""a\n'  # each line opens a quote, which the next would close and open again
    started = time.process_time()
    records = _in_one_pass(content)
    assert time.process_time() - started < 1
    assert [_values(record) for record in records] == [MALFORMED] * 6001


def test_an_open_quote_is_followed_in_bounded_memory(path: Path) -> None:
    path.write_bytes(b'"open\n' + (b"a" * 2000 + b"\n") * 5000)
    tracemalloc.start()
    try:
        count = sum(1 for shard in csv_records.shards(path, ",") for _ in csv_records.read(path, shard, ","))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 5001
    assert peak < 4 << 20
