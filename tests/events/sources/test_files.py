"""Files with a CSV: every row and every matching file is accounted for, and no file name is stored or logged."""

import csv
import gzip
import io
import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from rawless.errors import Unavailable, UserError
from rawless.events import objects
from rawless.events.event import Delivery, Event, Rejection
from rawless.events.lines import LINES_PER_SHARD
from rawless.events.parse import Parser
from rawless.events.sources.files import FilesSource
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from tests.streams import ANY_ID

NOW = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC)
HEADER = "file,event_id,occurred_at,subject_id,channel"
STREAM: dict[str, Any] = {
    "stream": "note",
    "modality": "text",
    "encoders": ["minilm@1.0.0"],
    "event_id": ANY_ID,
    "subject": "optional",
    "attributes": {"channel": {"enum": ["chat", "email"]}},
    "limits": {"max_bytes": 10},
}
PARSER = Parser(Stream.model_validate(STREAM | {"subject": "none"}), None)
MARKER = "Rosalind-0815"
Make = Callable[..., FilesSource]
Outcome = tuple[str, str | None, Reason | bytes]


def row(file: str = "a.txt", event_id: str = "a", channel: str = "chat", subject: str = "") -> str:
    return f"{file},{event_id},2026-06-14T08:30:00Z,{subject},{channel}"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Returns a function that makes a checked source: a folder with these files, and a CSV with these rows or bytes."""

    def source(
        *rows: str | bytes,
        files: tuple[str, ...] = ("a.txt",),
        header: str | bytes = HEADER,
        pattern: str = "*",
        subject: str = "optional",
        end: bytes = b"\n",
    ) -> FilesSource:
        folder = tmp_path / "notes"
        folder.mkdir(exist_ok=True)
        for name in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.fsencode(path.name)[:9])
        metadata = tmp_path / "notes.csv"
        metadata.write_bytes(b"".join(os.fsencode(line) + end for line in (header, *rows)))
        files_source = FilesSource(f"{folder}/{pattern}", str(metadata), "note", 10, subject)  # type: ignore[arg-type]
        files_source.check()
        return files_source

    return source


def deliveries(source: FilesSource) -> Iterator[Delivery]:
    """Yield all deliveries; source and shards are pickled for each reader, as for a worker."""
    for shard in source.reader().shards():
        worker, part = pickle.loads(pickle.dumps((source, shard)))
        yield from worker.reader().read(part)


def outcomes(source: FilesSource) -> list[Outcome]:
    """Return the message id of each delivery, its event id if valid, and its payload or the reason of its rejection."""
    return [_outcome(delivery) for delivery in deliveries(source)]


def _outcome(delivery: Delivery) -> Outcome:
    outcome = PARSER.parse(delivery, NOW).outcome
    if isinstance(outcome, Rejection):
        return delivery.message_id, outcome.ids.event_id, outcome.reason
    return delivery.message_id, outcome.event_id, outcome.payload.reveal()


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Interrupts a call that blocks, so that the test fails instead of waiting."""

    def wake(*_: Any) -> None:
        raise RuntimeError(f"It blocked for {seconds} seconds.")  # not an OSError, some of which are caught

    before = signal.signal(signal.SIGALRM, wake)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- the CSV

HEADERS = {
    "plain": (HEADER, row(), b"\n"),
    "byte order mark": (b"\xef\xbb\xbf" + HEADER.encode(), row(), b"\n"),
    "Windows line ends": (HEADER, row(), b"\r\n"),
    "quoted": ('"file","event_id","occurred_at","subject_id","channel"', row().replace("chat", '"chat"'), b"\n"),
    "reordered": ("channel,subject_id,occurred_at,event_id,file", ",".join(reversed(row().split(","))), b"\n"),
}


@pytest.mark.parametrize(("header", "line", "end"), HEADERS.values(), ids=HEADERS)
def test_a_row_and_its_file_become_an_event(header: str | bytes, line: str, end: bytes, make: Make) -> None:
    [delivery] = deliveries(make(line, header=header, end=end))
    outcome = PARSER.parse(delivery, NOW).outcome
    assert isinstance(outcome, Event)
    assert (outcome.event_id, outcome.attributes) == ("a", (("channel", "chat"),))
    assert outcome.occurred_at == datetime(2026, 6, 14, 8, 30, tzinfo=UTC)
    assert outcome.payload.reveal() == b"a.txt"
    assert delivery.message_id == "2"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_found_in_the_header(delimiter: str, make: Make) -> None:
    source = make(
        row(event_id="a,b").replace(",", delimiter),
        row().replace(",", delimiter),
        header=HEADER.replace(",", delimiter),
    )
    assert [(number, payload) for number, _, payload in outcomes(source)] == [
        ("2", Reason.MALFORMED_EVENT),
        ("3", b"a.txt"),
    ]


