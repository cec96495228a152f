"""Parquet: which rows become which events, each once, and what no error and no frame of a traceback contains."""

import random
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events import cloud_objects
from rawless.events.event import Delivery, Event, Rejection
from rawless.events.parse import Parser
from rawless.events.source import read_all
from rawless.events.sources import open_bounded_source, parquet
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from tests.object_server import Store
from tests.streams import ANY_ID

AT = datetime(2026, 6, 14, 8, 30, tzinfo=UTC)
NOW = AT + timedelta(days=1)
PLANTED = "my card ends in 4711"
STREAM = Stream.model_validate(
    {
        "stream": "message",
        "modality": "text",
        "encoders": ["minilm@1.0.0"],
        "event_id": ANY_ID,
        "attributes": {"channel": {"enum": ["chat", "email"]}, "level": {"pattern": r"\d{1,3}"}},
        "limits": {"max_bytes": 2000},
    }
)


def _table(rows: int = 3, **columns: Any) -> pa.Table:
    """A whole table; a column given as `...` is left out."""
    whole = {
        "event_id": [f"e{row}" for row in range(rows)],
        "occurred_at": [AT.isoformat()] * rows,
        "subject_id": ["customer"] * rows,
        "text": [f"text {row}" for row in range(rows)],
    } | columns
    return pa.table({name: values for name, values in whole.items() if values is not ...})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Returns a function that writes a table as a Parquet file and returns the source."""

    def go(table: pa.Table, name: str = "a.parquet", **options: Any) -> str:
        pq.write_table(table, tmp_path / name, **options)
        return f"parquet:{tmp_path}/*.parquet"

    return go


def _deliveries(source: str, stream: Stream = STREAM) -> list[Delivery]:
    return list(read_all(open_bounded_source(source, stream)))


def _fields(source: str) -> list[Any]:
    return [each.fields.reveal() if isinstance(each.fields, Raw) else each.fields for each in _deliveries(source)]


def _parsed(delivery: Delivery) -> Event | Rejection:
    return Parser(STREAM.model_copy(update={"subject": "none"}), None).parse(delivery, NOW).outcome


def test_a_row_is_an_event_whose_message_id_names_file_and_row(write: Callable[..., str]) -> None:
    write(_table(2, channel=["chat", None]), "b.parquet")
    source = write(_table(1), "a.parquet")

    _, first, second = _deliveries(source)

    assert (first.message_id, second.message_id) == ("2:1", "2:2")
    assert first.size == len("e0") + len(AT.isoformat()) + len("customer") + len("text 0") + len("chat")
    event = _parsed(first)
    assert isinstance(event, Event)
    assert (event.event_id, event.occurred_at, event.attributes) == ("e0", AT, (("channel", "chat"),))
    assert event.payload.reveal() == b"text 0"
    assert second.fields.reveal()["attributes"] == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_read(unit: str, write: Callable[..., str]) -> None:
    exact = {"s": AT, "ms": AT.replace(microsecond=123_000)}.get(unit, AT.replace(microsecond=123_456))
    (fields,) = _fields(write(_table(1, occurred_at=pa.array([exact], pa.timestamp(unit, "Europe/Berlin")))))
    assert datetime.fromisoformat(fields["occurred_at"]) == exact


def test_the_times_that_spark_writes_by_default_are_read_as_utc(write: Callable[..., str]) -> None:
    times = pa.array([AT.replace(tzinfo=None)], pa.timestamp("us"))
    source = write(_table(1, occurred_at=times), use_deprecated_int96_timestamps=True)
    assert [fields["occurred_at"] for fields in _fields(source)] == [AT.isoformat()]


def test_a_time_beyond_every_calendar_is_a_rejection(write: Callable[..., str]) -> None:
    times = pa.array([2**62, -(2**62)], pa.timestamp("us", "UTC"))
    outcomes = [_parsed(each) for each in _deliveries(write(_table(2, occurred_at=times)))]
    assert [each.reason for each in outcomes if isinstance(each, Rejection)] == [Reason.BAD_OCCURRED_AT] * 2


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["chat"], pa.large_string()),
        pa.array(["chat"]).dictionary_encode(),
        pa.array(["chat"]).cast(pa.string_view()),
    ],
    ids=["large", "dictionary", "view"],
)
def test_every_type_of_text_is_read(values: pa.Array, write: Callable[..., str]) -> None:
    (fields,) = _fields(write(_table(1, channel=values, text=values, event_id=values)))
    assert (fields["attributes"], fields["text"], fields["event_id"]) == ({"channel": "chat"}, "chat", "chat")


ATTRIBUTES = {
    "columns": {"channel": ["chat"], "level": [7]},
    "a map": {"attributes": pa.array([[("channel", "chat"), ("level", "7")]], pa.map_(pa.string(), pa.string()))},
    "a struct": {"attributes": [{"channel": "chat", "level": 7, "other": None}]},
    "keys and values": {"attributes": [[{"key": "channel", "value": "chat"}, {"key": "level", "value": "7"}]]},
}


@pytest.mark.parametrize("columns", ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_attributes_are_columns_or_named_values(columns: dict[str, Any], write: Callable[..., str]) -> None:
    event = _parsed(*_deliveries(write(_table(1, **columns))))
    assert isinstance(event, Event)
    assert event.attributes == (("channel", "chat"), ("level", "7"))


def test_an_attribute_that_is_named_twice_is_a_rejection(write: Callable[..., str]) -> None:
    twice = pa.array([[("channel", "chat"), ("channel", "email")], []], pa.map_(pa.string(), pa.string()))
    assert [isinstance(each, dict) for each in _fields(write(_table(2, attributes=twice)))] == [False, True]
    assert _deliveries(write(_table(2, attributes=twice)))[0].fields == Reason.MALFORMED_EVENT


def test_content_is_text_bytes_base64_a_uri_or_parts(write: Callable[..., str]) -> None:
    parts = [{"photo": {"uri": "gs://b/o", "text": None}, "caption": None}]
    contents = {"text": ["a"], "payload": [b"\xff"], "payload_base64": ["YQ=="], "uri": ["gs://b/o"], "parts": parts}
    for name, values in contents.items():
        (fields,) = _fields(write(_table(1, **{"text": ..., name: values})))
        expected = {"photo": {"uri": "gs://b/o", "text": None}} if name == "parts" else values[0]
        assert fields[name] == expected


def test_two_contents_of_a_row_are_a_rejection_and_one_may_be_missing(write: Callable[..., str]) -> None:
    first, second = _deliveries(write(_table(2, payload=[b"x", None])))
    assert getattr(_parsed(first), "reason", None) == Reason.MALFORMED_EVENT
    assert isinstance(_parsed(second), Event)


def test_other_columns_are_counted_as_dropped_and_never_read(write: Callable[..., str], tmp_path: Path) -> None:
    table = _table(50, other=[f"{number:032x}" for number in range(50)], third=[1] * 50)
    source = write(table, use_dictionary=False, compression=None)
    path = tmp_path / "a.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(4)
    assert column.path_in_schema == "other"
    content = bytearray(path.read_bytes())
    start = column.data_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)

    deliveries = _deliveries(source)

    assert len(deliveries) == 50
    assert Parser(STREAM.model_copy(update={"subject": "none"}), None).parse(deliveries[0], NOW).dropped == 2


def test_text_that_is_not_utf8_is_a_rejection_with_its_ids_and_its_neighbours_stay(write: Callable[..., str]) -> None:
    def binary(*values: bytes) -> pa.Array:
        return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())

    table = _table(3, text=binary(b"a", b"\xff", b"c"), event_id=binary(b"e0", b"e1", b"\xc3"))
    outcomes = [_parsed(each) for each in _deliveries(write(table))]

    assert isinstance(outcomes[0], Event)
    assert [(each.reason, each.ids.event_id) for each in outcomes[1:] if isinstance(each, Rejection)] == [
        (Reason.INVALID_UTF8, "e1"),
        (Reason.BAD_EVENT_ID, None),
    ]


NAIVE = pa.array([AT.replace(tzinfo=None)] * 3, pa.timestamp("us"))
WRONG = {
    "it has no column event_id: add it": {"event_id": ...},
    "it has no column occurred_at: add it": {"occurred_at": ...},
    "it has no column subject_id: add it": {"subject_id": ...},
    "it has no column of content: add one of payload, text, payload_base64, uri, parts": {"text": ...},
    "its column event_id is double, but must be text or an integer: convert it": {"event_id": [1.5] * 3},
    "its column occurred_at is timestamp[us], but must be text (RFC 3339) or a timestamp with a time": {
        "occurred_at": NAIVE
    },
    "its column text is binary, but must be text: convert it": {"text": [b"a"] * 3},
    "its column payload is string, but must be binary: convert it": {"payload": ["a"] * 3},
    "its column channel is bool, but must be text or an integer: convert it": {"channel": [True] * 3},
    "it has both a column attributes and a column channel: leave one of them out": {
        "attributes": [{"channel": "chat"}] * 3,
        "channel": ["chat"] * 3,
    },
}


@pytest.mark.parametrize(("sentence", "columns"), WRONG.items())
def test_wrong_columns_are_reported_before_anything_starts(
    sentence: str, columns: dict[str, Any], write: Callable[..., str]
) -> None:
    source = write(_table(**columns))
    with pytest.raises(UserError) as refused:
        open_bounded_source(source, STREAM)
    assert str(refused.value).startswith(f"--source names file 1 of {source.partition(':')[2]}, but {sentence}")


def test_a_column_without_any_value_may_have_no_type(write: Callable[..., str]) -> None:
    (fields,) = _fields(write(_table(1, uri=pa.nulls(1), channel=pa.nulls(1))))
    assert (fields["uri"], fields["attributes"], fields["text"]) == (None, {}, "text 0")


def test_a_later_file_with_other_columns_ends_the_job_with_its_number(write: Callable[..., str]) -> None:
    write(_table(), "a.parquet")
    write(_table(text=..., words=[PLANTED] * 3), "b.parquet")
    source = write(_table(), "c.parquet")
    with pytest.raises(UserError) as refused:
        _deliveries(source)
    assert str(refused.value) == (
        f"--source names file 2 of {source.partition(':')[2]}, but it has no column of content: add one of payload, "
        "text, payload_base64, uri, parts."
    )


@pytest.mark.parametrize("content", [b"", b"PAR1", b'{"text": "a"}\n', b"PAR1" + bytes(100) + b"PAR1", b"PARE" * 9])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.parquet, but that is no Parquet file that can be read: convert it, .*\.$"):
        open_bounded_source(f"parquet:{tmp_path}/a.parquet", STREAM)


def test_a_pattern_without_files_is_refused(tmp_path: Path) -> None:
    for name in ("*.parquet", "a.parquet"):
        with pytest.raises(UserError, match=r"but that matches no file: check the pattern\.$"):
            open_bounded_source(f"parquet:{tmp_path}/{name}", STREAM)


def test_a_file_whose_name_looks_like_a_pattern_is_read(write: Callable[..., str], tmp_path: Path) -> None:
    write(_table(), "a[1].parquet")
    assert len(_deliveries(f"parquet:{tmp_path}/a[1].parquet")) == 3


def _frames(error: BaseException) -> str:
    """Everything that a debugger or a crash reporter finds in the frames of an error and those of its causes."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return repr([frame.f_locals for frame in frames if "rawless" in frame.f_code.co_filename])


