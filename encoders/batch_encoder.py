"""Encoding in batches: what text and image encoders have in common.

Each item is prepared inside the boundary, the good ones run in batches of like cost, and one that fails alone is told
from an encoder that fails for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from encoders.batches import OutOfMemory, by_length, halving, memory_told
from encoders.encoder import Encoded
from encoders.limits import ImageLimits
from encoders.spec import EncoderSpec
from privacy import Raw, Reason, Unavailable, guarded
from privacy.logs import withheld

P = TypeVar("P")
"""An item prepared for the model: tokens, or pixels."""
_DEFAULT_LIMITS = ImageLimits()
_SUSPECT = {Reason.ENCODER_FAILED, Reason.NON_FINITE_EMBEDDING}
"""Reasons that may be the encoder's fault, so that every item would meet them."""


class BatchEncoder(ABC, Generic[P]):
    """A loaded encoder. A kind of encoder says how an item is prepared, what it costs, and how a batch is encoded."""

    spec: EncoderSpec
    budget: int
    """What a batch may cost: its dearest item times its count."""
    at_once: int
    """Items prepared, and so held in memory, at a time."""

    def encode(self, items: Sequence[Raw[bytes]], limits: ImageLimits = _DEFAULT_LIMITS) -> list[Encoded | Reason]:
        """See `Encoder.encode`."""
        outcomes: list[Encoded | Reason] = []
        for start in range(0, len(items), self.at_once):
            outcomes += self._encode(items[start : start + self.at_once], limits)
        if any(isinstance(each, Reason) and each in _SUSPECT for each in outcomes) and not self._encodes_probe():
            raise Unavailable(f"The encoder {self.spec.ref} fails for its own probe too; restart the worker.")
        return outcomes

    @abstractmethod
    def _prepare(self, content: bytes, limits: ImageLimits) -> P:
        """One item made ready for the model. Raises Rejected."""

    @abstractmethod
    def _cost(self, prepared: P) -> int:
        """What one item costs in a batch."""

    @abstractmethod
    def _vectors(self, batch: list[P]) -> npt.NDArray[np.float32]:
        """Vectors of shape (batch, dimension)."""

    def _cut(self, prepared: P) -> bool:
        """Whether the end of an item was cut off when it was prepared."""
        return False

    def _encode(self, items: Sequence[Raw[bytes]], limits: ImageLimits) -> list[Encoded | Reason]:
        prepared = dict(enumerate(guarded(self._prepared, item, limits) for item in items))
        outcomes: dict[int, Encoded | Reason] = {
            position: Reason.ENCODER_FAILED if each is Reason.INTERNAL else each
            for position, each in prepared.items()
            if isinstance(each, Reason)
        }
        good = {position: each for position, each in prepared.items() if not isinstance(each, Reason)}
        costs = {position: self._cost(each) for position, each in good.items()}
        for batch in by_length(costs, self.budget):
            outcomes.update(self._run(batch, good))
        return [outcomes[position] for position in range(len(items))]

    def _prepared(self, item: Raw[bytes], limits: ImageLimits) -> P:
        try:
            with memory_told():
                return self._prepare(item.reveal(), limits)
        except OutOfMemory:  # as torch says it too
            raise MemoryError from None

    def _run(self, batch: list[int], prepared: Mapping[int, P]) -> Iterable[tuple[int, Encoded | Reason]]:
        def forward(positions: list[int]) -> list[tuple[int, Encoded | Reason]]:
            with memory_told():
                return list(zip(positions, self._forward([prepared[each] for each in positions]), strict=True))

        with withheld():
            return halving(forward, batch, failed=lambda position: (position, Reason.ENCODER_FAILED))

    def _forward(self, batch: list[P]) -> list[Encoded | Reason]:
        return [
            Encoded(vector, self._cut(each)) if np.isfinite(vector).all() else Reason.NON_FINITE_EMBEDDING
            for vector, each in zip(self._vectors(batch), batch, strict=True)
        ]

    def _encodes_probe(self) -> bool:
        """After an item failed alone: was it the item, or would every item fail now?"""
        content = self.spec.content_of(self.spec.probe_input)
        outcomes = guarded(lambda: self._forward([self._prepare(content, _DEFAULT_LIMITS)]))
        return not isinstance(outcomes, Reason) and isinstance(outcomes[0], Encoded)
