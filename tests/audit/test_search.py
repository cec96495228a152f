"""The search for content finds a planted leak in every spelling, and nothing where there is none."""

import base64
import bz2
import codecs
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.audit.search import Search
from rawless.audit.spellings import FRAGMENT, SHORTEST, spelled
from rawless.warehouse.client import Warehouse
from tests.audit.planted import planted_contents

CONTENT = "My card 4711-0815 was charged twice — Zoë, 東京".encode()
LISTED = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
Cells = list[bytes]


def _plain(cells: Cells) -> bytes:
    return b"\n".join(cells)


def _zip(cells: Cells) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, cell in enumerate(cells):
            archive.writestr(f"member-{number}", cell)
    return file.getvalue()


def _tar(cells: Cells) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for number, cell in enumerate(cells):
            member = tarfile.TarInfo(f"member-{number}")
            member.size = len(cell)
            archive.addfile(member, io.BytesIO(cell))
    return file.getvalue()


def _compressed(codec: str) -> Callable[[Cells], bytes]:
    def write(cells: Cells) -> bytes:
        file = pa.BufferOutputStream()
        with pa.CompressedOutputStream(file, codec) as stream:
            stream.write(_plain(cells))
        return bytes(file.getvalue())

    return write


def _parquet(cells: Cells) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(_table(cells), file, compression="zstd")
    return file.getvalue()