def test_blank_lines_are_skipped_and_the_numbers_of_lines_stay(make: Make) -> None:
    source = make("", row(), "  ", "", header=HEADER)
    assert [(number, payload) for number, _, payload in outcomes(source)] == [("3", b"a.txt")]


@pytest.mark.parametrize("declaration", ["sep=;", '"sep=;"', "\ufeffsep=;"])
def test_the_first_line_may_declare_the_delimiter_as_for_excel(declaration: str, make: Make) -> None:
    source = make(row().replace(",", ";"), header=f"{declaration}\n{HEADER.replace(',', ';')}")
    assert [(number, payload) for number, _, payload in outcomes(source)] == [("3", b"a.txt")]


def test_a_missing_column_is_reported_with_another_delimiter(make: Make) -> None:
    with pytest.raises(UserError, match=r"has no column event_id: add it\.$"):
        make(header="file;occurred_at")


@pytest.mark.parametrize("note", ["line one\nline two", "line one\r\n\r\nline three", 'a ""quoted"" word,\n'])
def test_a_quoted_value_may_contain_line_ends(note: str, make: Make) -> None:
    rows = [f'{row(event_id=f"e{number}")},"{note}"' for number in range(LINES_PER_SHARD)]
    height = note.count("\n") + 1
    assert outcomes(make(*rows, header=f"{HEADER},note")) == [
        (str(2 + height * number), f"e{number}", b"a.txt") for number in range(LINES_PER_SHARD)
    ]


def test_the_header_may_contain_line_ends(make: Make) -> None:
    assert outcomes(make(f"{row()},x", header=f'{HEADER},"a\nnote"')) == [("3", "a", b"a.txt")]


def test_a_compressed_csv_is_read(make: Make, tmp_path: Path) -> None:
    source = make(row(), row(event_id="b"))
    metadata = tmp_path / "notes.csv"
    metadata.write_bytes(gzip.compress(metadata.read_bytes()))
    source.check()
    assert outcomes(source) == [("2", "a", b"a.txt"), ("3", "b", b"a.txt")]


NO_CSV = {
    "UTF-16": (f"{HEADER}\n".encode("utf-16"), "its text is UTF-16: convert it, as in `iconv -f UTF-16 -t UTF-8`."),
    "UTF-16LE": (f"{HEADER}\n".encode("utf-16-le"), "its text is UTF-16LE: convert it, as in `iconv -f UTF-16LE "),
    "Excel": (b"PK\x03\x04\x14\0", "that is a zip archive, as Excel workbooks are: convert it to CSV in UTF-8."),
    "old line ends": (f"{HEADER}\r{row()}\r".encode(), "its lines end with a carriage return only: end them with "),
}


@pytest.mark.parametrize(("content", "sentence"), NO_CSV.values(), ids=NO_CSV)
def test_metadata_that_is_no_csv_is_refused_by_what_it_is(content: bytes, sentence: str, make: Make) -> None:
    with pytest.raises(UserError) as refused:
        make(header=content, end=b"")
    assert f"notes.csv, but {sentence}" in str(refused.value)


def test_columns_that_the_stream_does_not_allow_are_dropped_and_counted(make: Make) -> None:
    [delivery] = deliveries(make(row() + ",angry,other,", header=HEADER + ",mood,text,stream"))
    parsed = PARSER.parse(delivery, NOW)
    assert isinstance(parsed.outcome, Event)
    assert (parsed.outcome.attributes, parsed.dropped) == ((("channel", "chat"),), 2)


