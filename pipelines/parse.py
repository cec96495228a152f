"""The parse step: deliveries to checked events and rejections."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from pipelines.elements import ParsedEvent
from pipelines.objects import read_object
from pipelines.rejections import NAMESPACE, REJECTED, RejectedOutput, count_rejection, rejection_row
from rawless.events.event import Delivery, Rejection
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

    def process(self, delivery: Delivery) -> Iterator[ParsedEvent | RejectedOutput]:
        now = datetime.now(UTC)
        parsed = self._parser.parse(delivery, now)
        self._dropped.inc(parsed.dropped)
        if isinstance(parsed.outcome, Rejection):
            yield TaggedOutput(REJECTED, self._rejection_row(delivery, parsed.outcome, now))
        else:
            yield ParsedEvent(parsed.outcome, delivery.message_id)

    def _rejection_row(self, delivery: Delivery, rejection: Rejection, now: datetime) -> RejectionRow:
        stage = Stage.READ if delivery.fields == rejection.reason else Stage.PARSE
        count_rejection(stage, rejection.reason)
        return rejection_row(
            self._stream.stream, rejection, stage, message_id=delivery.message_id, size=delivery.size, now=now
        )


class Parse(beam.PTransform):
    """Parse deliveries. The outputs are events and rejections."""

    def __init__(self, stream: Stream, key: KeySource) -> None:
        super().__init__()
        self._step = _Parse(stream, key)

    def expand(self, deliveries: beam.PCollection[Delivery]) -> Any:
        """Return the collections of events and of rejections."""
        step = beam.ParDo(self._step).with_output_types(ParsedEvent, **{REJECTED: RejectionRow})
        outcomes = deliveries | step.with_outputs(REJECTED, main="events")
        return outcomes.events, outcomes[REJECTED]
