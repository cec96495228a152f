"""Tables of BigQuery as sources: rows with content or claim checks, and object tables."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from rawless.errors import Unavailable, UserError
from rawless.events.event import Event
from rawless.events.parse import Parser
from rawless.events.source import BoundedSource, read_all
from rawless.events.sources import open_bounded_source
from rawless.events.sources.bigquery import TableSource
from rawless.events.stream import Stream
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.table_streams import Tables
from tests.streams import ANY_ID

_numbers = count()
STREAM = Stream.model_validate(
    {
        "stream": "message",
        "modality": "text",
        "encoders": ["minilm@1.0.0"],
        "event_id": ANY_ID,
        "attributes": {"channel": {"enum": ["chat", "email"]}},
        "limits": {"max_bytes": 2000},
    }
)
ROW = """
  CONCAT('e', CAST(n AS STRING)) AS event_id,
  TIMESTAMP '2026-06-14 08:30:00+00' AS occurred_at,
  1000 + n AS subject_id,
  'chat' AS channel,
  1.5 AS other,
  CONCAT('text ', CAST(n AS STRING)) AS text
"""
OBJECT = """
  CONCAT('gs://bucket/', CAST(n AS STRING), '.jpg') AS uri,
  n AS generation,
  'image/jpeg' AS content_type,
  100 AS size,
  'x' AS md5_hash,
  TIMESTAMP '2026-06-15 08:30:00+00' AS updated,
  [{}] AS metadata