def test_damaged_data_ends_the_job_and_no_content_is_in_the_error(write: Callable[..., str], tmp_path: Path) -> None:
    table = _table(2000, text=[f"{PLANTED} {row}" for row in range(2000)])
    source = write(table, row_group_size=500, use_dictionary=False, compression=None)
    path = tmp_path / "a.parquet"
    column = pq.ParquetFile(path).metadata.row_group(2).column(3)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 40] = bytes(40)
    path.write_bytes(content)

    seen = []
    with pytest.raises(UserError) as refused:
        seen.extend(read_all(open_bounded_source(source, STREAM)))
    assert str(refused.value) == f"The data of file 1 of {source.partition(':')[2]} is damaged: copy the file again."
    assert refused.value.__context__ is None
    assert PLANTED not in _frames(refused.value)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 40), min_size=1, max_size=4), group=st.integers(1, 17), size=st.integers(50, 3000))
def test_every_row_belongs_to_one_shard(
    rows: list[int], group: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SHARD_BYTES", size)
    for old in tmp_path.glob("*"):
        old.unlink()
    for number, count in enumerate(rows):
        ids = [f"f{number}-{row}" for row in range(count)]
        table = _table(count, event_id=pa.array(ids, pa.string()), text=pa.array(ids, pa.string()))
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=group)
    reader = open_bounded_source(f"parquet:{tmp_path}/*.parquet", STREAM).reader()

    shards = list(reader.shards())
    random.Random(1).shuffle(shards)
    read = {each.message_id: each.fields.reveal()["event_id"] for shard in shards for each in reader.read(shard)}

    assert read == {f"{number + 1}:{row + 1}": f"f{number}-{row}" for number, n in enumerate(rows) for row in range(n)}