def test_an_attribute_that_is_not_utf8_is_dropped_and_counted(make: Make) -> None:
    stream = STREAM | {"subject": "none", "attributes": {"channel": {"pattern": "[a-z]{1,9}"}}}
    [delivery] = deliveries(make(row(channel="ch\udcff")))
    parsed = Parser(Stream.model_validate(stream), None).parse(delivery, NOW)
    assert isinstance(parsed.outcome, Event)
    assert (parsed.outcome.attributes, parsed.dropped) == ((), 1)


def test_an_empty_cell_is_neither_an_attribute_nor_a_subject(make: Make) -> None:
    [delivery] = deliveries(make(row(channel="")))
    fields = delivery.fields.reveal()  # type: ignore[union-attr]
    assert (fields["attributes"], fields["subject_id"]) == ({}, "")
    assert PARSER.parse(delivery, NOW).dropped == 0


BAD_HEADERS = {
    "file": "its first line has no column file: add it.",
    "event_id": "its first line has no column event_id: add it.",
    "occurred_at": "its first line has no column occurred_at: add it.",
    "subject_id": "its first line has no column subject_id: add it.",
}


@pytest.mark.parametrize(("column", "sentence"), BAD_HEADERS.items())
def test_a_missing_column_is_reported_by_name(column: str, sentence: str, make: Make, tmp_path: Path) -> None:
    header = ",".join(name for name in HEADER.split(",") if name != column)
    with pytest.raises(UserError) as refused:
        make(header=header, subject="required")
    assert str(refused.value) == f"--metadata names {tmp_path}/notes.csv, but {sentence}"


@pytest.mark.parametrize("subject", ["optional", "none"])
def test_the_subject_column_is_optional_if_subjects_are(subject: str, make: Make) -> None:
    source = make("a.txt,a,2026-06-14T08:30:00Z", header="file,event_id,occurred_at", subject=subject)
    assert outcomes(source) == [("2", "a", b"a.txt")]


