"""Encoder backends: content to vectors, by the encoders of this process or by an encoder service."""

import asyncio
from collections.abc import Mapping, Sequence
from threading import BoundedSemaphore
from typing import Protocol

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

    async def check_ready(self) -> None:
        """Raise RequestError while items cannot be encoded."""
        ...


class LocalEncoderBackend:
    """The encoders of this process."""

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, queue: int) -> None:
        """Load and verify encoders, each of which queues at most `queue` items.

        Raises UserError for an encoder that is not sealed, or that does not reproduce its probe.
        """
        self._encoders: Mapping[str, Encoder] = {spec.fingerprint: load(spec, device) for spec in specs}
        self._slots = {
            fingerprint: BoundedSemaphore(min(queue, encoder.capacity))
            for fingerprint, encoder in self._encoders.items()
        }

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes], role: Role) -> Encoded | Reason:
        """See `EncoderBackend.encode`."""
        encoder, slots = self._encoders.get(fingerprint), self._slots.get(fingerprint)
        if encoder is None or slots is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        if role == "document" and encoder.spec.queries_of is not None:
            raise RequestError(ErrorCode.BAD_REQUEST)
        if not slots.acquire(blocking=False):
            raise RequestError(ErrorCode.QUEUE_FULL)
        future = encoder.submit(item, stream.limits, role)
        # Released when the item is done, not when its request ends: an item whose request timed out still has its slot.
        future.add_done_callback(lambda _: slots.release())
        return await asyncio.wrap_future(future)

    async def check_ready(self) -> None:
        """Return immediately: encoders are verified when they are loaded."""

    @property
    def fingerprints(self) -> list[str]:
        """The fingerprints of the encoders, sorted."""
        return sorted(self._encoders)

    def take_batch_sizes(self) -> list[tuple[str, int]]:
        """Return encoder reference and size of each batch that ran since the last call."""
        return [(encoder.spec.ref, run.size) for encoder in self._encoders.values() for run in encoder.runs()]