# --- objects


@pytest.mark.parametrize("small", [1 << 20, 0], ids=["at once", "in ranges"])
def test_objects_are_read_like_files(
    small: int, store: Store, write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SMALL", small)
    for name in ("a.parquet", "b.parquet"):
        source = write(_table(100), name, row_group_size=30)
        store.put(f"2026/{name}", (tmp_path / name).read_bytes())

    found = _deliveries("parquet:gs://bucket/2026/*.parquet")

    assert [(each.message_id, each.size) for each in found] == [(e.message_id, e.size) for e in _deliveries(source)]


def test_of_a_large_object_only_the_columns_are_fetched_that_an_event_is_made_of(
    store: Store, write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SMALL", 0)
    noise = random.Random(1)
    write(_table(500, other=[noise.randbytes(4000) for _ in range(500)]), row_group_size=100)
    content = (tmp_path / "a.parquet").read_bytes()
    store.put("a.parquet", content)

    assert len(_deliveries("parquet:gs://bucket/a.parquet")) == 500
    assert store.sent < len(content) / 10


def test_of_a_large_row_group_only_a_piece_of_each_column_is_in_memory(
    store: Store, write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(1)
    content = _table(100, text=..., payload=[noise.randbytes(4000) for _ in range(100)])
    write(content, row_group_size=100, write_batch_size=4, data_page_size=10_000, use_dictionary=False)
    store.put("a.parquet", (tmp_path / "a.parquet").read_bytes())
    monkeypatch.setattr(parquet, "SMALL", 0)
    monkeypatch.setattr(parquet, "_BUFFER", 20_000)
    requested = []

    def read_object(found: Any, where: str, start: int, end: int) -> bytes:
        requested.append(end - start)
        return cloud_objects.read_object(found, where, start, end)

    monkeypatch.setattr(parquet, "read_object", read_object)

    assert len(_deliveries("parquet:gs://bucket/a.parquet")) == 100
    assert max(requested) <= 1 << 16  # the footer


def test_an_object_that_changes_between_listing_and_reading_is_read_again_later(
    store: Store, write: Callable[..., str], tmp_path: Path
) -> None:
    write(_table())
    content = (tmp_path / "a.parquet").read_bytes()
    store.put("a.parquet", content)
    reader = open_bounded_source("parquet:gs://bucket/*.parquet", STREAM).reader()
    (shard,) = reader.shards()
    store.put("a.parquet", content)

    with pytest.raises(Unavailable, match="was changed or deleted after it was listed"):
        list(reader.read(shard))


def test_objects_that_may_not_be_listed_are_reported(store: Store) -> None:
    store.put("a.parquet", b"")
    store.list_status = 403
    with pytest.raises(RawlessError, match=r"The objects of gs://bucket/\*\.parquet cannot be listed"):
        open_bounded_source("parquet:gs://bucket/*.parquet", STREAM)
