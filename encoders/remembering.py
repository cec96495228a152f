"""`Remembering`: an encoder that does not encode content again that it encoded a short time ago.

Content is recognised by an HMAC under a secret, so that the memory contains vectors and ids that mean nothing without
the secret. It is a part of the process: nothing of it is written anywhere.
"""

import hmac
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple, cast

from encoders.encoder import Encoded, Encoder
from rawless.content import ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason, guarded

PURPOSE = "rawless unchanged content of "
"""For which, followed by the stream's name, a secret is derived from a pseudonym key."""
ENTRY_BYTES = 450
"""Memory of a remembered vector beside its four bytes for each dimension, measured on CPython and numpy."""
_making = Lock()


class Counts(NamedTuple):
    """Items by whether they had to be encoded."""

    hits: int
    """Those whose content was remembered, or was being encoded for another item."""
    misses: int


class Remembering:
    """Remembers the vectors of the `entries` contents that were asked for last. It is thread-safe.

    Rejections are not remembered: they cost little, and a limit or a file format may be allowed by the next job.
    """

    def __init__(self, encoder: Encoder, secret: bytes, limits: ImageLimits, entries: int) -> None:
        self._encoder = encoder
        self._secret = secret
        self._limits = limits
        self._entries = entries
        self._lock = Lock()
        self._encoded: OrderedDict[bytes, Encoded] = OrderedDict()
        self._running: dict[bytes, Future[Encoded | Reason]] = {}
        self._hits = self._misses = 0

    def submit(self, item: Raw[bytes]) -> "Future[Encoded | Reason]":
        """Do what the encoder's `submit` does, unless the content is remembered or is being encoded."""
        content_id = guarded(self._id_of, item)
        if isinstance(content_id, Reason):
            return self._encoder.submit(item, self._limits)
        with self._lock:
            if (running := self._running.get(content_id)) is not None:
                self._hits += 1
                return running
            outcome: Future[Encoded | Reason] = Future()
            outcome.set_running_or_notify_cancel()
            if (encoded := self._encoded.get(content_id)) is not None:
                self._hits += 1
                self._encoded.move_to_end(content_id)
                outcome.set_result(encoded)
                return outcome
            self._misses += 1
            self._running[content_id] = outcome
        try:
            encoding = self._encoder.submit(item, self._limits)  # without the lock: it blocks while others are encoded
        except BaseException:
            with self._lock:
                del self._running[content_id]
            outcome.set_exception(Unavailable("The encoder did not take an item; run the command again."))
            raise
        encoding.add_done_callback(partial(self._settle, content_id, outcome))
        return outcome

    def counts(self) -> Counts:
        """Return the counts since the last call, of all threads."""
        with self._lock:
            counts, self._hits, self._misses = Counts(self._hits, self._misses), 0, 0
        return counts

    def _id_of(self, item: Raw[bytes]) -> bytes:
        return hmac.digest(self._secret, item.reveal(), "sha256")

    def _settle(
        self, content_id: bytes, outcome: "Future[Encoded | Reason]", encoded: "Future[Encoded | Reason]"
    ) -> None:
        error = encoded.exception()
        result = None if error is not None else encoded.result()
        if isinstance(result, Encoded):  # a copy: the vector is a view of its whole batch
            result = replace(result, vector=result.vector.copy())
            result.vector.setflags(write=False)
        with self._lock:
            del self._running[content_id]
            if isinstance(result, Encoded):
                self._encoded[content_id] = result
                if len(self._encoded) > self._entries:
                    self._encoded.popitem(last=False)
        if result is None:
            outcome.set_exception(Unavailable(str(error)))
        else:
            outcome.set_result(result)


def remembering(encoder: Encoder, secret: bytes, limits: ImageLimits, entries: int) -> Remembering:
    """Return the memory of an encoder, the same one for every call of the process with these arguments."""
    with _making:
        return _remembering(cast(Any, encoder), secret, limits, entries)


def forget() -> None:
    """Make every later call of `remembering` return an empty memory."""
    _remembering.cache_clear()


def memory_bytes(dimension: int, entries: int) -> int:
    """Return the memory that an encoder of this dimension needs at most, in each process."""
    return entries * (4 * dimension + ENTRY_BYTES)


@lru_cache(maxsize=8)
def _remembering(encoder: Encoder, secret: bytes, limits: ImageLimits, entries: int) -> Remembering:
    return Remembering(encoder, secret, limits, entries)
