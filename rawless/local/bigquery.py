"""The local BigQuery: `bqemulator`, an embedded database behind BigQuery's protocol, with fixes for its bugs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from bqemulator import server as emulator
from bqemulator.api import middleware
from bqemulator.api.app import create_app
from bqemulator.api.routes import jobs
from bqemulator.api.routes.tabledata import _build_arrow_schema
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.domain.events import TableDataChanged
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.grpc_api import server as grpc_server
from bqemulator.jobs import executor
from bqemulator.sql import inner_query, translator
from bqemulator.sql.rewriter import default_dataset
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.streaming import read_session
from bqemulator.types import geography
from bqemulator.versioning.snapshots import SnapshotManager
from sqlglot import Dialect, Expr
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.expressions import Expression, Query, Table
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import Receive, Scope, Send

from rawless.local.gate import AsyncTokenInterceptor, Gate
from rawless.local.stack import LOCAL_PROJECT

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
    _disable_time_travel()
    _forget_jobs()
    _pass_requests_on()
    _translate_faster()
    _read_no_rows_in_dry_runs()
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


def _forget_jobs() -> None:
    """Keep the history of jobs in memory: to write a job into the database takes longer than most statements.

    bqemulator 1.4.0 keeps the results of jobs in memory only, so that the history is of no use after a restart.
    """

    def write_nothing(*_: Any) -> None:
        pass

    DuckDBCatalogRepository._write_job = write_nothing


def _pass_requests_on() -> None:
    """Serve requests directly: bqemulator 1.4.0 logs and counts each in layers that take longer than most answers."""

    async def pass_on(self: BaseHTTPMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    for layer in (middleware.AccessLogMiddleware, middleware.CorrelationIdMiddleware, middleware.MetricsMiddleware):
        layer.__call__ = pass_on


def _translate_faster() -> None:
    """Parse each text once, and generate SQL only where it changed.

    bqemulator 1.4.0 parses a statement about twenty times on its way to the database, which takes most of the time.
    """
    Dialect.parse = _parse_once  # type: ignore[method-assign]
    Expression.update_positions = _leave_out_positions  # type: ignore[assignment,method-assign]
    default_dataset.qualify_unqualified_tables = _qualify_unqualified_tables
    inner_query.build_catalog_schema = _build_catalog_schema
    translator.SQLTranslator._apply_rules = _apply_rules_once
    translator.SQLTranslator.translate = _translate_once
    executor.rewrite_table_refs = lru_cache(_MAX_TEXTS)(_sharing(executor.rewrite_table_refs))
    executor._reject_dml_on_immutable = _reject_dml_sharing
    executor._capture_dml_snapshots = _capture_dml_sharing
    for module, names in _SHARING.items():
        for name in names:
            setattr(module, name, _sharing(getattr(module, name)))


_SHARING: dict[Any, tuple[str, ...]] = {
    executor: ("_parse_for_classification", "detect_drop_routine"),
    ddl_sync: (
        "_detect_catalog_drop", "_detect_create_schema", "_detect_plain_create_table", "_detect_plain_create_view",
    ),
    inner_query: ("rewrite_for_row_access",),
    translator: ("rewrite_create_table_schema_ctas", "rewrite_division_by_zero", "rewrite_unnest_struct"),
}  # fmt: skip
"""Functions that look at the trees of a text, and return another text if they change them."""
_MAX_TEXTS = 256
"""Texts whose trees and translations are kept."""


class _Trees(threading.local):
    """The syntax trees of the latest texts."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[type[Dialect], list[Expr | None]]] = {}

    def of(self, kind: type[Dialect], sql: str) -> list[Expr | None]:
        """Return the trees of a text, parsed at the first call."""
        trees = self._trees[sql] = self._trees.pop(sql, {})  # as the latest
        if kind not in trees:
            trees[kind] = _parse(kind(), sql)
        if len(self._trees) > _MAX_TEXTS:
            self.forget(next(iter(self._trees)))
        return trees[kind]

    def forget(self, sql: str) -> None:
        """Parse a text anew the next time."""
        self._trees.pop(sql, None)


