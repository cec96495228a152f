"""A small Google Cloud Storage on this machine, whose answers can be late, cut off or refused."""

import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Stored:
    """An object in the bucket, or how it fails: a status for each request, the last one for all that follow."""

    content: bytes = b""
    metadata_status: list[int] = field(default_factory=lambda: [200])
    media_status: list[int] = field(default_factory=lambda: [200])
    encoding: str | None = None
    content_type: str = "application/octet-stream"
    cut: int = 0
    """The number of responses that end after half of their body."""
    ignores_range: bool = False
    """Whether all of it is sent, as the store does where it inflates an object."""
    refusal: str = "No"
    """Why it is refused, as the store says."""
    generation: int = field(default_factory=count(1_700_000_000_000_000).__next__)


class Store(ThreadingHTTPServer):
    """The part of Google Cloud Storage that listing and reading objects needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.objects: dict[str, Stored] = {}
        self.asked: list[str] = []
        self.sent = 0
        self.connections = 0
        self.list_status = 200
        self.page_size = 1000
        self.latency = 0.0
        """Seconds before each answer."""

    @property
    def address(self) -> str:
        """What STORAGE_EMULATOR_HOST has to be."""
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, name: str, content: bytes, **how: Any) -> Stored:
        """Store an object of the bucket `bucket`."""
        self.objects[f"bucket/{name}"] = stored = Stored(content, **how)
        return stored

    def process_request(self, *arguments: Any) -> None:
        """Count a connection."""
        self.connections += 1
        super().process_request(*arguments)

    def handle_error(self, *_: object) -> None:
        """Report nothing about a client that disconnected."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.asked.append(self.path)
        if self.server.latency:
            time.sleep(self.server.latency)
        if url.path.endswith("/o"):
            return self._list(url.path.split("/")[-2], query)
        bucket, _, name = url.path.partition("/b/")[2].partition("/o/")
        stored = self.server.objects.get(f"{bucket}/{unquote(name)}")
        if stored is None or query.get("generation", str(stored.generation)) != str(stored.generation):
            return self._refuse(404)
        if query.get("alt") == "media":
            return self._media(stored)
        return self._metadata(stored, bucket, unquote(name))

    def _list(self, bucket: str, query: Mapping[str, str]) -> None:
        if (status := self.server.list_status) != 200:
            return self._refuse(status)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names = [name.removeprefix(f"{bucket}/") for name in list(self.server.objects) if name.startswith(f"{bucket}/")]
        if not names:
            return self._refuse(404)
        listed = sorted(
            (name for name in names if name.startswith(prefix) and name > query.get("pageToken", "")),
            key=str.encode,
        )
        if delimiter:
            listed = [name for name in listed if delimiter not in name.removeprefix(prefix)]
        page = listed[: self.server.page_size]
        body: dict[str, Any] = {"items": [self._described(bucket, name) for name in page]}
        if len(listed) > len(page):
            body["nextPageToken"] = page[-1]
        return self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _described(self, bucket: str, name: str) -> dict[str, str]:
        stored = self.server.objects[f"{bucket}/{name}"]
        described = {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(stored.content))}
        described |= {"generation": str(stored.generation), "contentType": stored.content_type}
        return described | ({"contentEncoding": stored.encoding} if stored.encoding else {})

    def _metadata(self, stored: Stored, bucket: str, name: str) -> None:
        if (status := _next(stored.metadata_status)) != 200:
            return self._refuse(status)
        return self._send(200, json.dumps(self._described(bucket, name)).encode(), {"Content-Type": "application/json"})

    def _media(self, stored: Stored) -> None:
        if (status := _next(stored.media_status)) != 200:
            return self._refuse(status, stored.refusal)
        if stored.ignores_range:
            return self._send(200, stored.content, {})
        first, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
        part = stored.content[int(first) : int(last) + 1 if last else None]
        if not part:
            return self._refuse(416)
        headers = {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(stored.content)}"}
        if stored.encoding:
            headers["Content-Encoding"] = stored.encoding
        self.server.sent += len(part)
        if stored.cut:
            stored.cut -= 1
            self.close_connection = True
            return self._send(206, part[: len(part) // 2], {**headers, "Content-Length": str(len(part))})
        return self._send(206, part, headers)

    def _refuse(self, status: int, why: str = "No") -> None:
        """Answer with an error, compressed for who accepts that, as Google's servers do."""
        body = json.dumps({"error": {"code": status, "message": f"{why}: {self.path}"}}).encode()
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            return self._send(status, gzip.compress(body), {"Content-Encoding": "gzip"})
        return self._send(status, body, {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _next(statuses: list[int]) -> int:
    return statuses.pop(0) if len(statuses) > 1 else statuses[0]


@contextmanager
def serving() -> Iterator[Store]:
    """A store that answers until the block ends."""
    store = Store()
    thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield store
    finally:
        store.shutdown()
        store.server_close()
        thread.join()
