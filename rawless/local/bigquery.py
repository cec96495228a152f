"""The local BigQuery: `bqemulator`, an embedded database behind BigQuery's protocol, with fixes for its bugs."""

import asyncio
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb_extensions
import pyarrow as pa
from bqemulator.api.routes.tabledata import _build_arrow_schema
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.domain.events import TableDataChanged
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.server import EmulatorServer
from bqemulator.streaming import read_session
from bqemulator.versioning.snapshots import SnapshotManager
from sqlglot import Dialect, Expr

from rawless.local.stack import LOCAL_PROJECT

MESSAGE_BYTES = 2_000_000
"""Approximate size of one message of a read stream; the server can send at most 11 MB."""


async def start(home: Path) -> EmulatorServer:
    """Serve the database in the home folder on free loopback ports."""
    duckdb_extensions.import_extension("spatial")  # otherwise the emulator downloads it
    server = EmulatorServer(
        Settings(
            rest_port=0,
            grpc_port=0,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=home / "bigquery",
            upload_staging_dir=_staging(home),
            default_project_id=LOCAL_PROJECT,
            enable_format_extensions=False,  # these would be downloaded, too
            log_level=LogLevel.ERROR,
        )
    )
    _run_appends_on_loop(asyncio.get_running_loop())
    _disable_time_travel()
    _cache_parsing()
    await server.start()
    return server


def _staging(home: Path) -> Path:
    path = home / "bigquery" / "uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _nested(field: Any) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.type,
        "mode": field.mode,
        "fields": [_nested(f) for f in field.fields or ()],
    }


def _table_arrow_schema(table: Any) -> Any:
    return _build_arrow_schema([_nested(field) for field in table.schema_.fields])


# bqemulator 1.4.0 drops the fields of a record here, so that no row with attributes could be appended.
write_servicer._table_arrow_schema = _table_arrow_schema


def _run_appends_on_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run appends on the event loop, like queries.

    bqemulator 1.4.0 runs them in threads, on the connection that queries use, so that a query could get an append's
    result, or an append could fail.
    """

    def on_loop(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            async def run() -> Any:
                return method(*arguments)

            return asyncio.run_coroutine_threadsafe(run(), loop).result()

        return call

    handler = write_servicer.BigQueryWriteHandler
    handler._bind_stream_to_target = on_loop(handler._bind_stream_to_target)
    handler._perform_append = on_loop(handler._perform_append)


class _Messages:
    """The rows of a read stream, in batches that fit into one message each.

    bqemulator 1.4.0 puts 65,536 rows into a message, whatever their size, and then fails to send it. It also keeps the
    rows of every session in memory until it exits; here a session is dropped after its last stream was read. A stream
    can be read once, since offsets are ignored.
    """

    def __init__(self, rows: pa.Table, session: str, stream: str) -> None:
        self.schema = rows.schema
        self._rows, self._session, self._stream = rows, session, stream

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """Yield batches of at most `max_chunksize` rows."""
        rows_per_message = self._rows.num_rows * MESSAGE_BYTES // max(self._rows.nbytes, 1)
        try:
            yield from self._rows.to_batches(max_chunksize=max(1, min(rows_per_message, max_chunksize)))
        finally:
            state = read_session._SESSIONS[self._session]
            state.streams = [stream for stream in state.streams if stream.name != self._stream]
            if not state.streams:
                del read_session._SESSIONS[self._session]


def _get_stream_data(session: str, stream: str) -> _Messages | None:
    rows = read_session.get_stream_data(session, stream)
    return None if rows is None else _Messages(rows, session, stream)


read_servicer.get_stream_data = _get_stream_data


def _disable_time_travel() -> None:
    """Keep each row once, and refuse queries of a table's past.

    bqemulator 1.4.0 copies the whole table at every append for such queries: 20,000 rows took gigabytes and minutes,
    and erased rows would be kept.
    """

    def record_change(self: SnapshotManager, project_id: str, dataset_id: str, table_id: str) -> None:
        self._events.publish(TableDataChanged(project_id, dataset_id, table_id))

    def resolve_time_travel(*_: Any) -> None:
        raise InvalidQueryError("the local BigQuery does not support time travel")

    SnapshotManager.record_change = record_change
    SnapshotManager.resolve_time_travel = resolve_time_travel


def _cache_parsing() -> None:
    """Parse each text once and hand out copies of its syntax tree.

    bqemulator 1.4.0 parses a statement about twenty times on its way to the database, which takes most of the time.
    """
    parse = Dialect.parse

    @lru_cache(maxsize=512)
    def parse_once(kind: type[Dialect], sql: str) -> tuple[Expr | None, ...]:
        return tuple(parse(kind(), sql))

    def parse_cached(self: Dialect, sql: str, **options: Any) -> list[Expr | None]:
        if options or self.settings:
            return parse(self, sql, **options)
        return [tree.copy() if tree else None for tree in parse_once(type(self), sql)]

    Dialect.parse = parse_cached  # type: ignore[method-assign]
