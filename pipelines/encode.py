"""The encode step: checked events to embedding rows and rejections. No raw content leaves it."""

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
from encoders.image_formats import check_installed
from encoders.load import load
from encoders.release import PURPOSE, Release, needs_key
from encoders.remembering import PURPOSE as CONTENT_IDS
from encoders.remembering import Remembering, remembering
from encoders.spec import EncoderSpec
from encoders.together import Together
from pipelines.elements import EncodedEvent, ParsedEvent
from pipelines.rejections import REJECTED, RejectedOutput, count_rejection, namespace, rejection_row
from rawless.content import ImageLimits
from rawless.events.event import Event, Rejection
from rawless.events.stream import Stream
from rawless.privacy import Reason, Stage
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

MAX_BYTES = 32_000_000
"""Total size of the events of a bundle that may wait for their vectors. The encoder limits their number."""


UNCHANGED, NEW = "content.unchanged", "content.new"
"""Counters of a stream that remembers contents: events that need not be encoded, and the others."""


class Memory(NamedTuple):
    """That the vectors of contents are remembered: for which stream, and how many."""

    stream: str
    entries: int


class _Pending(NamedTuple):
    parsed: ParsedEvent
    outcomes: "list[Future[Encoded | Reason]]"
    """One for each encoder."""


class _Encode(beam.DoFn):
    # Events wait in this object and in the encoder, within the bundle: never in Beam's state, which a service
    # persists. Meanwhile more events are read, and the rows of those that are done are written.

    def __init__(
        self,
        specs: Sequence[EncoderSpec],
        device: Device,
        limits: ImageLimits,
        key: KeySource,
        memory: Memory | None = None,
    ) -> None:
        self._specs = tuple(specs)
        self._key = key
        self._device: Device = device
        self._limits = limits
        self._memory = memory

    def setup(self) -> None:
        check_installed(self._limits.formats)  # a worker need not have what its launcher has
        self._encoders = [load(spec, self._device) for spec in self._specs]
        self._together = Together(self._encoders)
        # A digest over the whole spec, so it is computed once for each worker.
        self._fingerprints = [spec.fingerprint for spec in self._specs]
        noise_key = self._key.load().derive(PURPOSE) if any(map(needs_key, self._specs)) else None
        self._releases = [Release(spec, noise_key) for spec in self._specs]
        self._remembering: list[Remembering] = []
        if self._memory is not None:
            secret = self._key.load().derive(CONTENT_IDS + self._memory.stream)
            self._remembering = [
                remembering(encoder, secret, self._limits, self._memory.entries) for encoder in self._encoders
            ]

    def start_bundle(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._bytes = 0

    def process(self, parsed: ParsedEvent) -> Iterator[EncodedEvent | RejectedOutput]:
        payload = parsed.event.payload
        # An encoder that remembers contents decodes by itself, since it may need none of what another one decodes.
        outcomes = [encoder.submit(payload) for encoder in self._remembering] or self._together.submit(
            payload, self._limits
        )
        self._pending.append(_Pending(parsed, outcomes))
        self._bytes += parsed.event.size
        while self._pending and (self._bytes > MAX_BYTES or _is_done(self._pending[0])):
            for output in self._next():
                yield TaggedOutput(REJECTED, output) if isinstance(output, RejectionRow) else output

    def finish_bundle(self) -> Iterator[WindowedValue | RejectedOutput]:
        while self._pending:
            for output in self._next():
                value = GlobalWindows.windowed_value(output)
                yield TaggedOutput(REJECTED, value) if isinstance(output, RejectionRow) else value
        for encoder in self._encoders:
            _measure(encoder)
        for spec, memory in zip(self._specs, self._remembering, strict=False):  # empty without a memory
            counts = memory.counts()
            Metrics.counter(namespace(spec.ref), UNCHANGED).inc(counts.hits)
            Metrics.counter(namespace(spec.ref), NEW).inc(counts.misses)

    def _next(self) -> Iterator[EncodedEvent | RejectionRow]:
        """Wait for the oldest event and yield its output for each encoder."""
        parsed, outcomes = self._pending.popleft()
        event = parsed.event
        self._bytes -= event.size
        for spec, fingerprint, release, future in zip(
            self._specs, self._fingerprints, self._releases, outcomes, strict=True
        ):
            outcome = release(future.result(), event)
            now = datetime.now(UTC)
            if isinstance(outcome, Encoded):
                _measure_lag(spec.ref, now, event)
                row = EmbeddingRow.of(event, spec, fingerprint, outcome.vector, outcome.truncated, origin="ingest")
                yield EncodedEvent(row, parsed.message_id, event.size)
            else:
                count_rejection(Stage.ENCODE, outcome, spec.ref)
                yield rejection_row(
                    event.stream,
                    Rejection(event.ids, outcome),
                    Stage.ENCODE,
                    message_id=parsed.message_id,
                    size=event.size,
                    now=now,
                    fingerprint=fingerprint,
                )


def _is_done(pending: _Pending) -> bool:
    return all(future.done() for future in pending.outcomes)


def _measure(encoder: Encoder) -> None:
    """Record the batches of all threads since the last bundle: a batch belongs to no single bundle."""
    for run in encoder.runs():
        Metrics.distribution(namespace(encoder.spec.ref), "batch_size").update(run.size)
        Metrics.distribution(namespace(encoder.spec.ref), "encode_milliseconds").update(int(run.seconds * 1000))


def _measure_lag(ref: str, now: datetime, event: Event) -> None:
    seconds = (now - event.occurred_at).total_seconds()
    Metrics.distribution(namespace(ref), "lag_seconds").update(max(0, int(seconds)))


class Encode(beam.PTransform):
    """Encode events with every encoder. The outputs are encoded events and rejections."""

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, stream: Stream, key: KeySource) -> None:
        super().__init__()
        memory = Memory(stream.stream, stream.unchanged.remember) if stream.unchanged else None
        self._step = _Encode(specs, device, stream.limits, key, memory)

    def expand(self, events: beam.PCollection[ParsedEvent]) -> Any:
        """Return the collections of encoded events and of rejections."""
        step = beam.ParDo(self._step).with_output_types(EncodedEvent, **{REJECTED: RejectionRow})
        outcomes = events | step.with_outputs(REJECTED, main="embeddings")
        return outcomes.embeddings, outcomes[REJECTED]
