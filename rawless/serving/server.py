"""The HTTP server: binds an address, logs nothing, and finishes requests in progress before it stops."""

import math
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from rawless.errors import UserError

KEEP_ALIVE_SECONDS = 75


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 picks a free one. Raises UserError when that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = error.strerror or "no such address"
        raise UserError(f"{host}:{port} cannot be bound ({reason}): choose another address or port.") from None
    return bound


def socket_url(bound: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: ASGIApp, bound: socket.socket, seconds: float, on_started: Callable[[], None], *, to_this_machine: bool = False
) -> bool:
    """Serve until Ctrl-C or SIGTERM, then finish the requests in progress, for at most `seconds`.

    `on_started` is called when the service is ready. A second Ctrl-C stops immediately. Returns whether the service
    finished without one. With `to_this_machine` it uses what uvicorn brings, without the speed and the limits that
    callers from elsewhere need.
    """
    config = uvicorn.Config(
        app, **(_PLAIN if to_this_machine else _fast_and_limited()), ws="none", lifespan="on", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(seconds) + 1,
    )  # fmt: skip
    server = _Server(config, on_started)
    # Uvicorn re-raises the signal that stopped it after its shutdown; it must not end the process a second time.
    previous_handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
    return not server.force_exit


_PLAIN = {"loop": "asyncio", "http": "h11"}


def _fast_and_limited() -> dict[str, Any]:
    from rawless.serving.connection import LimitedHttpProtocol

    return {"loop": "uvloop", "http": LimitedHttpProtocol}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()