"""


@pytest.fixture
def table(warehouse: Warehouse) -> Iterator[Callable[..., str]]:
    """Returns a function that makes a table of some columns of n rows, and returns its name."""
    made = []

    def make(columns: str = ROW, rows: int = 3, kind: str = "TABLE") -> str:
        name = f"{warehouse.config.events}.source_{next(_numbers)}"
        made.append(f"DROP {kind} `{name}`")
        warehouse.query(f"CREATE {kind} `{name}` AS SELECT {columns} FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n")
        return name

    yield make
    for statement in made:
        warehouse.query(statement)


@pytest.fixture
def opened(warehouse: Warehouse) -> Callable[[str], BoundedSource]:
    """Returns a function that opens a source of the local BigQuery."""
    return lambda name: open_bounded_source(f"bigquery:{name}", STREAM, tables=lambda: Tables(warehouse))


def _fields(source: BoundedSource) -> list[Any]:
    found = [each.fields.reveal() if isinstance(each.fields, Raw) else each.fields for each in read_all(source)]
    return sorted(found, key=lambda fields: str(fields.get("event_id")))


def test_rows_of_a_table_are_events(table: Callable[..., str], opened: Callable[[str], BoundedSource]) -> None:
    source = opened(table())

    first, *_ = _fields(source)
    assert (first["event_id"], first["subject_id"], first["text"]) == ("e1", "1001", "text 1")
    parser = Parser(STREAM.model_copy(update={"subject": "none"}), None)
    parsed = [parser.parse(each, datetime(2026, 6, 15, tzinfo=UTC)) for each in read_all(source)]
    events = [each.outcome for each in parsed if isinstance(each.outcome, Event)]
    assert {event.occurred_at for event in events} == {datetime(2026, 6, 14, 8, 30, tzinfo=UTC)}
    assert {event.attributes for event in events} == {(("channel", "chat"),)}
    assert [each.dropped for each in parsed] == [1, 1, 1]


def test_each_stream_is_read_by_itself_and_each_row_once(
    table: Callable[..., str], opened: Callable[[str], BoundedSource]
) -> None:
    source = opened(table(ROW.replace("'text '", "REPEAT('text ', 100)"), rows=4_000))

    shards = list(source.reader().shards())
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda shard: list(source.reader().read(shard)), shards))

    assert len(shards) > 1
    found = [each for part in parts for each in part]
    assert {each.message_id for each in found} == {
        f"{number}:{row}" for number, part in enumerate(parts, start=1) for row in range(1, len(part) + 1)
    }
    ids = [each.fields.reveal()["event_id"] for each in found]  # type: ignore[union-attr]
    assert len(ids) == 4_000
    assert set(ids) == {f"e{number}" for number in range(1, 4_001)}


def test_an_empty_table_has_no_events(table: Callable[..., str], opened: Callable[[str], BoundedSource]) -> None:
    assert _fields(opened(table(rows=0))) == []


def test_bytes_and_claim_checks_are_read(table: Callable[..., str], opened: Callable[[str], BoundedSource]) -> None:
    columns = ROW.replace("AS text", "AS uri") + ", IF(n = 1, FROM_HEX('ff'), NULL) AS payload"
    first, second, _ = _fields(opened(table(columns)))
    assert (first["payload"], first["uri"]) == (b"\xff", "text 1")
    assert (second["payload"], second["uri"]) == (None, "text 2")


def test_named_values_are_attributes(table: Callable[..., str], opened: Callable[[str], BoundedSource]) -> None:
    columns = ROW.replace("'chat' AS channel", "[STRUCT('channel' AS key, 'email' AS value)] AS attributes")
    assert [each["attributes"] for each in _fields(opened(table(columns)))] == [{"channel": "email"}] * 3


def test_an_object_table_is_read_by_the_metadata_of_its_objects(
    table: Callable[..., str], opened: Callable[[str], BoundedSource]
) -> None:
    metadata = """
        STRUCT('event_id' AS name, CONCAT('e', CAST(n AS STRING)) AS value),
        STRUCT('occurred_at' AS name, '2026-06-14T08:30:00Z' AS value),
        STRUCT('channel' AS name, 'chat' AS value)
    """
    first, *_ = _fields(opened(table(OBJECT.format(metadata))))
    assert first == {
        "event_id": "e1",
        "occurred_at": "2026-06-14T08:30:00Z",
        "subject_id": None,
        "stream": "message",
        "uri": "gs://bucket/1.jpg",
        "attributes": {"channel": "chat"},
    }


def test_an_object_table_whose_objects_have_no_ids_is_refused_before_anything_starts(
    table: Callable[..., str], opened: Callable[[str], BoundedSource]
) -> None:
    name = table(OBJECT.format("STRUCT('owner' AS name, 'x' AS value)"))
    with pytest.raises(UserError, match=r"an object table, but the first of its objects have no metadata event_id: .*"):
        opened(name)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (ROW.replace("AS event_id", "AS id"), "it has no column event_id: add it."),
        (ROW.replace("TIMESTAMP '2026-06-14 08:30:00+00'", "DATETIME '2026-06-14 08:30:00'"), "its column occurred_at"),
        (ROW.replace("AS text", "AS words"), "it has no column of content"),
        (
            ROW.replace("1000 + n", "1.5 * n"),
            "its column subject_id is double, but must be text or an integer: convert it",
        ),
    ],
)
def test_wrong_columns_are_reported_before_anything_starts(
    columns: str, sentence: str, table: Callable[..., str], opened: Callable[[str], BoundedSource], warehouse: Warehouse
) -> None:
    name = table(columns)
    with pytest.raises(UserError) as refused:
        opened(name)
    assert str(refused.value).startswith(f"--source names bigquery:{warehouse.config.project}.{name}, but {sentence}")


def test_a_view_is_refused(table: Callable[..., str], opened: Callable[[str], BoundedSource]) -> None:
    name = table(kind="VIEW")
    with pytest.raises(UserError, match=r"but that is a view, whose rows cannot be read in parts: store them"):
        opened(name)


@pytest.mark.parametrize("name", ["t", "a.b.c.d", "d.t; DROP TABLE x", "p.d.", "gs://bucket/t", "my-project:d.t"])
def test_what_is_no_name_of_a_table_is_refused(name: str, opened: Callable[[str], BoundedSource]) -> None:
    with pytest.raises(UserError, match=r"must name a table as bigquery:PROJECT\.DATASET\.TABLE\.$"):
        opened(name)


def test_a_table_that_does_not_exist_is_reported(opened: Callable[[str], BoundedSource]) -> None:
    with pytest.raises(UserError, match=r"^The table .*none\.none cannot be read \(NotFound\): check that it exists"):
        opened("none.none")


def test_columns_that_change_while_a_job_runs_end_it(
    table: Callable[..., str], opened: Callable[[str], BoundedSource], warehouse: Warehouse
) -> None:
    name = table()
    source = opened(name)
    (shard,) = source.reader().shards()
    warehouse.query(f"DROP TABLE `{name}`")
    warehouse.query(f"CREATE TABLE `{name}` AS SELECT 'e' AS event_id, CURRENT_TIMESTAMP() AS occurred_at, 'x' AS text")
    with pytest.raises(Unavailable, match=r"^The columns of .* changed after it was opened; run again\.$"):
        list(source.reader().read(shard))


def test_a_stream_that_has_expired_is_reported_with_what_to_do(
    table: Callable[..., str], opened: Callable[[str], BoundedSource]
) -> None:
    source = opened(table())
    (shard,) = source.reader().shards()
    list(source.reader().read(shard))
    with pytest.raises(UserError, match=r"\(NotFound\): what a job reads of a table ends six hours after it started\."):
        list(source.reader().read(shard))  # the local BigQuery forgets a stream that was read


def test_a_bigquery_that_does_not_answer_is_unavailable(
    table: Callable[..., str], opened: Callable[[str], BoundedSource], warehouse: Warehouse
) -> None:
    source = opened(table())
    assert isinstance(source, TableSource)
    nowhere = Warehouse(warehouse.config, Emulator("http://127.0.0.1:9", "127.0.0.1:9"), retry_seconds=0.1)
    with pytest.raises(Unavailable, match="BigQuery did not answer"):
        Tables(nowhere).open_streams(source.table_id, ["event_id"], 1)