_parse = Dialect.parse
_trees = _Trees()
_shared = ContextVar("_shared", default="")
"""The text of which the running function gets the trees themselves."""


def _parse_once(self: Dialect, sql: str, **options: Any) -> list[Expr | None]:
    if options or self.settings:
        return _parse(self, sql, **options)
    trees = _trees.of(type(self), sql)
    return trees if sql == _shared.get() else [tree.copy() if tree else None for tree in trees]


@contextmanager
def _share(sql: str) -> Iterator[None]:
    """Hand out the trees of a text themselves instead of copies."""
    token = _shared.set(sql)
    try:
        yield
    finally:
        _shared.reset(token)


def _sharing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Share the trees of a function's first argument with it, and forget them if it changed them."""

    def call(sql: str, *arguments: Any, **options: Any) -> Any:
        try:
            with _share(sql):
                result = function(sql, *arguments, **options)
        except Exception:
            _trees.forget(sql)
            raise
        if isinstance(result, str) and result is not sql:
            _trees.forget(sql)
        return result

    return call


_reject_dml, _capture_dml = executor._reject_dml_on_immutable, executor._capture_dml_snapshots


def _reject_dml_sharing(project: str, sql: str, context: Any) -> None:
    with _share(sql):
        _reject_dml(project, sql, context)


async def _capture_dml_sharing(project: str, sql: str, context: Any) -> None:
    with _share(sql):
        await _capture_dml(project, sql, context)


def _leave_out_positions(self: Expression, *_: Any, **__: Any) -> Expression:
    """Place no node in its text: positions are half of the time of a copy, and nothing needs them."""
    return self


_qualify: Callable[..., str] = default_dataset.qualify_unqualified_tables


def _qualify_unqualified_tables(sql: str, **defaults: str) -> str:
    """Keep a text as it is unless it names a table without its dataset."""
    try:
        trees = [tree for tree in _trees.of(BigQuery, sql) if tree]
    except SqlglotError:
        return sql
    for tree in trees:
        names = default_dataset._collect_cte_names(tree)
        if any(not table.db and table.name not in names for table in tree.find_all(Table)):
            return _qualify(sql, **defaults)
    return sql


_catalog_schema = inner_query.build_catalog_schema


def _build_catalog_schema(sql: str, **options: Any) -> Any:
    """Look up the types of columns only for the one function whose translation depends on them."""
    return _catalog_schema(sql, **options) if "AVG" in sql.upper() else {}


def _read_no_rows_in_dry_runs() -> None:
    """Dry-run a query without its rows. bqemulator 1.4.0 runs all of it, so that its errors quote values of rows."""
    dry_run = jobs._dry_run_response

    async def dry_run_without_rows(*, bq_sql: str, **options: Any) -> Any:
        return await dry_run(bq_sql=_without_rows(bq_sql), **options)

    jobs._dry_run_response = dry_run_without_rows


def _without_rows(sql: str) -> str:
    """Return a statement that has the same faults of SQL, and reads no row."""
    try:
        trees = [tree for tree in _trees.of(BigQuery, sql) if tree]
    except SqlglotError:
        return sql
    if len(trees) == 1 and isinstance(trees[0], Query):
        return f"SELECT * FROM ({sql.strip().removesuffix(';')}\n) LIMIT 0"  # noqa: S608 - the user's own statement
    # Statements that change something are not executed; scripts would be.
    return sql if jobs.classify_statement_type(sql) in jobs._DESTRUCTIVE_STATEMENT_TYPES else "SELECT 1"


_apply_rules, _translate = translator.SQLTranslator._apply_rules, translator.SQLTranslator.translate
_translate_latest = lru_cache(_MAX_TEXTS)(_translate)


def _translate_once(self: translator.SQLTranslator, sql: str, *, schema: Any = None, caller: Any = None) -> Any:
    return (
        _translate(self, sql, schema=schema, caller=caller) if schema else _translate_latest(self, sql, caller=caller)
    )


def _apply_rules_once(self: translator.SQLTranslator, sql: str, *, schema: Any = None) -> Any:
    """Give the rules the tree itself, unless types are added to it."""
    return _apply_rules(self, sql, schema=schema) if schema else _sharing(partial(_apply_rules, self))(sql)
