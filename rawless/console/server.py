"""Serving the console on a loopback address until Ctrl-C."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime

from rawless.console.access import ENTRY, BrowserGate, Sessions
from rawless.console.app import create_app
from rawless.console.source import Source
from rawless.serving import server

HOST = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0


def bind(port: int) -> socket.socket:
    """Return a socket on the loopback address; port 0 picks a free one. Raises UserError when that fails."""
    return server.bind_socket(HOST, port)


def serve(
    source: Source,
    bound: socket.socket,
    on_link: Callable[[str], None],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    `on_link` gets the link that opens the console, when it is ready, and the next one whenever a browser followed one.
    """
    port, sessions = bound.getsockname()[1], Sessions()

    def give_link() -> None:
        on_link(f"http://{HOST}:{port}{ENTRY}?token={sessions.link_token}")

    app = BrowserGate(create_app(source, clock), port, sessions, give_link)
    server.serve(app, bound, _SHUTDOWN_SECONDS, give_link, to_this_machine=True)
