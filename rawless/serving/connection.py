"""A caller's connection: what comes before and after a body is bounded as bodies are, and has to come in time."""

from asyncio import BaseTransport, TimerHandle
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_UNREAD = 1 << 16
"""Bytes of a path and headers, or of what is no content in a body: the parser holds them all, however many come."""
MAX_HEADERS = 100
SECONDS = 10.0
"""For a head, and for the rest of a body that was answered before its end."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Uvicorn's, which takes headers without end, and waits for them for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0
        self._in_head = True
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(cast("Any", transport))
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless too much came of which nothing was made."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_UNREAD and not self.transport.is_closing():
            self.send_400_response("Too much beside the body.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._unread = True, 0
        self._hurry()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head. What comes after a body under such a name is none."""
        if not self._in_head:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; how long its body may take, its handler says."""
        self._in_head, self._unread = False, 0
        self._rest()
        super().on_headers_complete()
        if self.parser.should_upgrade():  # the parser reads nothing after it
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the content."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All is there."""
        self._unread = 0
        self._rest()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered: what is left of its body must come now."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._hurry()
        super().on_response_complete()

    def _hurry(self) -> None:
        self._rest()
        self._patience = self.loop.call_later(SECONDS, self.transport.close)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
