"""`bigquery:PROJECT.DATASET.TABLE`: the rows of a table, or the objects that an object table lists."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import ClassVar, Literal

from rawless.errors import Unavailable, UserError
from rawless.events.columns import Columns, ObjectColumns, Wanted, read_batches
from rawless.events.event import Delivery
from rawless.events.source import Scheme, SourceOptions, TableDescription, Tables

_NAME = re.compile(r"(?:[a-z][a-z0-9.:-]{4,60}[a-z0-9]\.)?[A-Za-z_]\w{0,1023}\.[\w-]{1,1024}", re.ASCII)
ROWS_PER_STREAM = 1_000
"""So many rows at least are worth a stream of their own."""
_READABLE = frozenset({"TABLE", "EXTERNAL", "SNAPSHOT", "CLONE", "MATERIALIZED_VIEW"})
_FAILED = "A part of the table cannot be decoded: run the job again."


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of a read session, and its number, from 1."""

    name: str
    number: int


@dataclass(frozen=True)
class TableSource:
    """A table with a row for each event, or an object table, whose objects have the fields as their metadata.

    The message id of a row consists of the number of its stream and its own in the stream. Another run may number them
    otherwise.
    """

    is_bounded: ClassVar[Literal[True]] = True

    table_id: str
    wanted: Wanted
    tables: Tables

    def check(self) -> None:
        """See `BoundedSource.check`."""
        found = self.description
        if found.kind not in _READABLE:
            raise UserError(
                f"--source names bigquery:{self.table_id}, but that is a {found.kind.lower()}, whose rows cannot be "
                "read in parts: store them in a table, as in `CREATE TABLE … AS SELECT`."
            )
        if ObjectColumns.fits(found.schema):
            self._check_objects()
        elif fault := self.wanted.explain_bad_columns(found.schema):
            raise UserError(f"--source names bigquery:{self.table_id}, but {fault}.")

    def reader(self) -> "TableReader":
        """See `BoundedSource.reader`."""
        return TableReader(self)

    def only_here(self) -> str | None:
        """See `BoundedSource.only_here`."""
        return f"a table of the local BigQuery ({self.table_id})" if self.tables.only_here() else None

    def _check_objects(self) -> None:
        """Raise UserError if none of the first objects has an event id: nothing else of an object table is one."""
        columns = ObjectColumns(self.wanted.stream)
        (name, *_) = self.tables.open_streams(self.table_id, columns.read, 1)
        first = next(read_batches(self.tables.read_stream(name), _FAILED), None)
        if first is not None and not columns.has_ids(first):
            raise UserError(
                f"--source names bigquery:{self.table_id}, an object table, but the first of its objects have no "
                "metadata event_id: store event_id and occurred_at as metadata of the objects, or join its uri with a "
                "table that has them into a new table."
            )

    @property
    def description(self) -> TableDescription:
        """What is known of the table now."""
        return self.tables.describe(self.table_id)


class TableReader:
    """Reads the rows stream by stream; see `rawless.events.source.Reader`."""

    def __init__(self, source: TableSource) -> None:
        self._source = source

    def shards(self) -> Iterator[Stream]:
        """Open a read session, which has each row as of now once, and yield its streams."""
        at_least = self._description.rows // ROWS_PER_STREAM
        names = self._source.tables.open_streams(self._source.table_id, self._columns.read, at_least)
        for number, name in enumerate(names, start=1):
            yield Stream(name, number)

    def read(self, shard: Stream) -> Iterator[Delivery]:
        """Yield the deliveries of a stream."""
        ids = (f"{shard.number}:{number}" for number in count(1))
        for batch in read_batches(self._source.tables.read_stream(shard.name), _FAILED):
            if not self._columns.fit(batch):
                raise Unavailable(f"The columns of {self._source.table_id} changed after it was opened; run again.")
            yield from self._columns.deliveries(batch, ids)

    @cached_property
    def _description(self) -> TableDescription:
        return self._source.description

    @cached_property
    def _columns(self) -> Columns | ObjectColumns:
        found, wanted = self._description, self._source.wanted
        return ObjectColumns(wanted.stream) if ObjectColumns.fits(found.schema) else wanted.columns(found.schema)


def _open(location: str, options: SourceOptions) -> TableSource:
    if not _NAME.fullmatch(location):
        raise UserError(f"--source names bigquery:{location}, but must name a table as bigquery:PROJECT.DATASET.TABLE.")
    tables = options.tables()
    return TableSource(tables.full_id(location), Wanted.by(options.stream), tables)


SCHEME = Scheme("bigquery", "bigquery:PROJECT.DATASET.TABLE", _open)
