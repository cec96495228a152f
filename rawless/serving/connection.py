"""The HTTP protocol of a connection, with limits on size and time for everything outside of a request's body."""

from asyncio import BaseTransport, TimerHandle
from typing import Any, cast

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.problems import problem_response

MAX_NON_BODY_BYTES = 1 << 16
"""Limit of the request line and headers, and of the framing around a body. The parser keeps them all in memory."""
MAX_HEADERS = 100
TIMEOUT_SECONDS = 10.0
"""For the headers of a request, and for the rest of a body whose response was sent before its end."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself accepts headers of any size and waits for them without a timeout."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)
        self._non_body_bytes = 0
        self._in_headers = True
        self._is_upgrade = False
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Start the timer for the first request."""
        super().connection_made(cast("Any", transport))
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received data. Answer 400 when too much of it was neither body nor a complete set of headers."""
        self._non_body_bytes += len(data)
        super().data_received(data)
        if self._non_body_bytes > MAX_NON_BODY_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start the limits of a request's headers."""
        super().on_message_begin()
        self._in_headers, self._is_upgrade, self._non_body_bytes = True, False, 0
        self._start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Trailers, which follow a body, are ignored."""
        if not self._in_headers:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the limits of the headers. The time for the body is limited by the handler.

        A Transfer-Encoding other than chunked is refused, because a proxy on the way may find another end of the body.
        The headers of a request to upgrade the protocol are parsed a second time, without those to upgrade.
        """
        if [value.lower() for name, value in self.headers if name == b"transfer-encoding"] not in ([], [b"chunked"]):
            raise ValueError("unsupported transfer encoding")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("not a proxy")
            self._is_upgrade = True
            return
        self._in_headers, self._non_body_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._non_body_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request that was received completely."""
        if self._is_upgrade:
            return
        self._non_body_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the timer for the rest of a body that was not read completely."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._start_timer()
        super().on_response_complete()

    def head_without_upgrade(self) -> bytes:
        """Return the head of a request to upgrade the protocol, as one of a request that stays with HTTP/1.1.

        The connection ends with the response: what a caller sends too early in the other protocol is never a request.
        """
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = (header for header in self.headers if header[0] not in (b"connection", b"upgrade"))
        return b"\r\n".join([line, b"connection: close", *(b"%s: %s" % header for header in kept), b"", b""])

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed like any other that is invalid; the server's message is dropped."""
        problem = problem_response(RequestError(ErrorCode.BAD_REQUEST), {"Connection": "close"})
        lines = [b"HTTP/1.1 400 Bad Request", *(b"%s: %s" % header for header in problem.raw_headers), b"", b""]
        self.transport.write(b"\r\n".join(lines) + bytes(problem.body))
        self.transport.close()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(TIMEOUT_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Parser(HttpRequestParser):
    """Httptools' parser, which by itself ends a request to upgrade the protocol after its headers, without its body.

    Java's HTTP client and `curl --http2` ask for HTTP/2 with their first request, and take HTTP/1.1.
    """

    def __init__(self, protocol: LimitedHttpProtocol) -> None:
        self._protocol = protocol
        self._start()

    def feed_data(self, data: Any) -> None:
        """Parse received data."""
        rest = memoryview(data)
        while rest:
            try:
                super().feed_data(rest)
                return
            except HttpParserUpgrade as upgrade:
                head, rest = self._protocol.head_without_upgrade(), rest[upgrade.args[0] :]
                self._start()
                super().feed_data(head)

    def _start(self) -> None:
        super().__init__(self._protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does, for pipelined requests
