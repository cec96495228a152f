"""Kinds of files: compressed lines are read like plain ones, and what is no text is refused by its first bytes."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from rawless.errors import Unavailable, UserError
from rawless.events import file_format, lines
from rawless.events.source import read_all
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.privacy import Raw

STREAM = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))


def events(count: int) -> bytes:
    return b"".join(
        b'{"event_id": "e%d", "text": "%s"}\n' % (number, os.urandom(4).hex().encode()) for number in range(count)
    )


def _lz4(content: bytes) -> bytes:
    written = pa.BufferOutputStream()
    with pa.CompressedOutputStream(written, "lz4") as stream:
        stream.write(content)
    return bytes(written.getvalue())


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content))


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in two members": lambda content: gzip.compress(content[:50]) + gzip.compress(content[50:]),
    "zstd": _zstd,
    "zstd after a skippable frame": lambda content: b"\x50\x2a\x4d\x18\x04\0\0\0meta" + _zstd(content),
    "bz2": bz2.compress,
    "lz4": _lz4,
}


def read(path: Path) -> list[Any]:
    """Return the message id and the event id of each delivery."""
    deliveries = read_all(open_bounded_source(f"jsonl:{path}", STREAM))
    return [(each.message_id, each.fields.reveal()["event_id"]) for each in deliveries if isinstance(each.fields, Raw)]


@pytest.mark.parametrize("name", ["events.jsonl.gz", "events.jsonl"])
@pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)
def test_compressed_lines_are_read_like_plain_ones_whatever_their_name(
    compress: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(compress(events(30)))
    assert read(path) == [(str(number + 1), f"e{number}") for number in range(30)]


def test_each_shard_of_a_compressed_file_is_read_independently_and_there_are_few(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(events(1000)))
    shards = list(lines.shards(path, 10))
    assert [(shard.first, shard.lines) for shard in shards] == [
        *[(first, 70) for first in range(1, 981, 70)],
        (981, 20),
    ]
    assert len(shards) <= lines.MAX_COMPRESSED_SHARDS
    read = [
        each for shard in reversed(shards) for each in lines.read(path, shard, 1 << 20, lambda line: Raw({"": line}))
    ]
    assert sorted(int(each.message_id) for each in read) == list(range(1, 1001))
    content = {int(each.message_id): each.fields.reveal()[""] for each in read}  # type: ignore[union-attr]
    assert b"".join(content[number] for number in sorted(content)) == gzip.decompress(path.read_bytes())  # type: ignore[misc]


@pytest.mark.parametrize("name", ["gzip", "zstd", "bz2"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:-9] + b"Rosalind-"], ids=["cut", "changed"]
)
def test_damaged_data_is_reported_before_any_event_is_read(
    name: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(damage(COMPRESSORS[name](events(3000))))
    with pytest.raises(UserError) as refused:
        next(read_all(open_bounded_source(f"jsonl:{path}", STREAM)))
    assert str(refused.value) == f"The data of {path} is damaged or cut off ({name}): copy the file again."
    assert refused.value.__context__ is None


def test_a_bomb_is_refused_before_any_event_is_read_and_in_constant_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_format, "SMALLEST_LIMIT", 1 << 24)
    path = tmp_path / "events.jsonl"
    path.write_bytes(gzip.compress(events(1) + b" " * (1 << 25)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r" decompresses to over 200 times its size and 16,777,216 bytes: if "):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_compressed_file_that_changes_after_the_check_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(gzip.compress(events(1000)))
    source = open_bounded_source(f"jsonl:{path}", STREAM)
    reader = source.reader()
    *_, last = reader.shards()
    path.write_bytes(gzip.compress(events(10)))
    with pytest.raises(Unavailable, match=r"changed or could not be read at line 501; run again\.$"):
        list(reader.read(last))


def _written(write: Callable[[io.BytesIO], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _tar(buffer: io.BytesIO) -> None:
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("events.jsonl"), io.BytesIO(b""))


TABLE = pa.table({"event_id": ["a"], "text": ["b"]})
TEXT = '{"event_id": "a"}\n'
REFUSED = {
    "Parquet": (_written(lambda file: pa.parquet.write_table(TABLE, file)), "that is a Parquet file: convert it to "),
    "Avro": (b"Obj\x01\x04\x14avro.codec", "that is an Avro file: convert it to JSON Lines in UTF-8."),
    "Arrow": (_written(lambda file: pa.ipc.new_file(file, TABLE.schema).close()), "that is an Arrow file: convert it "),
    "zip": (_written(lambda file: zipfile.ZipFile(file, "w").writestr("a", "b")), "that is a zip archive, as Excel "),
    "tar": (_written(_tar), "that is a tar archive: convert it to JSON Lines in UTF-8."),
    "tar.gz": (gzip.compress(_written(_tar)), "that is a tar archive: convert it to JSON Lines in UTF-8."),
    "xz": (lzma.compress(TEXT.encode()), "that is compressed by xz: convert it to JSON Lines in UTF-8."),
    "gzip twice": (gzip.compress(gzip.compress(b"")), "that is compressed by gzip twice: convert it to "),
    "a JSON array": (b'\n [{"event_id": "a"}]', "that is a JSON array: write each event on a line, as in `jq -c "),
    "indented JSON": (json.dumps({"a": 1}, indent=2).encode(), "its JSON objects are on several lines each: "),
    "UTF-16": (TEXT.encode("utf-16"), "its text is UTF-16: convert it, as in `iconv -f UTF-16 -t UTF-8`."),
    "UTF-16, compressed": (gzip.compress(TEXT.encode("utf-16")), "its text is UTF-16: convert it, as in `iconv "),
    "UTF-16LE": (TEXT.encode("utf-16-le"), "its text is UTF-16LE: convert it, as in `iconv -f UTF-16LE -t UTF-8`."),
    "UTF-16BE": (TEXT.encode("utf-16-be"), "its text is UTF-16BE: convert it, as in `iconv -f UTF-16BE -t UTF-8`."),
    "UTF-32": (TEXT.encode("utf-32"), "its text is UTF-32: convert it, as in `iconv -f UTF-32 -t UTF-8`."),
    "UTF-32LE": (TEXT.encode("utf-32-le"), "its text is UTF-32LE: convert it, as in `iconv -f UTF-32LE -t UTF-8`."),
    "UTF-32BE": (TEXT.encode("utf-32-be"), "its text is UTF-32BE: convert it, as in `iconv -f UTF-32BE -t UTF-8`."),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_json_lines_is_refused_by_what_it_is(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        open_bounded_source(f"jsonl:{path}", STREAM)
    assert str(refused.value).startswith(f"--source names {path}, but {sentence}")


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b"", mtime=0), b"\0\0\0\0", b"\xff{}", b"{", b"{}\n[1]", b'{"a": "\xff\xfe"}']
)
def test_other_files_are_read_line_by_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    open_bounded_source(f"jsonl:{path}", STREAM).check()
