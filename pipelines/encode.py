"""Encode: from checked events to embedding rows, and rejections. Raw content ends here."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from encoders.encoder import Device, Encoded, Encoder
from encoders.load import load
from encoders.spec import EncoderSpec
from pipelines.rejections import REJECTED, Refused, count_rejection, namespace, refusal_of, rejection
from rawless.content import ImageLimits
from rawless.events.event import Event
from rawless.events.stream import Limits
from rawless.privacy import Reason, Stage
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

MAX_BYTES = 32_000_000
"""Of events of one bundle that wait for their vectors. How many may wait is the encoder's to say."""


class _Pending(NamedTuple):
    event: Event
    outcomes: "list[Future[Encoded | Reason]]"
    """One for each encoder."""


class _Encode(beam.DoFn):
    # Events wait in this object and in the encoder, inside the bundle: never in Beam's state, which a service
    # persists. While they do, more are read, and the rows of those that are done are written.

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, limits: ImageLimits) -> None:
        self._specs = tuple(specs)
        self._device: Device = device
        self._limits = limits

    def setup(self) -> None:
        self._encoders = [load(spec, self._device) for spec in self._specs]
        # A digest over the whole spec: once a worker.
        self._fingerprints = [spec.fingerprint for spec in self._specs]

    def start_bundle(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._bytes = 0

    def process(self, event: Event) -> Iterator[EmbeddingRow | Refused]:
        outcomes = [encoder.submit(event.payload, self._limits) for encoder in self._encoders]
        self._pending.append(_Pending(event, outcomes))
        self._bytes += event.size
        while self._pending and (self._bytes > MAX_BYTES or _done(self._pending[0])):
            for row in self._next():
                yield TaggedOutput(REJECTED, row) if isinstance(row, RejectionRow) else row

    def finish_bundle(self) -> Iterator[WindowedValue | Refused]:
        while self._pending:
            for row in self._next():
                value = GlobalWindows.windowed_value(row)
                yield TaggedOutput(REJECTED, value) if isinstance(row, RejectionRow) else value
        for encoder in self._encoders:
            _measure(encoder)

    def _next(self) -> Iterator[EmbeddingRow | RejectionRow]:
        """The rows of the event that came first, as soon as they can be."""
        event, outcomes = self._pending.popleft()
        self._bytes -= event.size
        for spec, fingerprint, future in zip(self._specs, self._fingerprints, outcomes, strict=True):
            outcome, now = future.result(), datetime.now(UTC)
            if isinstance(outcome, Encoded):
                _lag(spec.ref, now, event)
                yield EmbeddingRow.of(event, spec, fingerprint, outcome.vector, outcome.truncated)
            else:
                count_rejection(Stage.ENCODE, outcome, spec.ref)
                yield rejection(event.stream, refusal_of(event, outcome), Stage.ENCODE, now, fingerprint)


def _done(pending: _Pending) -> bool:
    return all(each.done() for each in pending.outcomes)


def _measure(encoder: Encoder) -> None:
    """The batches since the last bundle of whichever thread: they belong to no bundle."""
    for run in encoder.runs():
        Metrics.distribution(namespace(encoder.spec.ref), "batch_size").update(run.size)
        Metrics.distribution(namespace(encoder.spec.ref), "encode_milliseconds").update(int(run.seconds * 1000))


def _lag(ref: str, now: datetime, event: Event) -> None:
    seconds = (now - event.occurred_at).total_seconds()
    Metrics.distribution(namespace(ref), "lag_seconds").update(max(0, int(seconds)))


class Encode(beam.PTransform):
    """Events to (embedding rows, rejections), for each encoder."""

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, limits: Limits) -> None:
        super().__init__()
        self._step = _Encode(specs, device, limits)

    def expand(self, events: beam.PCollection[Event]) -> Any:
        """From events to embedding rows, and rejections beside them."""
        step = beam.ParDo(self._step).with_output_types(EmbeddingRow, **{REJECTED: RejectionRow})
        outcomes = events | step.with_outputs(REJECTED, main="embeddings")
        return outcomes.embeddings, outcomes[REJECTED]
