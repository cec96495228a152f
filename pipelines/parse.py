"""Parse: from deliveries to checked events, and rejections."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from pipelines.objects import read_object
from pipelines.rejections import NAMESPACE, REJECTED, Refused, count_rejection, rejection
from rawless.events.event import Delivery, Event, Refusal
from rawless.events.parse import Parser
from rawless.events.stream import Stream
from rawless.privacy import Stage
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.rows import RejectionRow


class _Parse(beam.DoFn):
    def __init__(self, stream: Stream, key: KeySource) -> None:
        self._stream = stream
        self._key = key
        self._dropped = Metrics.counter(NAMESPACE, "dropped_attributes")

    def setup(self) -> None:
        key = None if self._stream.subject == "none" else self._key.load()
        self._parser = Parser(self._stream, key, read_object)

    def process(self, delivery: Delivery) -> Iterator[Event | Refused]:
        now = datetime.now(UTC)
        parsed = self._parser.parse(delivery, now)
        self._dropped.inc(parsed.dropped)
        if isinstance(parsed.outcome, Refusal):
            refusal = parsed.outcome
            stage = Stage.READ if delivery.fields == refusal.reason else Stage.PARSE
            count_rejection(stage, refusal.reason)
            yield TaggedOutput(REJECTED, rejection(self._stream.stream, refusal, stage, now))
        else:
            yield parsed.outcome


class Parse(beam.PTransform):
    """Deliveries to (events, rejections)."""

    def __init__(self, stream: Stream, key: KeySource) -> None:
        super().__init__()
        self._step = _Parse(stream, key)

    def expand(self, deliveries: beam.PCollection[Delivery]) -> Any:
        """From deliveries to events, and rejections beside them."""
        step = beam.ParDo(self._step).with_output_types(Event, **{REJECTED: RejectionRow})
        outcomes = deliveries | step.with_outputs(REJECTED, main="events")
        return outcomes.events, outcomes[REJECTED]
