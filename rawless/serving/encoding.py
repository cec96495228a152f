"""Encoder backends: content to vectors, by the encoders of this process or by an encoder service."""

import asyncio
from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import NamedTuple, Protocol

from encoders.encoder import Device, Encoded, Encoder, Role
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from rawless.serving.errors import ErrorCode, RequestError


class EncoderBackend(Protocol):
    """Turns content into vectors."""

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes], role: Role) -> Encoded | Reason:
        """Return the embedding of an item in its role, or the reason why there is none.

        Raises RequestError when the queue is full, and Unavailable when encoding failed because of something else than
        the item.
        """
        ...

    async def loaded(self) -> frozenset[str]:
        """Return the fingerprints of the encoders that can be asked. Raises RequestError while that is unknown."""
        ...

    async def check_ready(self) -> None:
        """Raise RequestError while items cannot be encoded."""
        ...


class _LoadedEncoder(NamedTuple):
    encoder: Encoder
    slots: BoundedSemaphore
    """One for each item that may be in progress."""


class LocalEncoderBackend:
    """The encoders of this process."""

    def __init__(self, device: Device, queue: int) -> None:
        """Each encoder that is added queues at most `queue` items."""
        self._device: Device = device
        self._queue = queue
        self._encoders: Mapping[str, _LoadedEncoder] = {}

    def add(self, spec: EncoderSpec) -> None:
        """Load and verify an encoder, while the others encode; nothing is done for one that is loaded.

        Raises UserError for one that is not sealed, or that does not reproduce its probe.
        """
        if spec.sealed and spec.fingerprint in self._encoders:
            return
        encoder = load(spec, self._device)
        loaded = _LoadedEncoder(encoder, BoundedSemaphore(min(self._queue, encoder.capacity)))
        self._encoders = {**self._encoders, spec.fingerprint: loaded}

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes], role: Role) -> Encoded | Reason:
        """See `EncoderBackend.encode`."""
        loaded = self._encoders.get(fingerprint)
        if loaded is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        encoder, slots = loaded
        if role == "document" and encoder.spec.queries_of is not None:
            raise RequestError(ErrorCode.BAD_REQUEST)
        encoder.check_progress()  # items that are stuck would keep their places for ever
        if not slots.acquire(blocking=False):
            raise RequestError(ErrorCode.QUEUE_FULL)
        future = encoder.submit(item, stream.limits, role)
        # Released when the item is done, not when its request ends: an item whose request timed out still has its slot.
        future.add_done_callback(lambda _: slots.release())
        return await asyncio.wrap_future(future)

    async def loaded(self) -> frozenset[str]:
        """See `EncoderBackend.loaded`."""
        return self.fingerprints

    async def check_ready(self) -> None:
        """Raise Unavailable when an encoder is stuck; otherwise they were verified when they were loaded."""
        for encoder, _ in self._encoders.values():
            encoder.check_progress()

    @property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of the encoders."""
        return frozenset(self._encoders)
