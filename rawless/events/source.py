"""What a source of events is: the protocols that every scheme of `--source` implements."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

import pyarrow as pa

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.stream import Stream


class Reader(Protocol):
    """Reads a bounded source shard by shard.

    A shard names a part of the source and contains no content, so it may travel through a shuffle; deliveries may not.
    """

    def shards(self) -> Iterator[Any]:
        """Yield the parts of the source that can be read independently of each other."""

    def read(self, shard: Any) -> Iterator[Delivery]:
        """Yield the deliveries of one part, in order."""


class BoundedSource(Protocol):
    """A source with an end, such as a file. It is pickled into the job, so it contains names only."""

    is_bounded: ClassVar[Literal[True]] = True

    def check(self) -> None:
        """Raise UserError if the source cannot be read at all. Called before a job starts."""

    def reader(self) -> Reader:
        """Return a reader, which may open files and cache what it finds; a worker opens its own."""

    def only_here(self) -> str | None:
        """Return what of the source only this machine can read, as in `the file events.jsonl`, or None."""


class UnboundedSource(Protocol):
    """A source of messages without an end. `pipelines.unbounded` finds how Beam reads each scheme."""

    is_bounded: ClassVar[Literal[False]] = False
    scheme: ClassVar[str]

    def check(self) -> None:
        """See `BoundedSource.check`."""

    def how_to_replay(self, first_rejected_at: datetime | None) -> str:
        """Return the sentence that explains how rejected messages are delivered again."""


Source = BoundedSource | UnboundedSource


@dataclass(frozen=True)
class TableDescription:
    """What is known of a table before it is read."""

    kind: str
    """As BigQuery calls it, such as TABLE, VIEW or EXTERNAL."""
    schema: pa.Schema
    rows: int
    size: int
    """In bytes."""


class Tables(Protocol):
    """The tables of BigQuery. Can be pickled into a job. Every method raises UserError and Unavailable."""

    def full_id(self, name: str) -> str:
        """Return project, dataset and table of `PROJECT.DATASET.TABLE`, or of `DATASET.TABLE` in the own project."""

    def describe(self, table_id: str) -> TableDescription:
        """Return what is known of a table."""

    def open_streams(self, table_id: str, columns: Sequence[str], at_least: int) -> list[str]:
        """Return the names of streams that together have each row once, as of now; more than `at_least` if possible."""

    def read_stream(self, name: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a stream, one batch of some megabytes at a time."""

    def only_here(self) -> bool:
        """Return whether only this machine can read them."""


def no_tables() -> Tables:
    """Raise UserError, where no BigQuery is known."""
    raise UserError("Tables cannot be read here: name a source of files.")


@dataclass(frozen=True)
class SourceOptions:
    """What a source needs to know besides its location."""

    stream: Stream
    metadata: str | None
    """The CSV that `--metadata` names: a path, or `gs://` and a pattern."""
    max_bytes: int
    """The largest payload that is read, in bytes."""
    tables: Callable[[], Tables] = no_tables
    """Opens BigQuery, for a source that is a table."""


@dataclass(frozen=True)
class Scheme:
    """One kind of source: how `--source NAME:LOCATION` is opened."""

    name: str
    usage: str
    """As in `jsonl:PATH`, for messages and help."""
    open: Callable[[str, SourceOptions], Source]
    """Return the source at a location. Raises UserError if the location or the options are wrong."""
    is_bounded: bool = True
    takes_metadata: bool = False


def read_all(source: BoundedSource) -> Iterator[Delivery]:
    """Yield every delivery of a bounded source, shard after shard, in this process."""
    reader = source.reader()
    for shard in reader.shards():
        yield from reader.read(shard)
