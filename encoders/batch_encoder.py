"""Encoding in batches: what text and image encoders have in common.

Each item is prepared inside the boundary, the good ones share batches with those of other callers, and one that fails
alone is told from an encoder that fails for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch

from encoders.batcher import Batcher, Budget, Outcome
from encoders.bisect_batch import OutOfMemory, halving, memory_told
from encoders.encoder import BatchRun, Encoded
from encoders.runtimes import Inputs, Runtime, faster
from encoders.runtimes.eager import Eager
from encoders.spec import EncoderSpec
from rawless.content import ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason, guarded

P = TypeVar("P")
"""An item prepared for the model: tokens, or pixels."""
_DEFAULT_LIMITS = ImageLimits()
_SUSPECT = (Reason.ENCODER_FAILED, Reason.NON_FINITE_EMBEDDING)
"""Reasons that may be the encoder's fault, so that every item would meet them."""


class BatchEncoder(ABC, Generic[P]):
    """A loaded encoder. A kind of encoder says how an item is prepared, what it costs, and how a batch is encoded."""

    def __init__(self, spec: EncoderSpec, reference: Eager, budget: Budget) -> None:
        self.spec = spec
        self._runtime: Runtime = reference
        self._batcher: Batcher[P] = Batcher(self._run, self._cost, budget)

    @property
    def runtime(self) -> str:
        """See `Encoder.runtime`."""
        return self._runtime.name

    @property
    def places(self) -> int:
        """See `Encoder.places`."""
        return self._batcher.budget.places

    def accelerate(self) -> None:
        """Run the model by the fastest runtime that gives the same vectors. Takes seconds; before the first item."""
        if isinstance(self._runtime, Eager):
            self._runtime = faster(self._runtime, self._examples(), self.spec.tolerance)

    @property
    def network(self) -> torch.nn.Module:
        """The network on torch, from `inputs` to vectors; there is none once the encoder was accelerated."""
        if not isinstance(self._runtime, Eager):
            raise TypeError(f"{self.spec.ref} runs on {self._runtime.name}, which has no network to train.")
        return self._runtime.network

    def submit(self, item: Raw[bytes], limits: ImageLimits = _DEFAULT_LIMITS) -> "Future[Outcome]":
        """See `Encoder.submit`."""
        return self._batcher.submit(partial(self.prepare, item, limits))

    def encode(self, items: Sequence[Raw[bytes]], limits: ImageLimits = _DEFAULT_LIMITS) -> list[Outcome]:
        """See `Encoder.encode`."""
        return [each.result() for each in [self.submit(item, limits) for item in items]]

    def runs(self) -> list[BatchRun]:
        """See `Encoder.runs`."""
        return self._batcher.runs()

    @abstractmethod
    def _prepare(self, content: bytes, limits: ImageLimits) -> P:
        """One item made ready for the model. Raises Rejected."""

    @abstractmethod
    def _cost(self, prepared: P) -> int:
        """What one item costs in a batch."""

    @abstractmethod
    def inputs(self, batch: Sequence[P]) -> Inputs:
        """What the network takes, of prepared items."""

    @abstractmethod
    def _examples(self) -> list[Inputs]:
        """Batches that runtimes are compared on."""

    def _cut(self, prepared: P) -> bool:
        """Whether the end of an item was cut off when it was prepared."""
        return False

    def prepare(self, item: Raw[bytes], limits: ImageLimits = _DEFAULT_LIMITS) -> P | Reason:
        """One item ready for the network, or why not."""
        found = guarded(self._prepare_within_memory, item, limits)
        if found is not Reason.INTERNAL:
            return found
        if isinstance(guarded(self._prepare_probe), Reason):
            raise self._failing()
        return Reason.ENCODER_FAILED

    def _prepare_within_memory(self, item: Raw[bytes], limits: ImageLimits) -> P:
        try:
            with memory_told():
                return self._prepare(item.reveal(), limits)
        except OutOfMemory:  # as torch says it too
            raise MemoryError from None

    def _prepare_probe(self) -> P:
        return self._prepare(self.spec.content_of(self.spec.probe_input), _DEFAULT_LIMITS)

    def _run(self, batch: Sequence[P]) -> list[Outcome | Unavailable]:
        outcomes = halving(self._forward, batch, _alone)
        if any(each in _SUSPECT for each in outcomes if isinstance(each, Reason)) and not self._encodes_probe():
            return [self._failing() if each in _SUSPECT else each for each in outcomes]
        return outcomes

    def _forward(self, batch: Sequence[P]) -> list[Outcome | Unavailable]:
        with memory_told():
            vectors = self._runtime(*self.inputs(batch))
            finite = np.logical_and.reduce(np.isfinite(vectors), axis=1)
            return [
                Encoded(vector, self._cut(each)) if good else Reason.NON_FINITE_EMBEDDING
                for vector, each, good in zip(vectors, batch, finite, strict=True)
            ]

    def _encodes_probe(self) -> bool:
        """After an item failed alone: was it the item, or would every item fail now?"""
        outcomes = guarded(lambda: self._forward([self._prepare_probe()]))
        return not isinstance(outcomes, Reason) and isinstance(outcomes[0], Encoded)

    def _failing(self) -> Unavailable:
        return Unavailable(f"The encoder {self.spec.ref} fails for its own probe too; restart the worker.")


def _alone(out_of_memory: bool) -> Outcome | Unavailable:
    """What an item gets that fails in a batch of one."""
    if out_of_memory:
        return Unavailable("The encoder ran out of memory with a single item; give the worker more memory.")
    return Reason.ENCODER_FAILED
