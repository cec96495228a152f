"""A small server of Google's REST APIs, with credentials that it accepts: real HTTP, answers as the tests put them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Answer = Callable[[dict[str, Any]], tuple[int, Any]]
"""From a request's JSON to a status and what to answer: JSON, or bytes as they are."""


class FakeGoogle:
    """Answers what `answers` says for 'METHOD /path', 404 for all else, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Any] = {"POST /token": {"access_token": "a-token", "expires_in": 3600}}
        self.asked: list[str] = []
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: in two, the second would wait for the first

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

            def do_GET(self) -> None:
                fake.answer(self)

            def do_POST(self) -> None:
                fake.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One answer."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        asked = f"{request.command} {unquote(urlsplit(request.path).path)}"
        with self.lock:
            self.asked.append(asked)
        given = self.answers.get(asked, lambda _: (404, _refusal(404, "NOT_FOUND")))
        is_json = request.headers.get("Content-Type", "").startswith("application/json")
        status, content = given(json.loads(body) if is_json and body else {}) if callable(given) else (200, given)
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent)

    def stop(self) -> None:
        """No connection is accepted from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def refused(status: int, reason: str) -> Answer:
    """An answer that refuses, in Google's shape."""
    return lambda _: (status, _refusal(status, reason))


def _refusal(status: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": f"{reason} for a test", "status": reason}}


@contextmanager
def fake_google() -> Iterator[FakeGoogle]:
    """A server for as long as the block."""
    made = FakeGoogle()
    try:
        yield made
    finally:
        made.stop()


def credentials_file(google: FakeGoogle, folder: Path) -> Path:
    """A service account's key that is worth nothing, whose tokens the server gives."""
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