def _arrow(
    open_writer: Callable[..., pa.ipc.RecordBatchFileWriter | pa.ipc.RecordBatchStreamWriter], codec: str
) -> Callable[[Cells], bytes]:
    def write(cells: Cells) -> bytes:
        file = io.BytesIO()
        table = _table(cells)
        with open_writer(file, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_table(table)
        return file.getvalue()

    return write


def _table(cells: Cells) -> pa.Table:
    """The cells in columns of every kind: plain, nested, with a dictionary, and as numbers."""
    kinds = [cells[number::5] for number in range(5)]
    return pa.table(
        {
            "plain": _padded(pa.array(kinds[0], pa.binary()), len(cells)),
            "list": _padded(pa.array([[cell] for cell in kinds[1]], pa.list_(pa.large_binary())), len(cells)),
            "struct": _padded(pa.array([{"a": {"b": cell}} for cell in kinds[2]]), len(cells)),
            "dictionary": _padded(pa.array(kinds[3], pa.binary()).dictionary_encode(), len(cells)),
            "numbers": _padded(pa.array([list(cell) for cell in kinds[4]], pa.list_(pa.float64())), len(cells)),
        }
    )


def _padded(array: pa.Array, length: int) -> pa.Array:
    return pa.concat_arrays([array, pa.nulls(length - len(array), array.type)])


def _duckdb(cells: Cells, folder: Path) -> bytes:
    with duckdb.connect(str(folder / "made.duckdb")) as database:
        database.execute("CREATE SCHEMA deep; CREATE TABLE deep.notes (note BLOB)")
        database.executemany("INSERT INTO deep.notes VALUES (?)", [[cell] for cell in cells])
    return (folder / "made.duckdb").read_bytes()


def _sqlite(cells: Cells, folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.sqlite") as database:
        database.execute("CREATE TABLE notes (note BLOB)")
        database.executemany("INSERT INTO notes VALUES (?)", [(cell,) for cell in cells])
    database.close()
    return (folder / "made.sqlite").read_bytes()


FORMATS: dict[str, Callable[[Cells, Path], bytes]] = {
    "a plain file": lambda cells, _: _plain(cells),
    "gzip": lambda cells, _: gzip.compress(_plain(cells)),
    "zlib": lambda cells, _: zlib.compress(_plain(cells), 9),
    "streams in a log": lambda cells, _: b"\n".join(b"line " + zlib.compress(cell) for cell in cells),
    "gzip cut off": lambda cells, _: gzip.compress(_plain([*cells, bytes(range(256)) * 9]))[:-40],
    "bzip2": lambda cells, _: bz2.compress(_plain(cells)),
    "xz": lambda cells, _: lzma.compress(_plain(cells)),
    "zstd": lambda cells, _: _compressed("zstd")(cells),
    "lz4": lambda cells, _: _compressed("lz4")(cells),
    "zip": lambda cells, _: _zip(cells),
    "tar.gz": lambda cells, _: _tar(cells),
    "zip in zip": lambda cells, _: _zip([_zip(cells)]),
    "Parquet": lambda cells, _: _parquet(cells),
    "Arrow": lambda cells, _: _arrow(pa.ipc.new_file, "lz4")(cells),
    "Arrow stream": lambda cells, _: _arrow(pa.ipc.new_stream, "zstd")(cells),
    "gzip in Parquet": lambda cells, _: _parquet([gzip.compress(cell) for cell in cells]),
    "DuckDB": _duckdb,
    "DuckDB in gzip": lambda cells, folder: gzip.compress(_duckdb(cells, folder)),
    "SQLite": _sqlite,
}
UNSEARCHABLE: dict[str, Callable[[bytes], bytes]] = {
    "base85": base64.b85encode,
    "uuencode": lambda content: codecs.encode(content, "uu"),
    "base64 of compressed data": lambda content: base64.b64encode(gzip.compress(content)),
    "numbers as fractions": lambda content: json.dumps([byte / 255 for byte in content]).encode(),
    "words apart": lambda content: b"\n".join(b"12:00 INFO " + word for word in content.split()),
    "reversed": lambda content: content[::-1],
}


@pytest.mark.parametrize("special", ["", " —é", ' "&\\\n\t'], ids=["plain", "accents", "escapes"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_planted_content_is_found_in_every_spelling_and_format(kind: str, special: str, tmp_path: Path) -> None:
    planted = planted_contents(special)
    cells = [spelled(content)[spelling] for spelling, content in planted.items()]
    file = tmp_path / "left" / "file"
    file.parent.mkdir()
    file.write_bytes(FORMATS[kind](cells, tmp_path))
    search = Search(planted.values())

    within = str(file) if kind == "a plain file" else f"{file}: "  # a part of it, not some bytes that were not packed
    found = {trace.content for trace in search.in_folder(file.parent) if trace.place.startswith(within)}

    assert [name for number, name in enumerate(planted) if number not in found] == []
    assert search.unread == set()


@pytest.mark.parametrize("spelling", UNSEARCHABLE)
def test_what_the_search_cannot_find_is_listed(spelling: str) -> None:
    assert Search([CONTENT]).in_bytes(UNSEARCHABLE[spelling](CONTENT), "log") == set()
    assert spelling in LISTED


def test_a_clean_folder_has_no_traces(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_bytes(b"card 4711, charged; 0815 twice " * 1000)

    assert Search([CONTENT]).in_folder(tmp_path) == set()


def test_a_column_of_truth_values_is_no_broken_arrow_stream() -> None:
    table = io.BytesIO()
    with pa.ipc.new_file(table, pa.schema({"truth": pa.bool_()})) as writer:
        writer.write_batch(pa.record_batch({"truth": pa.array([True] * 35 + [False] * 61)}))
    search = Search([b"a content that is somewhere else"])
    assert search.in_bytes(table.getvalue(), "table") == set()
    assert search.unread == set()


def test_a_part_of_a_content_is_found_too() -> None:
    search = Search([CONTENT])

    assert search.in_bytes(CONTENT.decode()[:FRAGMENT].encode(), "log")
    assert search.in_bytes(CONTENT.decode()[-FRAGMENT:].encode(), "log")


def test_all_contents_that_share_a_fragment_are_found() -> None:
    search = Search([CONTENT + b" once", CONTENT + b" more"])

    assert {trace.content for trace in search.in_bytes(CONTENT, "log")} == {0, 1}


def test_a_file_name_that_contains_content_is_found(tmp_path: Path) -> None:
    (tmp_path / "charged-twice-for-one-order.tmp").touch()

    assert Search([b"charged-twice-for-one-order"]).in_folder(tmp_path)


@pytest.mark.parametrize("chunk", [16, 64])
@pytest.mark.parametrize("spelling", ["as it is", "words on separate lines, as JSON", "base64 in short lines"])
def test_a_leak_across_the_border_of_two_chunks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, spelling: str
) -> None:
    monkeypatch.setattr("rawless.audit.search._CHUNK", chunk)
    search = Search([CONTENT])
    for start in range(50, 80):
        (tmp_path / "log").write_bytes(b"." * start + spelled(CONTENT)[spelling] + b"." * 100)
        assert search.in_folder(tmp_path)


def test_a_content_in_a_table_is_found_while_the_server_runs(warehouse: Warehouse, home: Path) -> None:
    """Rows, and the emulator's own catalogue, are in a compressed database that the server holds."""
    dataset = warehouse.config.events
    catalogue = b"the emulator keeps this description"
    search = Search([CONTENT, catalogue])
    warehouse.query(f"CREATE TABLE {dataset}.notes (note STRING)")
    assert search.in_folder(home) == search.unread == set()

    warehouse.query(f"INSERT INTO {dataset}.notes (note) VALUES ('{base64.b64encode(CONTENT).decode()}')")
    table = warehouse.client.get_table(f"{warehouse.config.project}.{dataset}.notes")
    table.description = catalogue.decode()
    warehouse.client.update_table(table, ["description"])

    places = {trace.content: trace.place for trace in search.in_folder(home) if "bqemulator.duckdb:" in trace.place}
    assert places[0].endswith(f"{dataset}.notes.note")
    assert "_bqemulator_catalog.tables" in places[1]
    assert search.unread == set()


def test_rows_that_a_database_has_only_in_its_log_are_found(tmp_path: Path) -> None:
    """They lie in the file beside it until a checkpoint."""
    with duckdb.connect(str(tmp_path / "open.duckdb")) as database:
        database.execute("CREATE TABLE notes (note VARCHAR)")
        database.execute("CHECKPOINT")
        database.execute("INSERT INTO notes VALUES (?)", [CONTENT.decode()])
        assert any("open.duckdb: " in trace.place for trace in Search([CONTENT]).in_folder(tmp_path))
    database = sqlite3.connect(tmp_path / "open.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE notes (note TEXT)")
    database.execute("INSERT INTO notes VALUES (?)", [CONTENT.decode()])
    database.commit()
    assert any("open.sqlite: " in trace.place for trace in Search([CONTENT]).in_folder(tmp_path))
    database.close()


def test_a_file_that_unpacks_to_too_much_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.audit.formats.source.SMALLEST_BUDGET", 1 << 16)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(CONTENT + bytes(1 << 22)))
    search = Search([CONTENT])

    assert search.in_folder(tmp_path)
    (unread,) = search.unread
    assert unread.startswith(f"{tmp_path / 'bomb.gz'}: ")


def test_formats_without_end_within_each_other_are_named() -> None:
    data = CONTENT
    for _ in range(9):
        data = gzip.compress(data)
    search = Search([CONTENT])

    assert search.in_bytes(data, "matryoshka") == set()
    assert len(search.unread) == 1


@pytest.mark.parametrize("kind", ["Parquet", "DuckDB", "SQLite", "zip", "xz"])
def test_a_damaged_file_is_named_without_what_it_contains(kind: str, tmp_path: Path) -> None:
    whole = FORMATS[kind]([CONTENT], tmp_path)
    search = Search([CONTENT])

    search.in_bytes(whole[: len(whole) // 2], "damaged")

    assert [unread.partition(": ")[0] for unread in search.unread] == ["damaged"]
    assert Search([CONTENT]).in_bytes("".join(search.unread).encode(), "unread") == set()


def test_contents_that_are_too_short_to_search_for_are_counted() -> None:
    search = Search([b"hello", b"aaaaaaaaaaaaaaaaaaaaaaaa", CONTENT])

    assert (search.contents, search.too_short) == (3, 2)


def test_a_search_for_nothing_finds_nothing() -> None:
    assert Search([]).in_bytes(CONTENT, "log") == set()


@given(st.binary(min_size=SHORTEST, max_size=200), st.binary(max_size=40), st.binary(max_size=40))
def test_any_content_is_found_wherever_it_is(content: bytes, before: bytes, after: bytes) -> None:
    search = Search([content])

    if not search.too_short:
        assert search.in_bytes(before + content + after, "log")
        assert search.in_bytes(base64.b64encode(before + content + after), "log")
        assert search.in_bytes(base64.b32encode(before + content + after), "log")
        assert search.in_bytes(before + content.hex().encode() + after, "log")
        assert search.in_bytes(json.dumps([*before, *content, *after]).encode(), "log")
