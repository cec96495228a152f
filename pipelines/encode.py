"""Encode: from checked events to embedding rows, and rejections. Raw content ends here."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from encoders.encoder import Device, Encoded, Encoder
from encoders.limits import ImageLimits
from encoders.load import load
from encoders.spec import EncoderSpec
from events.event import Event
from events.stream import Limits
from pipelines.reject import REJECTED, Refused, count_rejection, namespace, refusal_of, rejection
from privacy import Stage
from sql.rows import EmbeddingRow, RejectionRow

MAX_EVENTS = 512
"""Events held before they are encoded, and likewise their bytes: many enough for full batches of like length."""
MAX_BYTES = 32_000_000


class _Encode(beam.DoFn):
    # Events wait in this object, inside the bundle: never in Beam's state, which a service persists.

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, limits: ImageLimits) -> None:
        self._specs = tuple(specs)
        self._device: Device = device
        self._limits = limits

    def setup(self) -> None:
        self._encoders = [load(spec, self._device) for spec in self._specs]

    def start_bundle(self) -> None:
        self._waiting: list[Event] = []
        self._bytes = 0

    def process(self, event: Event) -> Iterator[EmbeddingRow | Refused]:
        self._waiting.append(event)
        self._bytes += event.size
        if len(self._waiting) >= MAX_EVENTS or self._bytes >= MAX_BYTES:
            for row in self._flush():
                yield TaggedOutput(REJECTED, row) if isinstance(row, RejectionRow) else row

    def finish_bundle(self) -> Iterator[WindowedValue | Refused]:
        for row in self._flush():
            value = GlobalWindows.windowed_value(row)
            yield TaggedOutput(REJECTED, value) if isinstance(row, RejectionRow) else value

    def _flush(self) -> Iterator[EmbeddingRow | RejectionRow]:
        events, self._waiting, self._bytes = self._waiting, [], 0
        if events:
            for encoder in self._encoders:
                yield from _encode(encoder, events, self._limits)


def _encode(encoder: Encoder, events: Sequence[Event], limits: ImageLimits) -> Iterator[EmbeddingRow | RejectionRow]:
    spec, fingerprint = encoder.spec, encoder.spec.fingerprint  # a digest over the whole spec: once a batch
    started = time.monotonic()
    outcomes = encoder.encode([event.payload for event in events], limits)
    _measure(spec.ref, len(events), time.monotonic() - started)
    now = datetime.now(UTC)
    for event, outcome in zip(events, outcomes, strict=True):
        if isinstance(outcome, Encoded):
            _lag(spec.ref, now, event)
            yield _row(spec, fingerprint, event, outcome, now)
        else:
            count_rejection(Stage.ENCODE, outcome, spec.ref)
            yield rejection(event.stream, refusal_of(event, outcome), Stage.ENCODE, now, fingerprint)


def _measure(ref: str, size: int, seconds: float) -> None:
    Metrics.distribution(namespace(ref), "batch_size").update(size)
    Metrics.distribution(namespace(ref), "encode_milliseconds").update(int(seconds * 1000))


def _lag(ref: str, now: datetime, event: Event) -> None:
    seconds = (now - event.occurred_at).total_seconds()
    Metrics.distribution(namespace(ref), "lag_seconds").update(max(0, int(seconds)))


def _row(spec: EncoderSpec, fingerprint: str, event: Event, encoded: Encoded, now: datetime) -> EmbeddingRow:
    return EmbeddingRow(
        stream=event.stream,
        event_id=event.event_id,
        subject_key=event.subject_key,
        subject_key_id=event.subject_key_id,
        occurred_at=event.occurred_at,
        logged_at=now,
        modality=spec.modality,
        encoder=spec.name,
        encoder_version=spec.version,
        encoder_fingerprint=fingerprint,
        embedding=encoded.vector,
        truncated=encoded.truncated,
        attributes=event.attributes,
        message_id=event.message_id,
        size=event.size,
    )


class Encode(beam.PTransform):
    """Events to (embedding rows, rejections), for each encoder."""

    def __init__(self, specs: Sequence[EncoderSpec], device: Device, limits: Limits) -> None:
        super().__init__()
        self._step = _Encode(specs, device, ImageLimits(limits.max_pixels, limits.max_side, limits.formats))

    def expand(self, events: beam.PCollection[Event]) -> Any:
        """From events to embedding rows, and rejections beside them."""
        step = beam.ParDo(self._step).with_output_types(EmbeddingRow, **{REJECTED: RejectionRow})
        outcomes = events | step.with_outputs(REJECTED, main="embeddings")
        return outcomes.embeddings, outcomes[REJECTED]
