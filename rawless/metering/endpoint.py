"""An HTTP endpoint for Prometheus and for whatever watches over a process: `/metrics` and `/health`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rawless.errors import UserError
from rawless.loopback import is_loopback
from rawless.metering.metric import registry

_TIMEOUT_SECONDS = 10.0
"""A caller that sends nothing for this long is left."""


@contextmanager
def serve_metrics(port: int, host: str = "127.0.0.1", is_healthy: Callable[[], bool] = lambda: True) -> Iterator[str]:
    """Serve the metrics of this process in a thread, and yield the URL; port 0 picks a free one.

    `/health`, also named `/healthz`, answers 503 while `is_healthy` returns False. Raises UserError if the address
    cannot be bound.
    """
    try:
        server = _Server(host, port, is_healthy)
    except OSError as error:
        reason = error.strerror or "no such address"
        raise UserError(
            f"{host}:{port} cannot be bound for metrics ({reason}): choose another --metrics-port or --metrics-host."
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, is_healthy: Callable[[], bool]) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.is_local, self.is_healthy = is_loopback(host), is_healthy
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the name of the machine, for which the library would ask DNS."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a caller that left is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_SECONDS
    server_version, sys_version = "rawless", ""
    error_message_format = ""

    def do_GET(self) -> None:
        """Answer a request of Prometheus or a probe, and none that a page in a browser sent."""
        if "Origin" in self.headers or not self._is_for_this_machine():
            self._answer(HTTPStatus.FORBIDDEN)
        elif self.path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST)
        elif self.path in ("/health", "/healthz"):
            self._answer(HTTPStatus.OK if self.server.is_healthy() else HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _is_for_this_machine(self) -> bool:
        """Return whether the request names a loopback address, if only that is listened on."""
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            return False
        return not self.server.is_local or is_loopback(name or "")

    def _answer(self, status: HTTPStatus, body: bytes | None = None, content_type: str = "text/plain") -> None:
        body = f"{status.phrase}\n".encode() if body is None else body
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a request line is a caller's text."""
