"""Sources: every wrong `--source` is reported in one sentence, before anything starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.source import Scheme, read_all
from rawless.events.sources import SCHEMES, open_bounded_source, open_source
from rawless.events.sources.jsonl import JsonlSource
from rawless.events.stream import Stream
from rawless.privacy import Raw

BOUNDED = "must be one of: bigquery:PROJECT.DATASET.TABLE, files:GLOB, jsonl:PATH, parquet:GLOB"
USAGES = (
    "must be one of: bigquery:PROJECT.DATASET.TABLE, files:GLOB, jsonl:PATH, kafka:BROKERS/TOPIC?group=G, "
    "parquet:GLOB, pubsub:projects/P/subscriptions/S."
)
STREAM = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))


@pytest.mark.parametrize(
    "text",
    ["", ":", "jsonl", "jsonl:", "events.jsonl", "JSONL:events.jsonl", " jsonl:events.jsonl", "s3:a:b"],
)
def test_an_unknown_scheme_is_reported_with_the_known_ones(text: str) -> None:
    with pytest.raises(UserError) as refused:
        open_source(text, STREAM)
    assert str(refused.value) == f"--source is {text!r}, but {USAGES}"


@dataclass(frozen=True)
class _Words:
    """A bounded source whose location is its content."""

    is_bounded: ClassVar[Literal[True]] = True
    text: str

    def check(self) -> None:
        if not self.text.isalpha():
            raise UserError("--source words: takes letters only.")

    def reader(self) -> "_Words":
        return self

    def only_here(self) -> None:
        pass

    def shards(self) -> Iterator[int]:
        yield from range(len(self.text))

    def read(self, shard: int) -> Iterator[Delivery]:
        yield Delivery(str(shard), Raw({"text": self.text[shard]}), 1)


def test_a_new_scheme_needs_only_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "words", Scheme("words", "words:LETTERS", lambda location, _: _Words(location)))
    deliveries = read_all(open_bounded_source("words:abc", STREAM))
    assert [delivery.message_id for delivery in deliveries] == ["0", "1", "2"]
    with pytest.raises(UserError, match="letters only"):
        open_source("words:1", STREAM)
    with pytest.raises(UserError, match=r"^--metadata is for files: sources only; leave it out for words:\.$"):
        open_source("words:abc", STREAM, Path("m.csv"))


def test_only_bounded_schemes_are_accepted_and_listed_for_a_bounded_source() -> None:
    with pytest.raises(UserError) as refused:
        open_bounded_source("pubsub:projects/local-dev/subscriptions/abc", STREAM)
    assert str(refused.value).endswith(f", but {BOUNDED}.")


@pytest.mark.parametrize("location", ["none.jsonl", "", "sub", "there.jsonl/below", "a\0b", "n" * 300, "d/" * 3000])
def test_a_path_without_a_file_is_reported_in_one_sentence(location: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "there.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"^--source names .*check the path\.$") as refused:
        open_source(f"jsonl:{tmp_path}/{location}", STREAM)
    assert "\n" not in str(refused.value)


def test_a_valid_source_yields_every_delivery(write_events: Callable[..., Path]) -> None:
    path = write_events({"event_id": "one"}, {"event_id": "two"})
    source = open_source(f"jsonl:{path}", STREAM)
    deliveries = list(read_all(source))
    assert [delivery.fields.reveal()["event_id"] for delivery in deliveries] == ["one", "two"]  # type: ignore[union-attr]


def test_a_relative_path_and_one_with_colons_and_spaces_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my: events.jsonl").write_text("{}\n")
    source = open_source("jsonl:my: events.jsonl", STREAM)
    monkeypatch.chdir("/")  # a worker has another current folder
    assert len(list(read_all(source))) == 1


def test_an_empty_file_has_no_shards(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert list(open_source(f"jsonl:{tmp_path / 'empty.jsonl'}", STREAM).reader().shards()) == []


def test_the_longest_line_follows_from_the_limit_of_the_stream(tmp_path: Path) -> None:
    text = "é" * 20_000_000  # 40 MB, as JSON in UTF-8
    path = tmp_path / "long.jsonl"
    path.write_text('{"text": "' + text + '"}\n', encoding="utf-8")
    for max_bytes, looked_into in [(20_000, False), (40_000_000, True)]:
        source = JsonlSource(str(path), max_bytes)
        [delivery] = list(read_all(source))
        assert (delivery.fields != "payload_too_large") is looked_into


# --- files


def test_files_without_metadata_report_the_columns_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError) as refused:
        open_source(f"files:{tmp_path}/*", STREAM)
    assert str(refused.value) == (
        "files: needs --metadata FILE.csv, with the columns file, event_id, occurred_at, subject_id and the stream's "
        "attributes."
    )


def test_files_in_a_bucket_of_a_stream_of_parts_are_refused_with_a_hint_at_claim_checks(tmp_path: Path) -> None:
    stream = Stream(stream="post", modality="parts", parts={"photo": "image"}, encoders=("a@1.0.0",))  # type: ignore[dict-item]
    with pytest.raises(UserError, match=r"has events of parts: name the objects in JSON lines, as in \{"):
        open_source("files:gs://bucket/*.json", stream, tmp_path / "a.csv")


def test_files_on_this_machine_with_metadata_in_a_bucket_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"^--metadata is in a bucket, but --source names files on this machine: copy "):
        open_source(f"files:{tmp_path}/*.txt", STREAM, "gs://bucket/a.csv")


def test_metadata_with_json_lines_is_refused(write_events: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--metadata is for files: sources only; .*\.$"):
        open_source(f"jsonl:{write_events({})}", STREAM, tmp_path / "a.csv")


@pytest.mark.parametrize("location", ["none.csv", "sub", "a.txt/b", "n" * 300])
def test_metadata_that_is_not_a_file_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"^--metadata names .*there is no such file: check the path\.$"):
        open_source(f"files:{tmp_path}/*.txt", STREAM, tmp_path / location)


def test_files_and_metadata_by_relative_paths_are_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a: b").mkdir()
    Path("a: b/c.txt").write_text("c")
    Path("m.csv").write_text("file,event_id,occurred_at,subject_id\nc.txt,e,2026-06-14T08:30:00Z,s\n")
    source = open_source("files:a: b/*.txt", STREAM, Path("m.csv"))
    monkeypatch.chdir("/")  # a worker has another current folder
    [delivery] = list(read_all(source))
    fields = delivery.fields.reveal()  # type: ignore[union-attr]
    assert (fields["event_id"], fields["stream"], fields["payload"]) == ("e", "message", b"c")


def test_the_columns_of_metadata_follow_from_the_subjects_of_the_stream(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "m.csv").write_text("file,event_id,occurred_at\n")
    for subject in ("optional", "none"):
        open_source(f"files:{tmp_path}/*.txt", STREAM.model_copy(update={"subject": subject}), tmp_path / "m.csv")
    with pytest.raises(UserError, match=r"has no column subject_id: add it\.$"):
        open_source(f"files:{tmp_path}/*.txt", STREAM, tmp_path / "m.csv")
