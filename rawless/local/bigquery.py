"""The local BigQuery: `bqemulator`, an embedded database behind BigQuery's protocol, with its faults mended."""

import asyncio
from collections.abc import Callable, Iterator
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

from rawless.local.stack import LOCAL_PROJECT

MESSAGE_BYTES = 2_000_000
"""About what is read at once: a message of the server takes 11 MB."""


async def start(home: Path) -> EmulatorServer:
    """Serve the database in the home folder on free ports of loopback."""
    duckdb_extensions.import_extension("spatial")  # the emulator would download it
    server = EmulatorServer(
        Settings(
            rest_port=0,
            grpc_port=0,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=home / "bigquery",
            upload_staging_dir=_staging(home),
            default_project_id=LOCAL_PROJECT,
            enable_format_extensions=False,  # likewise a download
            log_level=LogLevel.ERROR,
        )
    )
    _append_on_loop(asyncio.get_running_loop())
    _keep_no_history()
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


# bqemulator 1.4.0 forgets the fields of a record here, so no row with attributes could be appended.
write_servicer._table_arrow_schema = _table_arrow_schema


def _append_on_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let appends use the database where queries do, on the event loop.

    bqemulator 1.4.0 handles them in threads, on the one connection that queries use too, so that a query could be
    answered with an append's result, or an append be lost to an error.
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
    """The rows of a read stream in parts that fit into a message each; its session is forgotten with its last stream.

    bqemulator 1.4.0 puts 65,536 rows into a message, whatever they weigh, and then cannot send it; and it holds the
    rows of every session in memory until it ends. A stream is read once: it takes no notice of an offset.
    """

    def __init__(self, rows: pa.Table, session: str, stream: str) -> None:
        self.schema = rows.schema
        self._rows, self._session, self._stream = rows, session, stream

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """The parts, of at most so many rows each."""
        fitting = self._rows.num_rows * MESSAGE_BYTES // max(self._rows.nbytes, 1)
        try:
            yield from self._rows.to_batches(max_chunksize=max(1, min(fitting, max_chunksize)))
        finally:
            state = read_session._SESSIONS[self._session]
            state.streams = [stream for stream in state.streams if stream.name != self._stream]
            if not state.streams:
                del read_session._SESSIONS[self._session]


def _stream_in_messages(session: str, stream: str) -> _Messages | None:
    rows = read_session.get_stream_data(session, stream)
    return None if rows is None else _Messages(rows, session, stream)


read_servicer.get_stream_data = _stream_in_messages


def _keep_no_history() -> None:
    """Keep each row once.

    bqemulator 1.4.0 copies the whole table at every append, for queries of its past: 20,000 rows took gigabytes and
    minutes, and an erased row would live on. Such a query is refused instead.
    """

    def record_change(self: SnapshotManager, project_id: str, dataset_id: str, table_id: str) -> None:
        self._events.publish(TableDataChanged(project_id, dataset_id, table_id))

    def resolve_time_travel(*_: Any) -> None:
        raise InvalidQueryError("the local BigQuery keeps no past states of its tables")

    SnapshotManager.record_change = record_change
    SnapshotManager.resolve_time_travel = resolve_time_travel
