"""The interface of a loaded encoder: raw items in, for each item a vector or a rejection reason out."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from encoders.spec import EncoderSpec, Vector
from rawless.content import ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason

Device = Literal["auto", "cpu", "cuda"]
Role = Literal["document", "query"]
"""What an item is encoded as: an event is a document, what is searched for is a query. A spec may have a prompt for
each; without one a query has the vector of a document."""
WAIT_SECONDS = 1_800.0
"""How long an item may wait for its outcome at most: for all that its encoder was given before it."""
_CHECK_SECONDS = 5.0
"""How often a caller that waits looks whether the encoder is stuck."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finite embedding of shape (dimension,), and whether the end of a long text was cut off before encoding."""

    vector: Vector
    truncated: bool


class Encoder(Protocol):
    """A loaded, verified encoder. It is thread-safe; items of several threads share batches."""

    @property
    def spec(self) -> EncoderSpec:
        """The spec that the encoder was loaded from."""
        ...

    @property
    def runtime(self) -> str:
        """The name and version of the runtime, and the device that it runs on."""
        ...

    @property
    def capacity(self) -> int:
        """The number of items that may be in progress before `submit` blocks."""
        ...

    def submit(self, item: Raw[bytes], limits: ImageLimits = ..., role: Role = ...) -> "Future[Encoded | Reason]":
        """Return a future for the embedding of one item, or the reason for its rejection.

        A bad item never affects other items. `limits` apply to images; an item is a document unless `role` says that
        it is a query. The call blocks while `capacity` items are in progress. The future raises Unavailable when the
        failure is not caused by the item: when a batch of one does not fit into memory, or when the encoder no longer
        reproduces its own probe. Raises as `check_progress` does.
        """
        ...

    def encode(
        self, items: Sequence[Raw[bytes]], limits: ImageLimits = ..., role: Role = ...
    ) -> list[Encoded | Reason]:
        """Return the results of `submit` for all items, in order. Raises what their futures raise."""
        ...

    def check_progress(self) -> None:
        """Raise Unavailable if items have been waiting for minutes and none got an outcome: a thread hangs.

        That ends the process where something starts another; see `rawless.broken_process`.
        """
        ...


def result(encoder: Encoder, outcome: "Future[Encoded | Reason]") -> Encoded | Reason:
    """Return the outcome of an item, for which this waits. Raises Unavailable if the encoder is stuck, or too slow."""
    limit = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            error = outcome.exception(_CHECK_SECONDS)
        except TimeoutError:
            encoder.check_progress()
        else:
            if error is None:
                return outcome.result()
            # Another one, since that of the future would keep the frames of all callers that wait for this future.
            raise Unavailable(str(error))
        if time.monotonic() > limit:
            raise Unavailable(
                f"The encoder {encoder.spec.ref} has not encoded an item within {WAIT_SECONDS / 60:.0f} minutes: it is "
                "too slow for this machine."
            )
