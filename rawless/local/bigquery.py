"""The local BigQuery: `bqemulator`, an embedded database behind BigQuery's protocol, with fixes for its bugs."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlglot
from bqemulator import server as emulator
from bqemulator.api import middleware
from bqemulator.api.app import create_app
from bqemulator.api.routes import jobs, tabledata
from bqemulator.api.routes.tabledata import _build_arrow_schema
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.catalog.models import JobMeta
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.domain.errors import AlreadyExistsError, InvalidQueryError
from bqemulator.domain.events import TableDataChanged
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.grpc_api import server as grpc_server
from bqemulator.jobs import executor
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.streaming import read_session
from bqemulator.types import geography
from bqemulator.versioning.snapshots import SnapshotManager
from fastapi.routing import APIRoute
from sqlglot.errors import SqlglotError
from sqlglot.expressions import Query
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import Receive, Scope, Send

from rawless.local import farm_fingerprint
from rawless.local.accesses import AccessRecord, reading_nothing
from rawless.local.conversions import convert_as_google
from rawless.local.elementwise import compute_elementwise
from rawless.local.gate import AsyncTokenInterceptor, Gate
from rawless.local.stack import LOCAL_PROJECT
from rawless.local.translation import translate_faster

MESSAGE_BYTES = 2_000_000
"""Approximate size of one message of a read stream; the server can send at most 11 MB."""


async def start(home: Path, token: str) -> emulator.EmulatorServer:
    """Serve the database in the home folder on free loopback ports, to requests with the token."""
    staging = _staging(home)
    server = emulator.EmulatorServer(
        Settings(
            rest_port=0,
            grpc_port=0,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=home / "bigquery",
            upload_staging_dir=staging,
            default_project_id=LOCAL_PROJECT,
            enable_format_extensions=False,  # these would be downloaded, too
            log_level=LogLevel.ERROR,
        )
    )
    _confine_files(staging)
    emulator.create_app = lambda context: Gate(create_app(context), token)
    grpc_server.CorrelationInterceptor = lambda: AsyncTokenInterceptor(token)  # the outermost one
    _run_appends_on_loop(asyncio.get_running_loop())
    record = AccessRecord(home)
    _run_listings_on_loop(record)
    _disable_time_travel(record)
    _forget_jobs()
    _run_an_id_once()
    _pass_requests_on()
    convert_as_google()
    compute_elementwise()
    translate_faster()
    farm_fingerprint.correct()
    _read_no_rows_in_dry_runs()
    _record_reads(record)
    await server.start()
    return server


def _staging(home: Path) -> Path:
    path = home / "bigquery" / "uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _confine_files(staging: Path) -> None:
    """Let statements and jobs open no file but the database and uploads.

    Otherwise who reaches the port reads and writes any file of the user, as in `SELECT * FROM read_text('…')`.
    bqemulator 1.4.0 installs and loads DuckDB's extension `spatial`, which is left out: its GDAL opens files past
    these settings. So GEOGRAPHY does not work.
    """
    quoted = str(staging).replace("'", "''")
    settings = (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_persistent_secrets = false",
        "python_enable_replacements = false",  # otherwise a query could name a variable of the emulator's functions
        f"allowed_directories = ['{quoted}']",
        "enable_external_access = false",
        "lock_configuration = true",
    )

    def restrict(self: DuckDBEngine) -> None:
        for setting in settings:
            self.execute(f"SET {setting}")

    def resolve_uri(uri: str, _: Any) -> str:
        path = Path(uri.removeprefix("file://")).resolve()
        if path.parent != staging.resolve():
            raise InvalidQueryError("the local BigQuery reads no file but the file of an upload, and writes none")
        return str(staging / path.name)

    def refuse_geography() -> None:
        raise InvalidQueryError("the local BigQuery does not support GEOGRAPHY")

    DuckDBEngine._load_spatial = restrict
    geography._ensure_conv_conn = refuse_geography
    executor._resolve_uri = resolve_uri


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


def _run_listings_on_loop(record: AccessRecord) -> None:
    """Run listings of rows on the event loop, like queries. bqemulator 1.4.0 runs them in threads, too."""
    list_rows = tabledata.list_tabledata

    async def list_on_loop(*arguments: Any, **options: Any) -> Any:
        listed = list_rows(*arguments, **options)
        record.add(options["dataset_id"], options["table_id"], "read")
        return listed

    list_on_loop.__signature__ = inspect.signature(list_rows, eval_str=True)  # type: ignore[attr-defined]
    for route in tabledata.router.routes:
        if isinstance(route, APIRoute) and route.endpoint is list_rows:
            route.endpoint = list_on_loop


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


def _disable_time_travel(record: AccessRecord) -> None:
    """Keep each row once, and refuse queries of a table's past.

    bqemulator 1.4.0 copies the whole table at every append for such queries: 20,000 rows took gigabytes and minutes,
    and erased rows would be kept.
    """

    def record_change(self: SnapshotManager, project_id: str, dataset_id: str, table_id: str) -> None:
        self._events.publish(TableDataChanged(project_id, dataset_id, table_id))
        record.add(dataset_id, table_id, "change")

    def resolve_time_travel(*_: Any) -> None:
        raise InvalidQueryError("the local BigQuery does not support time travel")

    SnapshotManager.record_change = record_change
    SnapshotManager.resolve_time_travel = resolve_time_travel


def _forget_jobs() -> None:
    """Keep the history of jobs in memory: to write a job into the database takes longer than most statements.

    bqemulator 1.4.0 keeps the results of jobs in memory only, so that the history is of no use after a restart.
    """

    def write_nothing(*_: Any) -> None:
        pass

    DuckDBCatalogRepository._write_job = write_nothing


def _run_an_id_once() -> None:
    """Refuse a second job with the id of another, as BigQuery does. bqemulator 1.4.0 runs it, too."""
    handle, running = jobs._handle_query_job, set[tuple[str, str]]()

    async def handle_new(project_id: str, job_id: str, config: dict[str, Any], *, ctx: Any, **options: Any) -> Any:
        job = (project_id, job_id)
        if job in running or ctx.catalog.get_job(*job):
            raise AlreadyExistsError(f"Already Exists: Job {project_id}:US.{job_id}")
        running.add(job)
        try:
            outcome = await handle(project_id, job_id, config, ctx=ctx, **options)
            if isinstance(outcome, JobMeta):
                outcome.configuration["labels"] = config.get("labels", {})  # bqemulator forgets them
            return outcome
        finally:
            running.remove(job)

    jobs._handle_query_job = handle_new


def _pass_requests_on() -> None:
    """Serve requests directly: bqemulator 1.4.0 logs and counts each in layers that take longer than most answers."""

    async def pass_on(self: BaseHTTPMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    for layer in (middleware.AccessLogMiddleware, middleware.CorrelationIdMiddleware, middleware.MetricsMiddleware):
        layer.__call__ = pass_on


def _read_no_rows_in_dry_runs() -> None:
    """Dry-run a query without its rows. bqemulator 1.4.0 runs all of it, so that its errors quote values of rows."""
    dry_run = jobs._dry_run_response

    async def dry_run_without_rows(*, bq_sql: str, **options: Any) -> Any:
        with reading_nothing():
            return await dry_run(bq_sql=_without_rows(bq_sql), **options)

    jobs._dry_run_response = dry_run_without_rows


def _record_reads(record: AccessRecord) -> None:
    """Record the tables that statements and read sessions read; listings and changes are recorded where they happen."""
    execute, resolve_target = jobs.execute_query_job, read_servicer._resolve_read_target

    async def execute_and_record(project: str, job_id: str, sql: str, *arguments: Any, **options: Any) -> JobMeta:
        with record.job(job_id):
            outcome: JobMeta = await execute(project, job_id, sql, *arguments, **options)
            record.add_statement(sql)
            return outcome

    def resolve_and_record(*arguments: Any) -> Any:
        target = resolve_target(*arguments)
        if target is not None:
            record.add(target[1], target[2], "read")
        return target

    jobs.execute_query_job = execute_and_record
    read_servicer._resolve_read_target = resolve_and_record


def _without_rows(sql: str) -> str:
    """Return a statement that has the same faults of SQL, and reads no row."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="bigquery") if tree]
    except SqlglotError:
        return sql
    if len(trees) == 1 and isinstance(trees[0], Query):
        return f"SELECT * FROM ({sql.strip().removesuffix(';')}\n) LIMIT 0"  # noqa: S608 - the user's own statement
    # Statements that change something are not executed; scripts would be.
    return sql if jobs.classify_statement_type(sql) in jobs._DESTRUCTIVE_STATEMENT_TYPES else "SELECT 1"
