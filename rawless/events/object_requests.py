"""Requests for the contents of objects, by libcurl.

A request by urllib3 costs a busy process several times as much of the processor, most of it under Python's lock.
"""

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pycurl

_BUFFER_BYTES = 1 << 18
"""What libcurl hands over at once."""
_PERMANENT = frozenset({pycurl.E_URL_MALFORMAT, pycurl.E_SSL_CACERT, pycurl.E_SSL_CACERT_BADFILE})


class TransferFailed(Exception):
    """A request without a whole answer. Its text is the number of libcurl's error, and nothing of the request."""

    def __init__(self, code: int) -> None:
        super().__init__(f"curl error {code}")
        self.is_transient = code not in _PERMANENT
        """Whether the request may succeed when it is repeated."""


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    content: bytes


class Connections:
    """Connections to one server, which are kept for further requests. It is thread-safe."""

    def __init__(self, *, most: int, seconds: float, proxy: str | None, certificates: str) -> None:
        """`most` idle connections are kept. `seconds` is how long to wait for one, and for the next bytes of an answer.

        `certificates` is a file or folder of those that are trusted. The environment is not asked for any of this.
        """
        self._most = most
        # None removes what the library presets, the certificates of the machine.
        file, folder = (None, certificates) if Path(certificates).is_dir() else (certificates, None)
        self._options: Mapping[int, int | str | None] = {
            pycurl.NOSIGNAL: 1,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.USERAGENT: "rawless",
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.CONNECTTIMEOUT_MS: int(1_000 * seconds),
            pycurl.LOW_SPEED_LIMIT: 1,
            pycurl.LOW_SPEED_TIME: max(1, int(seconds)),
            pycurl.PROXY: proxy or "",
            pycurl.NOPROXY: "",
            pycurl.CAINFO: file,
            pycurl.CAPATH: folder,
            pycurl.PROXY_CAINFO: file,
            pycurl.PROXY_CAPATH: folder,
        }
        self._idle: list[pycurl.Curl] = []

    def get(self, url: str, headers: Mapping[str, str], limit: int | None) -> Answer:
        """Return the answer to a request, with at most `limit` bytes of its content. Raises TransferFailed."""
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = self._open()
        content = _Content(limit)
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        handle.setopt(pycurl.WRITEFUNCTION, content.take)
        # The main thread, which signals interrupt, must come back to Python while the server is silent.
        handle.setopt(pycurl.NOPROGRESS, int(threading.current_thread() is not threading.main_thread()))
        try:
            handle.perform()
        except pycurl.error as error:
            code = int(error.args[0])
        except BaseException:
            handle.close()
            raise
        else:
            code = pycurl.E_OK
        if content.is_too_large_for_memory:
            handle.close()
            raise MemoryError
        if code != pycurl.E_OK and not content.is_cut:
            handle.close()
            raise TransferFailed(code)
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        self._keep(handle)
        return Answer(status, content.value())

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> pycurl.Curl:
        handle = pycurl.Curl()
        for option, value in self._options.items():
            handle.setopt(option, value)
        handle.setopt(pycurl.XFERINFOFUNCTION, _go_on)
        return handle

    def _keep(self, handle: pycurl.Curl) -> None:
        handle.setopt(pycurl.WRITEFUNCTION, len)  # it must keep neither the content nor the name, nor a token
        handle.setopt(pycurl.URL, "")
        handle.setopt(pycurl.HTTPHEADER, [])
        if len(self._idle) < self._most:
            self._idle.append(handle)
        else:
            handle.close()


def _go_on(*_: float) -> None:
    """Be called by libcurl once a second."""


class _Content:
    """What an answer contains, of which no more than a limit is taken."""

    def __init__(self, limit: int | None) -> None:
        self._parts: list[bytes] = []
        self._left = math.inf if limit is None else limit
        self.is_cut = False
        """Whether the transfer was ended at the limit."""
        self.is_too_large_for_memory = False

    def take(self, part: bytes) -> int:
        """Take bytes and return their number, or fewer to end the transfer."""
        try:
            if len(part) > self._left:
                self.is_cut, part = True, part[: int(self._left)]
            self._parts.append(part)
        except MemoryError:  # libcurl would print it
            self.is_too_large_for_memory = True
            return -1
        self._left -= len(part)
        return len(part)

    def value(self) -> bytes:
        """Return the content, once it is complete."""
        return b"".join(self._parts)
