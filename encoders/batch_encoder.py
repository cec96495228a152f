"""`BatchEncoder`: a model whose items share batches with those of other callers, behind the privacy boundary.

An item that fails alone is rejected; when the encoder fails for its own probe too, the failure is the encoder's, and
nothing is rejected.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch

from encoders.batcher import Batcher, Outcome
from encoders.bisect_batch import OutOfMemory, bisect_batch, translate_memory_errors
from encoders.encoder import Encoded, Role, result
from encoders.family import Inputs, Model
from encoders.precision import is_half
from encoders.runtimes import Runtime, pick_runtime
from encoders.runtimes.cuda_faults import fault_of
from encoders.runtimes.eager import Eager
from encoders.spec import EncoderSpec, Vector
from rawless.broken_process import give_up
from rawless.content import ImageLimits
from rawless.errors import Unavailable, UserError
from rawless.privacy import Raw, Reason, guarded

if TYPE_CHECKING:
    from encoders.runtimes.conversion_cache import Conversion

_cpu = Lock()
"""Held while a network runs on the CPU. Each uses all cores, so that those of several encoders would only disturb each
other: with two encoders a job does less work than two jobs (`python -m benchmarks dual`)."""
P = TypeVar("P")
"""An item that is prepared for the network, such as tokens or pixels."""
T = TypeVar("T")
_DEFAULT_LIMITS = ImageLimits()
_MAYBE_THE_ENCODER = (Reason.ENCODER_FAILED, Reason.NON_FINITE_EMBEDDING)
"""Reasons that a broken encoder causes for every item."""


class BatchEncoder(Generic[P]):
    """A loaded encoder. See `Encoder`."""

    def __init__(
        self, spec: EncoderSpec, model: Model[P], device: torch.device, runtime: Runtime | None = None
    ) -> None:
        """`runtime` is one for the model's network on the device; by default torch runs it."""
        self.spec = spec
        self._model = model
        self._runtime = runtime or Eager(model.network, device, spec.precision)
        self._turn: AbstractContextManager[Any] = _cpu if device.type == "cpu" else nullcontext()
        self._batcher: Batcher[P] = Batcher(self._run, model.cost, model.budget)

    @property
    def runtime(self) -> str:
        """See `Encoder.runtime`."""
        return self._runtime.name

    @property
    def capacity(self) -> int:
        """See `Encoder.capacity`."""
        return self._batcher.budget.capacity

    def check_precision(self) -> None:
        """Raise UserError where torch lacks an operation of the network in the spec's precision."""
        if not is_half(self.spec.precision):
            return
        try:
            self._runtime(*min(self._model.examples(), key=lambda inputs: inputs[0].numel()))
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            raise UserError(
                f"The encoder {self.spec.ref} computes in {self.spec.precision}, which torch cannot do on this "
                "machine's processor: use --device cuda, or an encoder of precision fp32."
            ) from None

    def accelerate(self, conversion: "Conversion | None" = None) -> None:
        """Switch to the fastest runtime that produces the same vectors, before the first item. Takes seconds.

        `conversion` is where a converted network is kept.
        """
        if isinstance(self._runtime, Eager):
            self._runtime = pick_runtime(self._runtime, self._model.examples(), self.spec.tolerance, conversion)

    def isolate(self) -> None:
        """Prepare items in such a way that no content can harm this process; see `Model.isolate`."""
        self._model.isolate()

    @property
    def model(self) -> Model[P]:
        """The model, which prepares items and makes batches of them."""
        return self._model

    @property
    def network(self) -> torch.nn.Module:
        """The torch network, from `inputs` to vectors. Raises TypeError once another runtime runs the encoder."""
        if not isinstance(self._runtime, Eager):
            raise TypeError(f"{self.spec.ref} runs on {self._runtime.name}, which has no network to train.")
        return self._runtime.network

    def submit(
        self, item: Raw[bytes], limits: ImageLimits = _DEFAULT_LIMITS, role: Role = "document"
    ) -> "Future[Outcome]":
        """See `Encoder.submit`."""
        prepare = partial(self.prepare, item, limits, role)
        return self._batcher.submit(prepare, is_quick=self._is_quick(item))

    def encode(
        self, items: Sequence[Raw[bytes]], limits: ImageLimits = _DEFAULT_LIMITS, role: Role = "document"
    ) -> list[Outcome]:
        """See `Encoder.encode`."""
        return [result(self, future) for future in [self.submit(item, limits, role) for item in items]]

    def measure(self) -> None:
        """Record metrics of all further items."""
        self._batcher.measure(self.spec.ref)

    def check_progress(self) -> None:
        """See `Encoder.check_progress`."""
        self._batcher.check_progress()

    def inputs(self, batch: Sequence[P]) -> Inputs:
        """Return the network's arguments for a batch of prepared items."""
        return self._model.inputs(batch)

    def prepare(self, item: Raw[bytes], limits: ImageLimits = _DEFAULT_LIMITS, role: Role = "document") -> P | Reason:
        """Return one item prepared for the network, or the reason for its rejection.

        Raises Unavailable when the encoder cannot prepare its own probe either.
        """
        return self._checked(guarded(self._prepare, item, limits, role))

    @property
    def reading(self) -> Hashable | None:
        """See `Model.reading`."""
        return self._model.reading

    def prepare_for_all(
        self, item: Raw[bytes], limits: ImageLimits, encoders: "Sequence[BatchEncoder[Any]]"
    ) -> list[Any | Reason]:
        """Return one item prepared for the networks of several encoders of this `reading`, or their reasons."""
        models = [encoder._model for encoder in encoders]
        outcomes = guarded(_read, item, lambda content: self._model.prepare_for_all(content, limits, models))
        return [outcomes] * len(models) if isinstance(outcomes, Reason) else outcomes

    def submit_prepared(self, prepare: Callable[[], P | Reason]) -> "Future[Outcome]":
        """Return the future of an item as `submit` does; `prepare` returns it from `prepare_for_all`."""
        return self._batcher.submit(lambda: self._checked(prepare()))

    def _is_quick(self, item: Raw[bytes]) -> bool:
        size = guarded(_read, item, len) if self._model.quick_bytes else Reason.INTERNAL
        return isinstance(size, int) and size <= self._model.quick_bytes

    def _checked(self, outcome: P | Reason) -> P | Reason:
        """Return the outcome of preparing an item. Raises Unavailable if preparing the probe fails too."""
        if outcome is not Reason.INTERNAL:
            return outcome
        if isinstance(guarded(self._prepare_probe), Reason):
            raise self._failing()
        return Reason.ENCODER_FAILED

    def _prepare(self, item: Raw[bytes], limits: ImageLimits, role: Role) -> P:
        encodes_query = role == "query" or self.spec.queries_of is not None  # all that a query tower encodes
        prepare = self._model.prepare_query if encodes_query else self._model.prepare
        return _read(item, lambda content: prepare(content, limits))

    def _prepare_probe(self) -> P:
        return self._model.prepare(self.spec.content_of(self.spec.probe_input), _DEFAULT_LIMITS)

    def _run(self, batch: Sequence[P]) -> list[Outcome | Unavailable]:
        outcomes = bisect_batch(self._forward, batch, _failed_alone)
        suspect = any(outcome in _MAYBE_THE_ENCODER for outcome in outcomes if isinstance(outcome, Reason))
        if suspect and not self._encodes_probe():
            return [self._failing() if outcome in _MAYBE_THE_ENCODER else outcome for outcome in outcomes]
        return outcomes

    def _forward(self, batch: Sequence[P]) -> list[Outcome | Unavailable]:
        with translate_memory_errors():
            inputs = self.inputs(batch)
            with self._turn:
                vectors = self._run_network(inputs)
            finite = np.logical_and.reduce(np.isfinite(vectors), axis=1)
            return [
                Encoded(vector, self._model.is_truncated(item)) if is_finite else Reason.NON_FINITE_EMBEDDING
                for vector, item, is_finite in zip(vectors, batch, finite, strict=True)
            ]

    def _run_network(self, inputs: Inputs) -> Vector:
        try:
            return self._runtime(*inputs)
        except torch.AcceleratorError as error:
            fault = fault_of(error)
            if fault is None:
                raise
        # Every later use of the device would fail too, so the halves of the batch are not tried.
        raise give_up(f"CUDA reported {fault}, after which only a new process can use the device.")

    def _encodes_probe(self) -> bool:
        """Return whether the encoder still produces a vector for its probe, so that a failure was the item's."""
        probe = guarded(self._prepare_probe)
        if isinstance(probe, Reason):
            return False
        (outcome,) = bisect_batch(self._forward, [probe], _failed_alone)
        if isinstance(outcome, Unavailable):
            raise outcome  # for lack of memory, which may be free later
        return isinstance(outcome, Encoded)

    def _failing(self) -> Unavailable:
        return give_up(f"The encoder {self.spec.ref} fails for its own probe too; restart the worker.")


def _read(item: Raw[bytes], read: Callable[[bytes], T]) -> T:
    """Return what a function makes of the content of an item. Raises MemoryError for all kinds of it."""
    try:
        with translate_memory_errors():
            return read(item.reveal())
    except OutOfMemory:
        raise MemoryError from None


def _failed_alone(out_of_memory: bool) -> Outcome | Unavailable:
    """Return the outcome of an item that fails in a batch of one."""
    if out_of_memory:
        return Unavailable("The encoder ran out of memory with a single item; give the worker more memory.")
    return Reason.ENCODER_FAILED
