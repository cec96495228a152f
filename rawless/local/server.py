"""The background process of the local stack: serves the protocols of BigQuery and Pub/Sub on loopback."""

import asyncio
import gc
import json
import os
import secrets
import signal
import sys
from pathlib import Path

from rawless.files import write_text
from rawless.local import bigquery as local_bigquery
from rawless.local.gate import TokenInterceptor
from rawless.local.pubsub import service
from rawless.local.pubsub.broker import Broker
from rawless.local.stack import ADDRESS_FILE, hold_alive
from rawless.privacy.logs import withheld


async def serve(home: Path) -> None:
    """Serve until SIGTERM or SIGINT. The address file exists while requests are answered."""
    os.umask(0o077)
    alive = hold_alive(home)
    with withheld():  # libraries' logs, which are kept in a file, may quote rows and statements
        await _serve(home)
    alive.close()


async def _serve(home: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    token = secrets.token_urlsafe(32)
    bigquery = await local_bigquery.start(home, token)
    pubsub, address = service.start(Broker(), TokenInterceptor(token))
    _write_address(
        home,
        {
            "pid": os.getpid(),
            "bigquery_rest": bigquery.rest_url,
            "bigquery_grpc": bigquery.grpc_endpoint,
            "pubsub": address,
            "token": token,
        },
    )
    # Syntax trees are many objects, so that the collector's defaults would stop for as long as a statement takes.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    await stopping.wait()
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    pubsub.stop(grace=None)
    await bigquery.stop()


def _write_address(home: Path, address: dict[str, object]) -> None:
    write_text(home / ADDRESS_FILE, json.dumps(address))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
