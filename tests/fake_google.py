"""A small HTTP server that stands in for Google's REST APIs, and credentials that it accepts."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Answer = Callable[[dict[str, Any]], tuple[int | None, Any]]
"""Maps a request's JSON, or its query, to a status and a body: a JSON value, or bytes that are sent unchanged.

Without a status (None) the connection is closed without an answer.
"""


class FakeGoogle:
    """Answers a request for 'METHOD /path' from `answers`, any other with 404, and records it in `requests`."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Any] = {"POST /token": {"access_token": "a-token", "expires_in": 3600}}
        self.requests: list[str] = []
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # send a response in one packet; a second one would wait for the first to be acknowledged

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                fake.answer(self)

            def do_POST(self) -> None:
                fake.answer(self)

            def do_PUT(self) -> None:
                fake.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        name = f"{request.command} {unquote(urlsplit(request.path).path)}"
        with self.lock:
            self.requests.append(name)
        answer = self.answers.get(name, lambda _: (404, refusal(404, "NOT_FOUND")))
        is_json = request.headers.get("Content-Type", "").startswith("application/json")
        fields = json.loads(body) if is_json and body else dict(parse_qsl(urlsplit(request.path).query))
        status, content = answer(fields) if callable(answer) else (200, answer)
        if status is None:
            request.close_connection = True
            return
        response = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(response)))
        request.end_headers()
        request.wfile.write(response)

    def stop(self) -> None:
        """Stop the server; no further connection is accepted."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def refused(status: int, reason: str) -> Answer:
    """Return an answer that is an error in Google's format."""
    return lambda _: (status, refusal(status, reason))


def refusal(status: int, reason: str) -> dict[str, Any]:
    """Return the body of an error in Google's format."""
    return {"error": {"code": status, "message": f"{reason} for a test", "status": reason}}


@contextmanager
def fake_google() -> Iterator[FakeGoogle]:
    """Run a server while the block runs."""
    server = FakeGoogle()
    try:
        yield server
    finally:
        server.stop()


def credentials_file(google: FakeGoogle, folder: Path) -> Path:
    """Write an invented service account key whose tokens the server issues, and return its path."""
    path = folder / "credentials.json"
    account = "tester@a-project.iam.gserviceaccount.com"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "a-project",
                "private_key_id": "1",
                "private_key": _private_key(),
                "client_email": account,
                "token_uri": f"{google.url}/token",
            }
        )
    )
    return path


@cache
def _private_key() -> str:
    return (
        rsa.generate_private_key(65537, 2048)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
