"""Objects in a bucket with CSV files: every row and every matching object is accounted for, and no name travels."""

import gzip
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rawless.errors import Unavailable, UserError
from rawless.events.event import Delivery, Rejection
from rawless.events.lines import LINES_PER_SHARD
from rawless.events.messages import encode_message
from rawless.events.objects import ObjectLocation
from rawless.events.parse import Parser
from rawless.events.source import BoundedSource
from rawless.events.sources import open_bounded_source
from rawless.events.stored_objects import read_object
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from tests.object_server import Store
from tests.streams import ANY_ID

NOW = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC)
HEADER = "file,event_id,occurred_at,subject_id,channel"
STREAM = Stream.model_validate(
    {
        "stream": "note",
        "modality": "text",
        "encoders": ["minilm@1.0.0"],
        "event_id": ANY_ID,
        "subject": "none",
        "attributes": {"channel": {"enum": ["chat", "email"]}},
        "limits": {"max_bytes": 10},
    }
)
SOURCE = "files:gs://bucket/notes/**/*.txt"
METADATA = "gs://bucket/lists/*.csv"


def row(file: str = "a.txt", event_id: str = "a") -> str:
    return f"{file},{event_id},2026-06-14T08:30:00Z,,chat\n"


def put(store: Store, *rows: str, name: str = "lists/a.csv", header: str = HEADER) -> None:
    store.put(name, "".join([f"{header}\n", *rows]).encode())


def source(metadata: str = METADATA, stream: Stream = STREAM) -> BoundedSource:
    return open_bounded_source(SOURCE, stream, metadata)


def outcomes(opened: BoundedSource) -> list[tuple[str, str | None, Reason | bytes]]:
    """Return message id, event id, and payload or reason; source and shards are pickled, as for a worker."""
    return [_outcome(delivery) for delivery in deliveries(opened)]


def deliveries(opened: BoundedSource) -> Iterator[Delivery]:
    for shard in opened.reader().shards():
        worker, part = pickle.loads(pickle.dumps((opened, shard)))
        yield from worker.reader().read(part)


def _outcome(delivery: Delivery) -> tuple[str, str | None, Reason | bytes]:
    outcome = Parser(STREAM, None, read_object).parse(delivery, NOW).outcome
    if isinstance(outcome, Rejection):
        return delivery.message_id, outcome.ids.event_id, outcome.reason
    return delivery.message_id, outcome.event_id, outcome.payload.reveal()


def test_every_row_and_every_object_is_accounted_for(store: Store) -> None:
    for name in ("a.txt", "sub/b.txt", "c.txt", "d.txt", "e.png", ".hidden.txt", "large.txt", "sub/"):
        store.put(f"notes/{name}", b"a" * 11 if name == "large.txt" else name.encode()[:9])
    put(
        store,
        row(),
        row("sub/b.txt", "b"),
        row("gs://bucket/notes/c.txt", "c"),
        row("none.txt", "n"),
        row("e.png", "e"),
        row("../lists/a.csv", "x"),
        row("gs://other/notes/a.txt", "o"),
        row("large.txt", "l"),
        "too,few\n",
        "\n",
        row("", "empty"),
    )
    assert outcomes(source()) == [
        ("1:2", "a", b"a.txt"),
        ("1:3", "b", b"sub/b.txt"),
        ("1:4", "c", b"c.txt"),
        ("1:5", "n", Reason.OBJECT_NOT_FOUND),
        ("1:6", "e", Reason.OBJECT_NOT_FOUND),
        ("1:7", "x", Reason.OBJECT_NOT_FOUND),
        ("1:8", "o", Reason.OBJECT_NOT_FOUND),
        ("1:9", "l", Reason.PAYLOAD_TOO_LARGE),
        ("1:10", None, Reason.MALFORMED_EVENT),
        ("1:12", "empty", Reason.OBJECT_NOT_FOUND),
        ("file-1", None, Reason.MISSING_EVENT_ID),
    ]


def test_several_csv_files_have_headers_of_their_own(store: Store) -> None:
    for name in "abc":
        store.put(f"notes/{name}.txt", name.encode())
    put(store, row("a.txt", "a"), name="lists/1.csv")
    store.put("lists/2.csv", gzip.compress(b"event_id;occurred_at;file\nb;2026-06-14T08:30:00Z;b.txt\n"))
    put(store, row("c.txt", "c"), name="lists/3.csv")
    assert outcomes(source()) == [("1:2", "a", b"a"), ("2:2", "b", b"b"), ("3:2", "c", b"c")]


