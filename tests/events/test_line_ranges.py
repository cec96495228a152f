"""Byte ranges of files of lines: each line belongs to one range, whatever it contains, and no pass is made before."""

import gzip
import io
import random
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rawless.errors import Unavailable, UserError
from rawless.events import cloud_objects, line_ranges
from rawless.events.event import Delivery
from rawless.events.file_set import FileSet
from rawless.events.line_ranges import ByteRange, RangeReader
from rawless.events.source import read_all
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason, Rejected
from tests.object_server import Store

MARK = b"\xef\xbb\xbf"
STREAM = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))
SOURCE = "jsonl:gs://bucket/2026/*.jsonl*"


def _fields(line: bytes) -> Raw[Mapping[str, object]]:
    if line.startswith(b"bad"):
        raise Rejected(Reason.MALFORMED_EVENT)
    return Raw({"line": line})


def _outcome(delivery: Delivery) -> Any:
    return delivery.fields.reveal()["line"] if isinstance(delivery.fields, Raw) else delivery.fields


def _reader(files: str, size: int, limit: int = 1 << 20) -> RangeReader:
    return RangeReader(FileSet(files), limit, _fields, lambda head, where: None, size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


_line = st.sampled_from([b"", b" ", b"a", b"bad", b"\r", b"a\r", b"\xff", MARK, b"\0", b"x" * 40, b"y" * 300])
_line |= st.binary(max_size=12).map(lambda line: line.replace(b"\n", b""))
_content = st.builds(
    lambda mark, lines, end: mark + b"\n".join(lines) + end,
    st.sampled_from([b"", MARK]),
    st.lists(_line, max_size=12),
    st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]),
)


@settings(max_examples=60)
@given(content=_content, size=st.integers(1, 50), limit=st.sampled_from([8, 1 << 20]))
@example(content=b"\n", size=1, limit=8)
@example(content=b"a\nb\nc", size=2, limit=8)
@example(content=b"a" * 300, size=7, limit=8)
@example(content=b"\n" * 9, size=3, limit=8)
def test_every_line_belongs_to_exactly_one_range(folder: Path, content: bytes, size: int, limit: int) -> None:
    (folder / "a").write_bytes(content)
    reader = _reader(f"{folder}/[a]", size, limit)
    shards = list(reader.shards())
    assert [(each.start, each.end) for each in shards] == [
        (start, min(start + size, len(content))) for start in range(0, len(content), size)
    ]
    expected, offset = {}, 0
    for line in io.BytesIO(content):
        text = line.removeprefix(MARK) if offset == 0 else line
        if len(line) > limit:
            expected[f"1:{offset}"] = Reason.PAYLOAD_TOO_LARGE
        elif text.strip():
            expected[f"1:{offset}"] = Reason.MALFORMED_EVENT if text.startswith(b"bad") else text
        offset += len(line)
    read = [(shard, each) for shard in reversed(shards) for each in reader.read(shard)]
    assert len(read) == len(expected)
    assert {each.message_id: _outcome(each) for _, each in read} == expected
    assert all(shard.start <= int(each.message_id.split(":")[1]) < shard.end for shard, each in read)


def test_a_huge_line_is_skipped_in_constant_memory_and_its_ranges_are_empty(folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.write(b"1\n" + b"a" * (64 << 20) + b"\n2\n")
    reader = _reader(f"{folder}/hug?", 8 << 20, limit=1 << 16)
    tracemalloc.start()
    try:
        outcome = [[_outcome(each) for each in reader.read(shard)] for shard in reader.shards()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome == [[b"1\n", Reason.PAYLOAD_TOO_LARGE], *[[]] * 7, [b"2\n"]]
    assert peak < 8 << 20


# --- objects


def _events(first: int, count: int) -> bytes:
    return b"".join(b'{"event_id": "e%d", "text": "t"}\n' % number for number in range(first, first + count))


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content))


def _ids(deliveries: Any) -> list[Any]:
    return [each.fields.reveal()["event_id"] if isinstance(each.fields, Raw) else each.fields for each in deliveries]


def test_objects_are_read_whatever_compresses_them_and_their_names(store: Store) -> None:
    store.put("2026/a.jsonl", _events(0, 10))
    store.put("2026/b.jsonl.gz", gzip.compress(_events(10, 10)))
    store.put("2026/c.jsonl.zst", _zstd(_events(20, 10)))
    store.put("2026/d.jsonl", gzip.compress(_events(30, 10)), encoding="gzip")
    store.put("2026/e.jsonl.gz", _events(40, 10))
    store.put("2026/f.jsonl", b"")
    deliveries = list(read_all(open_bounded_source(SOURCE, STREAM)))
    assert _ids(deliveries) == [f"e{number}" for number in range(50)]
    assert [each.message_id for each in deliveries[8:12]] == ["1:256", "1:288", "2:0", "2:33"]


