"""The search for content finds a planted leak in every spelling, and nothing where there is none."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.audit.search import FRAGMENT, SHORTEST, Search, spelled
from rawless.warehouse.client import Warehouse

CONTENT = "My card 4711-0815 was charged twice — Zoë, 東京".encode()


@pytest.mark.parametrize("spelling", spelled(CONTENT))
def test_a_planted_content_is_found_in_every_spelling(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "worker.log").write_bytes(b"some line\n" + spelled(CONTENT)[spelling] + b"\nthe end")

    assert {trace.place for trace in Search([CONTENT]).in_folder(tmp_path)} == {str(tmp_path / "deep/er/worker.log")}


def test_a_clean_folder_has_no_traces(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_bytes(b"card 4711, charged; 0815 twice " * 1000)

    assert Search([CONTENT]).in_folder(tmp_path) == set()


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
def test_a_leak_across_the_border_of_two_chunks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("rawless.audit.search._CHUNK", chunk)
    for start in range(50, 80):
        (tmp_path / "log").write_bytes(b"." * start + CONTENT + b"." * 100)
        assert Search([CONTENT]).in_folder(tmp_path)


def test_a_content_in_a_table_is_found(warehouse: Warehouse) -> None:
    dataset = warehouse.config.events
    warehouse.query(f"CREATE TABLE {dataset}.notes (note STRING)")
    search = Search([CONTENT])
    assert search.in_tables(warehouse) == set()

    warehouse.query(f"INSERT INTO {dataset}.notes (note) VALUES ('{base64.b64encode(CONTENT).decode()}')")

    assert {trace.place for trace in search.in_tables(warehouse)} == {f"table {dataset}.notes"}


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
        assert search.in_bytes(before + content.hex().encode() + after, "log")
