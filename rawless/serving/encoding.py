"""Encoding for a service: items of many requests through the encoders of this process, none of which waits for ever."""

import asyncio
from collections.abc import Mapping, Sequence
from threading import BoundedSemaphore
from typing import Protocol

from encoders.encoder import Device, Encoded, Encoder
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from rawless.serving.errors import ErrorCode, RequestError


class EncoderBackend(Protocol):
    """Whatever turns content into vectors: encoders here, or a service."""

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes]) -> Encoded | Reason:
        """The embedding of an item, or why there is none.

        Raises RequestError when too much waits already, and Unavailable when the fault is not the item's.
        """
        ...

    async def check_ready(self) -> None:
        """Raises RequestError while it cannot encode."""
        ...


class LocalEncoderBackend:
    """The encoders of this process."""

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, queue: int) -> None:
        """Load and verify them. Raises UserError for one that is unsealed, or does not reproduce its probe.

        `queue` is how many items each may hold.
        """
        self._encoders: Mapping[str, Encoder] = {spec.fingerprint: load(spec, device) for spec in specs}
        self._places = {
            fingerprint: BoundedSemaphore(min(queue, encoder.places)) for fingerprint, encoder in self._encoders.items()
        }

    async def encode(self, stream: Stream, fingerprint: str, item: Raw[bytes]) -> Encoded | Reason:
        """See `EncoderBackend.encode`."""
        encoder, places = self._encoders.get(fingerprint), self._places.get(fingerprint)
        if encoder is None or places is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        if not places.acquire(blocking=False):
            raise RequestError(ErrorCode.QUEUE_FULL)
        limits = stream.limits
        future = encoder.submit(item, limits)
        # When it is done, not when its caller goes: a request that was too slow still takes its place.
        future.add_done_callback(lambda _: places.release())
        return await asyncio.wrap_future(future)

    async def check_ready(self) -> None:
        """See `EncoderBackend.check_ready`; they were verified when they were loaded."""

    @property
    def fingerprints(self) -> list[str]:
        """Of the encoders."""
        return sorted(self._encoders)

    def batches(self) -> list[tuple[str, int]]:
        """The encoder and size of each batch since this was last asked."""
        return [(encoder.spec.ref, run.size) for encoder in self._encoders.values() for run in encoder.runs()]