def test_a_compressed_object_without_a_suffix_is_read_by_its_first_range(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("2026/a.jsonl", gzip.compress(_events(0, 1000)))
    source = open_bounded_source(SOURCE, STREAM)
    reader = RangeReader(source.files, 1 << 20, source.reader().fields, source.reader().check, 500)  # type: ignore[attr-defined]
    first, *others = reader.shards()
    assert len(others) > 2
    assert _ids(reader.read(first)) == [f"e{number}" for number in range(1000)]
    assert [list(reader.read(shard)) for shard in others] == [[]] * len(others)


def test_shards_contain_no_name_and_no_bytes_are_read_for_them(store: Store) -> None:
    stored = store.put("2026/Rosalind-0815.jsonl", _events(0, 10))
    source = open_bounded_source(SOURCE, STREAM)
    store.asked.clear()
    [shard] = source.reader().shards()
    assert shard == ByteRange(1, str(stored.generation), 0, 320)
    assert [path for path in store.asked if "alt=media" in path] == []


def test_a_small_object_is_read_by_one_request(store: Store) -> None:
    store.put("2026/a.jsonl.gz", gzip.compress(_events(0, 1000)))
    reader = open_bounded_source(SOURCE, STREAM).reader()
    [shard] = reader.shards()
    store.asked.clear()
    assert len(list(reader.read(shard))) == 1000
    assert len([path for path in store.asked if "alt=media" in path]) == 1


def test_a_range_is_read_by_one_request_beside_that_for_the_first_bytes(store: Store) -> None:
    store.put("2026/a.jsonl", (b'{"text": "' + b"a" * 9_990 + b'"}\n') * 2000)
    reader = open_bounded_source(SOURCE, STREAM).reader()
    _, second, _ = reader.shards()
    assert len(list(reader.read(second))) > 500
    assert len([path for path in store.asked if "alt=media" in path]) == 1 + 2


def test_objects_that_come_and_go_leave_the_places_of_others(store: Store) -> None:
    store.put("2026/a.jsonl", _events(0, 1))
    store.put("2026/b.jsonl", _events(1, 1))
    reader = open_bounded_source(SOURCE, STREAM).reader()
    _, second = reader.shards()
    del store.objects["bucket/2026/a.jsonl"]
    store.put("2026/b0.jsonl", _events(2, 1))
    assert _ids(reader.read(second)) == ["e1"]


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_an_object_that_changes_between_listing_and_reading_is_unavailable(change: str, store: Store) -> None:
    store.put("2026/a.jsonl", _events(0, 1))
    store.put("2026/b.jsonl", _events(1, 1))
    reader = open_bounded_source(SOURCE, STREAM).reader()
    first, second = reader.shards()
    list(reader.read(second))  # this process has listed the objects
    del store.objects["bucket/2026/a.jsonl"]
    if change == "changed":
        store.put("2026/a.jsonl", _events(5, 1))
    with pytest.raises(Unavailable) as raised:
        list(reader.read(first))
    assert str(raised.value) in (
        "file 1 of gs://bucket/2026/*.jsonl*: an object was changed or deleted after it was listed; run again.",
        "A file of gs://bucket/2026/*.jsonl* was changed or deleted after it was listed; run again.",
    )


@pytest.mark.parametrize("status", [403, 503])
def test_an_object_that_cannot_be_read_is_unavailable(
    status: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_objects, "RETRY_SECONDS", 0.1)
    store.put("2026/a.jsonl", _events(0, 1))
    store.put("2026/b.jsonl.gz", gzip.compress(_events(0, 1)), media_status=[status])
    reader = open_bounded_source(SOURCE, STREAM).reader()
    _, second = reader.shards()
    with pytest.raises(Unavailable, match=r"^file 2 of gs://bucket/2026/\*\.jsonl\*: an object cannot be read \("):
        list(reader.read(second))


def test_an_object_that_becomes_unreadable_while_it_is_decompressed_is_unavailable_and_not_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_objects, "CHUNK", 10_000)
    store.put("2026/a.jsonl.gz", gzip.compress(random.Random(1).randbytes(1 << 18).hex().encode() + b"\n{}\n"))
    reader = open_bounded_source(SOURCE, STREAM).reader()
    [shard] = reader.shards()
    store.objects["bucket/2026/a.jsonl.gz"].media_status = [*[200] * 12, 403]
    with pytest.raises(Unavailable, match=r"cannot be read \(Forbidden\)"):
        list(reader.read(shard))


