"""`Together`: several encoders for the same items, of which those that decode images alike decode each once."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from encoders.encoder import Encoded, Encoder
from rawless.content import ImageLimits
from rawless.privacy import Raw, Reason

if TYPE_CHECKING:
    from encoders.batch_encoder import BatchEncoder


class Together:
    """Encoders that are given the same items. An outcome is the same as if each were alone."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        from encoders.batch_encoder import BatchEncoder  # with torch, which whoever only builds a job does not need

        self._encoders = tuple(encoders)
        alike: dict[Hashable, list[BatchEncoder[Any]]] = defaultdict(list)
        for encoder in encoders:
            if isinstance(encoder, BatchEncoder) and encoder.reading is not None:
                alike[encoder.reading].append(encoder)
        self._groups = [tuple(group) for group in alike.values() if len(group) > 1]

    def submit(self, item: Raw[bytes], limits: ImageLimits) -> "list[Future[Encoded | Reason]]":
        """Return a future for each encoder; see `Encoder.submit`."""
        shared = {
            id(encoder): partial(encoder.submit_prepared, partial(prepared.take, position))
            for group in self._groups
            for prepared in [_PreparedOnce(group, item, limits)]
            for position, encoder in enumerate(group)
        }
        return [
            shared[id(encoder)]() if id(encoder) in shared else encoder.submit(item, limits)
            for encoder in self._encoders
        ]


class _PreparedOnce:
    """An item that the first of several encoders which needs it prepares for all of them."""

    def __init__(self, encoders: "Sequence[BatchEncoder[Any]]", item: Raw[bytes], limits: ImageLimits) -> None:
        self._encoders, self._item, self._limits = encoders, item, limits
        self._preparing = Lock()
        self._outcomes: list[Any | Reason] | None = None

    def take(self, position: int) -> Any | Reason:
        """Return the item prepared for one encoder, or the reason for its rejection. Called once for each encoder.

        Raises Unavailable if preparing it failed for lack of memory; the next encoder then tries again.
        """
        with self._preparing:
            if self._outcomes is None:
                self._outcomes = self._encoders[0].prepare_for_all(self._item, self._limits, self._encoders)
            outcome, self._outcomes[position] = self._outcomes[position], None  # it is not needed any more
            return outcome
