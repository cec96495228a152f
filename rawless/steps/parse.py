"""The parse step: deliveries to checked events and rejections."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from rawless.events.event import Delivery, Rejection
from rawless.events.objects import ReadObject
from rawless.events.parse import Parser
from rawless.events.stream import Stream
from rawless.privacy import Stage
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.elements import ParsedEvent
from rawless.steps.meter import DROPPED, Meter
from rawless.steps.rejections import counter, rejection_row
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow


class Parse(Step[Delivery, ParsedEvent]):
    """Parses deliveries. The outputs are events."""

    output: ClassVar[type[ParsedEvent]] = ParsedEvent

    def __init__(self, stream: Stream, key: KeySource, read_object: ReadObject) -> None:
        self._stream = stream
        self._key = key
        self._read_object = read_object

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._meter = meter
        key = None if self._stream.subject == "none" else self._key.load()
        self._parser = Parser(self._stream, key, self._read_object)

    def process(self, element: Delivery) -> Iterator[ParsedEvent | RejectionRow]:
        """See `Step.process`."""
        now = datetime.now(UTC)
        parsed = self._parser.parse(element, now)
        self._meter.count(DROPPED, parsed.dropped)
        if isinstance(parsed.outcome, Rejection):
            yield self._rejection_row(element, parsed.outcome, now)
        else:
            yield ParsedEvent(parsed.outcome, element.message_id)

    def _rejection_row(self, delivery: Delivery, rejection: Rejection, now: datetime) -> RejectionRow:
        stage = Stage.READ if delivery.fields == rejection.reason else Stage.PARSE
        self._meter.count(counter(stage, rejection.reason))
        return rejection_row(
            self._stream.stream, rejection, stage, message_id=delivery.message_id, size=delivery.size, now=now
        )