REFUSED = {
    "a cut gzip": (
        gzip.compress(_events(0, 20_000))[:-9],
        r"The data of file 2 of .* is damaged or cut off \(gzip\): copy the file again\.",
    ),
    "a cut zstd": (_zstd(_events(0, 20_000))[:-9], r"The data of file 2 of .* is damaged or cut off \(zstd\): "),
    "Parquet": (b"PAR1" + bytes(100), r"--source names file 2 of .*, but that is a Parquet file: convert it to JSON L"),
    "Parquet, compressed": (gzip.compress(b"PAR1" + bytes(100)), r"--source names file 2 of .* is a Parquet file: "),
    "UTF-16": ('{"a": 1}\n'.encode("utf-16"), r"--source names file 2 of .*, but its text is UTF-16"),
    "an array": (b'[{"a": 1}]', r"--source names file 2 of .*, but that is a JSON array: "),
    "compressed twice": (gzip.compress(gzip.compress(b"{}")), r"--source names file 2 of .* is compressed by gzip tw"),
}


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_an_object_of_a_wrong_kind_is_refused_by_its_position(content: bytes, sentence: str, store: Store) -> None:
    store.put("2026/Rosalind-0.jsonl", _events(0, 1))
    store.put("2026/Rosalind-1.jsonl", content)
    reader = open_bounded_source(SOURCE, STREAM).reader()
    _, second = reader.shards()
    with pytest.raises(UserError, match=f"^{sentence}") as refused:
        list(reader.read(second))
    assert "Rosalind" not in str(refused.value)
    assert refused.value.__context__ is None


def test_the_first_file_is_checked_before_a_job_starts(store: Store) -> None:
    store.put("2026/a.jsonl", b"")
    store.put("2026/b.jsonl", b"PAR1" + bytes(100))
    with pytest.raises(UserError, match=r"^--source names file 2 of gs://.*, but that is a Parquet file: "):
        open_bounded_source(SOURCE, STREAM)


def test_a_pattern_without_files_is_refused(store: Store, tmp_path: Path) -> None:
    store.put("2025/a.jsonl", b"")
    for pattern in ("gs://bucket/2026/*.jsonl", "gs://bucket/2026/a.jsonl", f"{tmp_path}/*.jsonl", f"{tmp_path}/no/*"):
        with pytest.raises(UserError) as refused:
            open_bounded_source(f"jsonl:{pattern}", STREAM)
        assert str(refused.value) == f"--source names {pattern}, but that matches no file: check the pattern."


def test_a_store_that_fails_now_and_then_is_read_whole(store: Store) -> None:
    store.page_size = 7
    for number in range(16):
        store.put(f"2026/{number:02}.jsonl.gz", gzip.compress(_events(number, 1)), media_status=[503, 200], cut=1)
    assert _ids(read_all(open_bounded_source(SOURCE, STREAM))) == [f"e{number}" for number in range(16)]


# --- local files


def test_local_files_are_read_in_the_order_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        (tmp_path / f"{9 - number}.jsonl").write_bytes(_events(9 - number, 1))
    monkeypatch.chdir(tmp_path)
    source = open_bounded_source("jsonl:*.jsonl", STREAM)
    monkeypatch.chdir("/")  # a worker has another current folder
    deliveries = list(read_all(source))
    assert _ids(deliveries) == [f"e{number}" for number in range(10)]
    assert [each.message_id for each in deliveries] == [f"{number}:0" for number in range(1, 11)]


def test_a_local_file_that_changes_after_it_was_listed_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_events(0, 2))
    reader = open_bounded_source(f"jsonl:{tmp_path}/*.jsonl", STREAM).reader()
    [shard] = reader.shards()
    (tmp_path / "a.jsonl").write_bytes(_events(0, 3))
    with pytest.raises(Unavailable, match=r"^A file of .*\*\.jsonl was changed or deleted after it was listed; run ag"):
        list(reader.read(shard))


def test_a_file_whose_name_has_the_characters_of_a_pattern_is_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_bytes(_events(0, 1))
    [delivery] = read_all(open_bounded_source(f"jsonl:{tmp_path}/a[1].jsonl", STREAM))
    assert delivery.message_id == "1"


def test_many_lines_of_many_files_are_read_in_bounded_memory(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jsonl.gz").write_bytes(gzip.compress((b'{"text": "' + b"a" * 9_990 + b'"}\n') * 1000))
    reader = open_bounded_source(f"jsonl:{tmp_path}/*", STREAM).reader()
    tracemalloc.start()
    try:
        count = sum(1 for shard in reader.shards() for _ in reader.read(shard))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 4000
    assert peak < 8 << 20


def test_ranges_and_their_last_lines_are_one_request() -> None:
    assert line_ranges.RANGE + line_ranges._REST == cloud_objects.CHUNK