@pytest.mark.parametrize("column", ["file", "event_id", "channel"])
def test_a_repeated_column_is_reported_by_name(column: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        make(header=f"{HEADER},{column}")
    assert str(refused.value).startswith(f"--metadata names {tmp_path}/notes.csv, but it has the column ")
    assert column in str(refused.value)
    assert str(refused.value).endswith(" twice: rename one.")


@pytest.mark.parametrize(
    "header", ["", "\r", '"file', "a.txt,a,2026-06-14T08:30:00Z", "file:event_id:occurred_at", "\0", "FILE,Event_id"]
)
def test_a_first_line_without_columns_is_reported(header: str, make: Make) -> None:
    with pytest.raises(UserError, match=r"has no column file: add it\.$"):
        make(row(), header=header)


@pytest.mark.parametrize("name", ["", "\x1b[2J", "\udcff", "a" * 5000], ids=["empty", "escape", "no UTF-8", "long"])
def test_the_message_about_a_repeated_column_is_short_and_printable(name: str, make: Make) -> None:
    with pytest.raises(UserError, match=r" twice: rename one\.$") as refused:
        make(header=f"{HEADER},{name},{name}")
    assert str(refused.value).isprintable()
    assert "column  twice" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_very_many_columns_are_checked_quickly(make: Make) -> None:
    with alarm(20):
        make(header=HEADER + "".join(f",c{number}" for number in range(100_000)))


LINES: dict[str, tuple[str, str | None, Reason]] = {
    "too few fields": ("a.txt,x,2026-06-14T08:30:00Z,", None, Reason.MALFORMED_EVENT),
    "too many fields": (row("a.txt", "x") + ",", None, Reason.MALFORMED_EVENT),
    "unterminated quote": ('"' + row("a.txt", "x"), None, Reason.MALFORMED_EVENT),
    "text after a quote": ('"a.txt"x,' + row("a.txt", "x").split(",", 1)[1], None, Reason.MALFORMED_EVENT),
    "a return in a field": (row("a.txt", "x\rx"), None, Reason.MALFORMED_EVENT),
    "a huge field": (row("a.txt", "x" * 200_000), None, Reason.MALFORMED_EVENT),
    "a huge line": (row("a.txt", "x" * (1 << 20)), None, Reason.PAYLOAD_TOO_LARGE),
    "NUL in the id": (row("a.txt", "x\0"), None, Reason.BAD_EVENT_ID),
    "NUL in the file": (row("a.txt\0", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "no id": (row("a.txt", ""), None, Reason.MISSING_EVENT_ID),
    "bad id": (row("a.txt", "a.txt"), None, Reason.BAD_EVENT_ID),
    "no UTF-8 in the id": (row("a.txt", "x\udcff"), None, Reason.BAD_EVENT_ID),
    "no UTF-8 in the file": (row("a\udcff.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "bad date": (row("a.txt", "x").replace("T", " at "), "x", Reason.BAD_OCCURRED_AT),
    "no such file": (row("b.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "no file named": (row("", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "the folder": (row(".", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a folder": (row("sub", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a file that the pattern does not match": (row("sub/b.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "outside": (row("../secret.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "outside on a detour": (row("sub/../../secret.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a whole path": (row("/etc/passwd", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a long path": (row("a/" * 20_000, "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a wildcard": (row("*.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a hidden file": (row(".hidden.txt", "x"), "x", Reason.OBJECT_NOT_FOUND),
    "a large file": (row("large.txt", "x"), "x", Reason.PAYLOAD_TOO_LARGE),
    "an empty file": (row("empty.txt", "x"), "x", Reason.EMPTY_TEXT),
}


@pytest.mark.parametrize(("line", "event_id", "reason"), LINES.values(), ids=LINES)
def test_a_bad_row_is_rejected_with_its_valid_id_and_its_neighbours_are_read(
    line: str, event_id: str | None, reason: Reason, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    source = make(row(), line, row(), files=("a.txt", "sub/b.txt", ".hidden.txt"))
    (tmp_path / "notes/large.txt").write_bytes(b"a" * 11)
    (tmp_path / "notes/empty.txt").touch()
    rows = [row for row in outcomes(source) if not row[0].startswith("file-")]
    assert rows == [("2", "a", b"a.txt"), ("3", event_id, reason), ("4", "a", b"a.txt")]


def test_an_empty_file_is_not_an_image(make: Make, tmp_path: Path) -> None:
    source = make(row())
    (tmp_path / "notes/a.txt").write_bytes(b"")
    parser = Parser(Stream.model_validate(STREAM | {"modality": "image", "subject": "none"}), None)
    [outcome] = [parser.parse(delivery, NOW).outcome for delivery in deliveries(source)]
    assert isinstance(outcome, Rejection)
    assert (outcome.ids.event_id, outcome.reason) == ("a", Reason.EMPTY_PAYLOAD)


def test_thousands_of_rows_are_cut_into_shards_and_all_of_them_read(make: Make) -> None:
    count = 2 * LINES_PER_SHARD + 10
    source = make(*(row(event_id=f"e{number}") for number in range(count)))
    assert len(list(source.reader().shards())) == 4  # three of rows, and one of files that no row names
    assert outcomes(source) == [(str(number + 2), f"e{number}", b"a.txt") for number in range(count)]


def test_two_rows_may_name_one_file_by_different_paths(make: Make) -> None:
    rows = [row(name, event_id=f"e{number}") for number, name in enumerate(["a.txt", "./a.txt", "sub/../a.txt"])]
    assert outcomes(make(*rows)) == [(str(number + 2), f"e{number}", b"a.txt") for number in range(3)]


# --- files that no row names


def test_every_file_that_no_row_names_is_delivered_once_without_its_name(make: Make) -> None:
    source = make(row("b.txt", "b"), "too,few", row("none.txt", "n"), files=("a.txt", "b.txt", "c.txt", "d.txt"))
    assert outcomes(source) == [
        ("2", "b", b"b.txt"),
        ("3", None, Reason.MALFORMED_EVENT),
        ("4", "n", Reason.OBJECT_NOT_FOUND),
        *[(f"file-{number}", None, Reason.MISSING_EVENT_ID) for number in (1, 2, 3)],
    ]


UNLISTED: dict[str, tuple[str, str | bytes]] = {
    "it has the name of the column": ("file", ""),
    "it stands at the end of a line that is too long to be read": ("a.txt", "x" * (1 << 20) + row("a.txt")),
    "its row begins with a byte order mark": ("a.txt", b"\xef\xbb\xbf" + row("a.txt").encode()),
    "its name is in another column": ("a.txt", row("b.txt", "a", "a.txt")),
    "its row has a field too many": ("a.txt", row("a.txt") + ","),
    "its name has a line end without quotes": ("a\nb.txt", "a\nb.txt,x"),
    "its name is no UTF-8": ("\udcff.txt", row("\ufffd.txt")),
}


@pytest.mark.parametrize(("name", "line"), UNLISTED.values(), ids=UNLISTED)
def test_a_file_is_unlisted_if(name: str, line: str | bytes, make: Make) -> None:
    assert outcomes(make(line, files=(name,)))[-1] == ("file-1", None, Reason.MISSING_EVENT_ID)


# --- matching


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*.txt", "a.txt"),
        ("a.txt", "a.txt"),
        ("?.txt", "a.txt"),
        ("[ab].txt", "a.txt"),
        ("**", "sub/deep/a.txt"),
        ("**/*.txt", "sub/deep/a.txt"),
        ("**/*.txt", "a.txt"),
        ("*/deep/*", "sub/deep/a.txt"),
        ("*", "no ending"),
        ("*", "\udcff\udcfe.txt"),
        ("*", "Grüße, 世界.txt"),
        ("*", "a\nb.txt"),
        (".*", ".hidden.txt"),
        ("*", "a" * 255),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_a_file_that_the_pattern_matches_is_read(pattern: str, name: str, make: Make) -> None:
    quoted = f'"{name}"'
    assert outcomes(make(row(quoted), files=(name,), pattern=pattern)) == [("2", "a", os.fsencode(Path(name).name)[:9])]


NFC, NFD = "\u00e9.txt", "e\u0301.txt"


@pytest.mark.parametrize(("named", "stored"), [(NFC, NFD), (NFD, NFC), (f"{NFC[0]}/./{NFD}", f"{NFD[:2]}/{NFC}")])
@pytest.mark.parametrize("pattern", ["**/*", "**/?.txt", "**/\u00e9.txt", "**/e\u0301.txt"])
def test_a_name_with_an_accent_matches_in_either_form(named: str, stored: str, pattern: str, make: Make) -> None:
    source = make(row(named), row(named, "b"), files=(stored,), pattern=pattern)
    payload = os.fsencode(Path(stored).name)
    assert outcomes(source) == [("2", "a", payload), ("3", "b", payload)]


def test_two_files_whose_names_differ_by_form_only_stay_distinct(make: Make) -> None:
    source = make(row(NFD, "d"), row(NFC, "c"), row("\u212b.txt", "x"), files=(NFC, NFD, "\u00c5.txt", "A\u030a.txt"))
    assert outcomes(source) == [
        ("2", "d", NFD.encode()),
        ("3", "c", NFC.encode()),
        ("4", "x", Reason.OBJECT_NOT_FOUND),
        *[(f"file-{number}", None, Reason.MISSING_EVENT_ID) for number in (1, 2)],
    ]


@pytest.mark.parametrize("pattern", ["*", "**", "**/*"])
def test_hidden_files_and_folders_are_not_matched(pattern: str, make: Make) -> None:
    source = make(row(), files=("a.txt", ".hidden.txt", ".git/b.txt", "sub/.hidden.txt"), pattern=pattern)
    assert outcomes(source) == [("2", "a", b"a.txt")]


@pytest.mark.parametrize("pattern", ["*.png", "none.txt", "none/*", "[", "sub", "", "a.txt/*", "\0*"], ids=repr)
def test_a_pattern_that_matches_no_file_is_reported(pattern: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        make(row(), files=("a.txt", "sub/b.txt"), pattern=pattern)
    assert str(refused.value).startswith(f"--source names files:{tmp_path}/notes/{pattern}"[:40])
    assert str(refused.value).endswith("but that matches no file: check the pattern.")


# --- hostile folders


def test_a_link_that_leads_out_of_the_folder_is_forbidden_and_one_that_stays_is_read(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    source = make(row("in.txt", "i"), row("out.txt", "o"), row("gone.txt", "g"), row("loop.txt", "l"), row())
    for name, target in [("in", "a.txt"), ("out", "../secret.txt"), ("gone", "none.txt"), ("loop", "loop.txt")]:
        (tmp_path / f"notes/{name}.txt").symlink_to(target)
    assert outcomes(source) == [
        ("2", "i", b"a.txt"),
        ("3", "o", Reason.PAYLOAD_URI_FORBIDDEN),
        ("4", "g", Reason.OBJECT_NOT_FOUND),
        ("5", "l", Reason.PAYLOAD_URI_FORBIDDEN),
        ("6", "a", b"a.txt"),
    ]


def test_a_linked_folder_does_not_lead_outside(make: Make, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret.txt").write_text("secret")
    source = make(row("link/secret.txt", "o"), row(), pattern="**/*")
    (tmp_path / "notes/link").symlink_to(tmp_path / "other")
    (event_id, reason), good, *rest = [row[1:] for row in outcomes(source)]
    assert event_id == "o"
    assert reason in (Reason.PAYLOAD_URI_FORBIDDEN, Reason.OBJECT_NOT_FOUND)
    assert good == ("a", b"a.txt")
    assert rest == []


def test_folders_that_are_linked_into_themselves_do_not_multiply(make: Make, tmp_path: Path) -> None:
    source = make(row(), pattern="**/*.txt")
    for name in ("one", "two", "three"):
        (tmp_path / f"notes/{name}").symlink_to(".")
    with alarm(10):
        pickle.loads(pickle.dumps(source)).check()
        assert outcomes(source)[0] == ("2", "a", b"a.txt")


def test_very_deep_folders_do_not_fail(make: Make, tmp_path: Path) -> None:
    source = make(row(), pattern="**/*.txt")
    folders = [tmp_path / ("notes" + "/a" * depth) for depth in range(1, 1500)]
    for folder in folders:
        folder.mkdir()
    try:
        pickle.loads(pickle.dumps(source)).check()
        assert outcomes(source) == [("2", "a", b"a.txt")]
    finally:
        for folder in reversed(folders):  # too deep for pytest to delete
            folder.rmdir()


def test_anything_but_a_plain_file_is_not_found_and_never_waited_for(make: Make, tmp_path: Path) -> None:
    source = make(row("pipe.txt", "p"), row("socket.txt", "s"), row())
    os.mkfifo(tmp_path / "notes/pipe.txt")
    with socket.socket(socket.AF_UNIX) as listening, alarm(30):
        listening.bind(os.path.relpath(tmp_path / "notes/socket.txt"))
        rows = outcomes(source)
    assert [row[1:] for row in rows] == [
        ("p", Reason.OBJECT_NOT_FOUND),
        ("s", Reason.OBJECT_NOT_FOUND),
        ("a", b"a.txt"),
    ]


def test_a_file_that_is_deleted_after_the_listing_is_not_found_and_its_neighbours_are_read(
    make: Make, tmp_path: Path
) -> None:
    source = make(row(), row("b.txt", "b"), row(event_id="c"), files=("a.txt", "b.txt"))
    reader = source.reader()
    reading = reader.read(next(iter(reader.shards())))
    assert _outcome(next(reading)) == ("2", "a", b"a.txt")
    (tmp_path / "notes/b.txt").unlink()
    assert [_outcome(delivery) for delivery in reading] == [("3", "b", Reason.OBJECT_NOT_FOUND), ("4", "c", b"a.txt")]


def test_a_file_that_may_not_be_read_is_unavailable_after_retries(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(row(f"{MARKER}.txt"), files=(f"{MARKER}.txt",))
    refused = 0

    def no_access(path: Any, *args: Any, **kwargs: Any) -> int:
        nonlocal refused
        if MARKER not in str(path):
            return real(path, *args, **kwargs)
        refused += 1
        raise PermissionError(13, "Permission denied", path)

    real = os.open
    monkeypatch.setattr(os, "open", no_access)
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.3)
    with pytest.raises(Unavailable, match=r"^An object below .*/notes cannot be read \(PermissionError\); ") as raised:
        outcomes(source)
    assert MARKER not in str(raised.value)
    assert raised.value.__context__ is None
    assert refused > 1


@pytest.mark.parametrize("listed", [True, False], ids=["rows", "unlisted files"])
def test_a_folder_that_a_worker_cannot_find_drops_nothing(
    listed: bool, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(*[row()][:listed])
    rows, unlisted = source.reader().shards()
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.1)
    worker = pickle.loads(pickle.dumps(source))
    (tmp_path / "notes").rename(tmp_path / "unmounted")
    with pytest.raises(Unavailable):
        list(worker.reader().read(rows if listed else unlisted))


def test_a_csv_that_a_worker_cannot_find_drops_nothing(make: Make, tmp_path: Path) -> None:
    source = make(row())
    for shard in source.reader().shards():
        worker = pickle.loads(pickle.dumps(source))
        (tmp_path / "notes.csv").rename(tmp_path / "away.csv")
        with pytest.raises(Unavailable) as raised:
            list(worker.reader().read(shard))
        assert raised.value.__cause__ is None
        (tmp_path / "away.csv").rename(tmp_path / "notes.csv")


# --- what is never shown


def test_no_file_name_is_in_anything_that_a_source_returns(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [f"{MARKER}-{number}.txt" for number in range(4)]
    rows = [row(names[0]), row(names[1], names[1]), row(f"{MARKER}-none.txt"), row(f"{MARKER}-out.txt"), '"' + MARKER]
    source = make(*rows, row(f"{MARKER}-large.txt"), files=tuple(names))
    (tmp_path / f"notes/{MARKER}-out.txt").symlink_to(f"/{MARKER}")
    (tmp_path / f"notes/{MARKER}-large.txt").write_bytes(b"a" * 11)
    os.mkfifo(tmp_path / f"notes/{MARKER}-pipe.txt")
    source.check()
    with caplog.at_level("DEBUG"):
        delivered = list(deliveries(source))
        parsed = [PARSER.parse(delivery, NOW) for delivery in delivered]
        shards = list(source.reader().shards())
    # Of the outcomes only the payload may contain the name, because the file does.
    shown = repr(delivered) + repr(parsed) + repr(shards) + repr(source) + caplog.text + "".join(capfd.readouterr())
    assert len(delivered) == 6 + 3
    assert MARKER not in shown
    assert MARKER.encode() not in pickle.dumps((source, shards))


# --- any input

_value = st.text(st.sampled_from('a",\n') | st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
_records = st.lists(
    st.fixed_dictionaries(
        {
            "file": st.sampled_from(["a.txt", "b c.txt", 'ä,".txt']),
            "event_id": _value,
            "occurred_at": _value,
            "subject_id": _value,
            "channel": _value,
        }
    ),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(_records, st.permutations(HEADER.split(",")), st.sampled_from(["\n", "\r\n"]), st.integers(0, 1))
def test_the_output_of_a_csv_writer_is_read_unchanged(
    make: Make, records: list[dict[str, str]], columns: list[str], end: str, quoting: int
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(records)
    header, *lines = buffer.getvalue().encode().removesuffix(end.encode()).split(b"\n")
    files = tuple({record["file"] for record in records} or {"a.txt"})
    source = make(*lines, header=header, files=files, end=b"\n")
    fields = [delivery.fields.reveal() for delivery in deliveries(source) if isinstance(delivery.fields, Raw)]
    read = [values for values in fields if "payload" in values]  # the others are files that no row names
    assert read == [
        {
            "event_id": record["event_id"],
            "occurred_at": record["occurred_at"],
            "subject_id": record["subject_id"],
            "stream": "note",
            "attributes": {"channel": record["channel"]} if record["channel"] else {},
            "payload": record["file"].encode()[:9],
        }
        for record in records
    ]


_soup = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b",", b'"', b"a.txt", b"\0", b"\xff", b"\xef\xbb\xbf", row().encode()])
    | st.binary(max_size=9),
    max_size=20,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.sampled_from([HEADER.encode() + b"\n", b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n", b""]), _soup)
def test_any_bytes_as_csv_are_refused_by_the_check_or_fully_accounted_for(
    make: Make, start: bytes, body: bytes
) -> None:
    content = start + body
    try:
        source = make(header=content, end=b"")
    except UserError:
        event("refused at the check")
        return
    rows = outcomes(source)
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    numbers = [int(row[0]) for row in rows if row[0] != "file-1"]
    assert numbers == sorted(set(numbers) & set(range(2, lines + 1)))
    blank = sum(not os.fsdecode(line).strip() for line in content.split(b"\n")[1:lines])
    assert b'"' in body or lines - 1 - blank <= len(numbers) <= lines - 1  # only quotes may join lines
    assert len(rows) <= lines  # one file at most that no row names
    assert not [row for row in rows if row[2] is Reason.INTERNAL]
    listed = any(row[2] == b"a.txt" for row in rows)
    assert not listed or rows[-1][0] != "file-1"
