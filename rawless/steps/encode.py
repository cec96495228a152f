"""The encode step: checked events to embedding rows and rejections. No raw content leaves it."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar, NamedTuple

from encoders.encoder import Device, Encoded, result
from encoders.image_formats import check_installed
from encoders.load import load
from encoders.release import PURPOSE, Release, needs_key, round_off
from encoders.remembering import PURPOSE as CONTENT_IDS
from encoders.remembering import Remembering, remembering
from encoders.spec import EncoderSpec
from encoders.together import Together
from rawless.broken_process import end_when_broken
from rawless.events.event import Event, Rejection
from rawless.events.stream import Stream
from rawless.garbage_collection import exempt_loaded
from rawless.metering import table as metrics
from rawless.privacy import Raw, Reason, Stage
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.crash_record import PURPOSE as CRASHES
from rawless.steps.crash_record import crash_record
from rawless.steps.elements import EncodedEvent, ParsedEvent
from rawless.steps.meter import LAG, NEW, UNCHANGED, Meter
from rawless.steps.recorded import Outcomes, Recorded
from rawless.steps.rejections import counter, rejection_row
from rawless.steps.step import Step
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

MAX_BYTES = 32_000_000
"""Total size of the events of a bundle that may wait for their vectors. The encoder limits their number."""


class _Pending(NamedTuple):
    parsed: ParsedEvent
    outcomes: Outcomes


class Encode(Step[ParsedEvent, EncodedEvent]):
    """Encodes events with every encoder. The outputs are embedding rows, one for each encoder."""

    # Events wait in this object and in the encoder, within the bundle: never in Beam's state, which a service
    # persists. Meanwhile more events are read, and the rows of those that are done are written.

    output: ClassVar[type[EncodedEvent]] = EncodedEvent

    def __init__(
        self,
        specs: Sequence[EncoderSpec],
        device: Device,
        stream: Stream,
        key: KeySource,
        *,
        restarts: bool = False,
        is_for_heads: bool = False,
    ) -> None:
        """`restarts` says whether something starts this process again when it ends; see `end_when_broken`.

        `is_for_heads` says that the vectors are not written: heads take them as services give them, without noise.
        """
        self._restarts, self._is_for_heads = restarts, is_for_heads
        self._specs = tuple(specs)
        self._key = key
        self._device: Device = device
        self._stream = stream
        self._limits = stream.limits

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._meter = meter
        self.start()
        metrics.EVENTS_IN_PROGRESS.watch(self, _events)
        metrics.BYTES_IN_PROGRESS.watch(self, _bytes)
        if self._restarts:
            end_when_broken()
        check_installed(self._limits.formats)  # a worker need not have what its launcher has
        self._encoders = [load(spec, self._device) for spec in self._specs]
        self._together = Together(self._encoders)
        # A digest over the whole spec, so it is computed once for each worker.
        self._fingerprints = [spec.fingerprint for spec in self._specs]
        has_noise = not self._is_for_heads and any(map(needs_key, self._specs))
        noise_key = self._key.load().derive(PURPOSE) if has_noise else None
        self._releases = [
            partial(_rounded, spec) if self._is_for_heads else Release(spec, noise_key) for spec in self._specs
        ]
        self._remembering: list[Remembering] = []
        if memory := self._stream.unchanged:
            secret = self._key.load().derive(CONTENT_IDS + self._stream.stream)
            self._remembering = [
                remembering(encoder, secret, self._limits, memory.remember) for encoder in self._encoders
            ]
        self._recorded: Recorded | None = None
        if record := crash_record():
            has_key = self._stream.subject != "none" or self._stream.unchanged or noise_key
            secret = self._key.load().derive(CRASHES + self._stream.stream) if has_key else record.secret
            self._recorded = Recorded(record, secret, self._encoders)
        exempt_loaded()

    def start(self) -> None:
        """See `Step.start`."""
        self._pending: deque[_Pending] = deque()
        self._bytes = 0

    def process(self, element: ParsedEvent) -> Iterator[EncodedEvent | RejectionRow]:
        """See `Step.process`."""
        payload = element.event.payload
        outcomes = self._recorded.submit(payload, self._submit) if self._recorded else self._submit(payload)
        self._pending.append(_Pending(element, outcomes))
        self._bytes += element.event.size
        while self._pending and (self._bytes > MAX_BYTES or _is_done(self._pending[0])):
            yield from self._next()

    def finish(self) -> Iterator[EncodedEvent | RejectionRow]:
        """See `Step.finish`."""
        if self._pending:  # for one event after the other, this thread would be woken up as many times
            self._wait_for(self._pending[-1])
        while self._pending:
            yield from self._next()
        for spec, memory in zip(self._specs, self._remembering, strict=False):  # empty without a memory
            counts = memory.counts()
            self._meter.count(UNCHANGED, counts.hits, spec.ref)
            self._meter.count(NEW, counts.misses, spec.ref)

    def _submit(self, payload: Raw[bytes]) -> Outcomes:
        # An encoder that remembers contents decodes by itself, since it may need none of what another one decodes.
        outcomes = [encoder.submit(payload) for encoder in self._remembering]
        return outcomes or self._together.submit(payload, self._limits)

    def _wait_for(self, pending: _Pending) -> None:
        for encoder, future in zip(self._encoders, pending.outcomes, strict=True):
            result(encoder, future)

    def _next(self) -> Iterator[EncodedEvent | RejectionRow]:
        """Wait for the oldest event and yield its output for each encoder."""
        parsed, outcomes = self._pending.popleft()
        event = parsed.event
        self._bytes -= event.size
        for encoder, fingerprint, release, future in zip(
            self._encoders, self._fingerprints, self._releases, outcomes, strict=True
        ):
            spec = encoder.spec
            outcome = release(result(encoder, future), event)
            now = datetime.now(UTC)
            if isinstance(outcome, Encoded):
                _measure_lag(self._meter, spec.ref, now, event)
                row = EmbeddingRow.of(event, spec, fingerprint, outcome.vector, outcome.truncated, origin="ingest")
                yield EncodedEvent(row, parsed.message_id, event.size)
            else:
                self._meter.count(counter(Stage.ENCODE, outcome), encoder=spec.ref)
                yield rejection_row(
                    event.stream,
                    Rejection(event.ids, outcome),
                    Stage.ENCODE,
                    message_id=parsed.message_id,
                    size=event.size,
                    now=now,
                    fingerprint=fingerprint,
                )


def _rounded(spec: EncoderSpec, outcome: Encoded | Reason, _: Event) -> Encoded | Reason:
    return outcome if isinstance(outcome, Reason) else round_off(spec, outcome)


def _events(step: Encode) -> int:
    return len(step._pending)


def _bytes(step: Encode) -> int:
    return step._bytes


def _is_done(pending: _Pending) -> bool:
    return all(future.done() for future in pending.outcomes)


def _measure_lag(meter: Meter, ref: str, now: datetime, event: Event) -> None:
    seconds = (now - event.occurred_at).total_seconds()
    meter.observe(LAG, max(0.0, seconds), ref)