def test_a_single_csv_file_keeps_the_numbers_of_its_lines(store: Store) -> None:
    store.put("notes/a.txt", b"a")
    put(store, row())
    assert outcomes(source("gs://bucket/lists/a.csv")) == [("2", "a", b"a")]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_rows_with_line_ends_are_cut_into_shards_that_are_read_alone(compress: Any, store: Store) -> None:
    store.put("notes/a.txt", b"a")
    count = 2 * LINES_PER_SHARD
    rows = [row(event_id=f"e{number}")[:-1] + ',"one\ntwo"\n' for number in range(count)]
    store.put("lists/a.csv", compress("".join([f"{HEADER},note\n", *rows]).encode()))
    shards = list(source().reader().shards())
    assert len(shards) == 5  # four of rows, and one of objects that no row names
    worker = source().reader()
    store.asked.clear()
    read = [delivery for shard in reversed(shards[:-1]) for delivery in worker.read(shard)]
    assert {(each.message_id, each.fields.reveal()["event_id"]) for each in read} == {  # type: ignore[union-attr]
        (f"1:{2 + 2 * number}", f"e{number}") for number in range(count)
    }
    assert len([path for path in store.asked if "alt=media" in path]) == len(shards)  # one each, and the header


def test_shards_contain_no_name(store: Store) -> None:
    store.put("notes/Rosalind.txt", b"a")
    put(store, row("Rosalind.txt", "Rosalind"), name="lists/Rosalind.csv")
    assert "Rosalind" not in repr(list(source().reader().shards()))


def test_the_object_of_a_row_is_not_read_with_the_row(store: Store) -> None:
    store.put("notes/a.txt", b"a")
    put(store, row())
    [delivery] = deliveries(source())
    assert delivery.fields.reveal()["payload"] == ObjectLocation("gs", "bucket/notes/", ("a.txt",))  # type: ignore[union-attr]
    assert [path for path in store.asked if "notes%2Fa" in path] == []


def test_a_row_is_published_as_a_claim_check(store: Store) -> None:
    store.put("notes/a.txt", b"a")
    put(store, row())
    [delivery] = deliveries(source())
    message = encode_message(delivery)
    assert isinstance(message, Raw)
    assert message.reveal().data == b""
    assert message.reveal().attributes["uri"] == "gs://bucket/notes/a.txt"


def test_metadata_on_this_machine_is_read(store: Store, tmp_path: Path) -> None:
    store.put("notes/a.txt", b"a")
    (tmp_path / "a.csv").write_text(f"{HEADER}\n{row()}")
    opened = source(str(tmp_path / "a.csv"))
    assert outcomes(opened) == [("2", "a", b"a")]
    assert opened.only_here() == f"metadata on this machine ({tmp_path}/a.csv)"


def test_a_csv_that_changes_after_it_was_cut_is_unavailable(store: Store) -> None:
    store.put("notes/a.txt", b"a")
    put(store, row())
    first, _ = source().reader().shards()
    put(store, row(), row())
    with pytest.raises(Unavailable, match=r"^A file of gs://bucket/lists/\*\.csv was changed or deleted after it was"):
        list(source().reader().read(first))


REFUSED = {
    "no such column": (b"file,event_id\n", r"but its first line has no column occurred_at: add it\.$"),
    "twice": (f"{HEADER},file\n".encode(), r"but it has the column 'file' twice: rename one\.$"),
    "Parquet": (b"PAR1" + bytes(100), r"but that is a Parquet file: convert it to CSV in UTF-8\.$"),
    "empty": (b"\n", r"but its first line has no column file: add it\.$"),
}


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_csv_of_a_wrong_kind_is_refused_by_its_position(content: bytes, sentence: str, store: Store) -> None:
    store.put("notes/a.txt", b"a")
    store.put("lists/1.csv", content)
    with pytest.raises(UserError, match=rf"^--metadata names file 1 of gs://bucket/lists/\*\.csv, {sentence}"):
        source()
    store.put("lists/0.csv", f"{HEADER}\n".encode())
    with pytest.raises(UserError, match=rf"^--metadata names file 2 of gs://bucket/lists/\*\.csv, {sentence}"):
        list(source().reader().shards())


def test_patterns_that_match_nothing_are_refused(store: Store) -> None:
    store.put("notes/a.png", b"a")
    with pytest.raises(UserError, match=r"^--metadata names gs://bucket/lists/\*\.csv, but that matches no file: "):
        source()
    put(store, row())
    with pytest.raises(UserError, match=r"^--source names files:gs://bucket/notes/\*\*/\*\.txt, but that matches no "):
        source()


def test_unlisted_objects_are_found_among_pages(store: Store) -> None:
    store.page_size = 7
    for number in range(100):
        store.put(f"notes/{number:03}.txt", b"a")
    put(store, *(row(f"{number:03}.txt", f"e{number}") for number in range(0, 100, 2)))
    found = [each.message_id for each in deliveries(source()) if each.message_id.startswith("file-")]
    assert found == [f"file-{number}" for number in range(1, 51)]
