"""The background process of the local stack: BigQuery's protocol over an embedded database, on loopback."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb_extensions
from bqemulator.api.routes.tabledata import _build_arrow_schema
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.grpc_api import write_servicer
from bqemulator.server import EmulatorServer

from rawless.local_stack import ADDRESS_FILE, LOCAL_PROJECT


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


async def serve(home: Path) -> None:
    """Serve until SIGTERM or SIGINT; the address file appears once requests are answered."""
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
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _append_on_loop(asyncio.get_running_loop())
    await server.start()
    _publish(home, {"pid": os.getpid(), "bigquery_rest": server.rest_url, "bigquery_grpc": server.grpc_endpoint})
    await stopping.wait()
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    await server.stop()


def _staging(home: Path) -> Path:
    path = home / "bigquery" / "uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _publish(home: Path, address: dict[str, object]) -> None:
    """Write the address file in one step, so that nobody reads half of it."""
    draft = home / f"{ADDRESS_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(address))
    draft.replace(home / ADDRESS_FILE)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
