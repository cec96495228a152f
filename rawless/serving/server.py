"""Running an app: an address, a server that logs nothing, and an end that finishes what it holds."""

import math
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from rawless.errors import UserError
from rawless.serving.connection import LimitedHttpProtocol

KEEP_ALIVE_SECONDS = 75


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is any that is free. Raises UserError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise UserError(f"{host}:{port} cannot be had ({error.strerror or 'no such address'}): name another.") from None
    return made


def socket_url(at: socket.socket) -> str:
    """Where a bound socket is reached."""
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, at: socket.socket, seconds: float, started: Callable[[], None]) -> bool:
    """Serve until Ctrl-C or SIGTERM; then finish what is held, for so many seconds at most.

    `started` is called when requests are answered. A second Ctrl-C stops at once; says whether none came.
    """
    config = uvicorn.Config(
        app, loop="uvloop", http=LimitedHttpProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=math.ceil(seconds) + 1,
    )  # fmt: skip
    server = _Server(config, started)
    # The server raises what stopped it once more, when it has ended: that is for whoever holds it.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[at])
    finally:
        signal.signal(signal.SIGTERM, before)
    return not server.force_exit


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._told()
