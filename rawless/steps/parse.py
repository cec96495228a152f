"""The parse step: deliveries to checked events and rejections. Objects that events name are read later."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from rawless.events.event import Delivery, Rejection
from rawless.events.parse import Parser
from rawless.events.stream import Stream
from rawless.privacy import Stage
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.elements import CheckedEvent
from rawless.steps.meter import DROPPED, Meter
from rawless.steps.rejections import counter, rejection_row
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow


class Parse(Step[Delivery, CheckedEvent]):
    """Parses deliveries. The outputs are events."""

    output: ClassVar[type[CheckedEvent]] = CheckedEvent

    def __init__(self, stream: Stream, key: KeySource) -> None:
        self._stream = stream
        self._key = key

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._meter = meter
        key = None if self._stream.subject == "none" else self._key.load()
        self._parser = Parser(self._stream, key)

    def process(self, element: Delivery) -> Iterator[CheckedEvent | RejectionRow]:
        """See `Step.process`."""
        now = datetime.now(UTC)
        checked = self._parser.check(element, now)
        self._meter.count(DROPPED, checked.dropped)
        if isinstance(checked.outcome, Rejection):
            yield self._rejection_row(element, checked.outcome, now)
        else:
            yield CheckedEvent(checked.outcome, element.message_id, element.size)

    def _rejection_row(self, delivery: Delivery, rejection: Rejection, now: datetime) -> RejectionRow:
        stage = Stage.READ if delivery.fields == rejection.reason else Stage.PARSE
        self._meter.count(counter(stage, rejection.reason))
        return rejection_row(
            self._stream.stream, rejection, stage, message_id=delivery.message_id, size=delivery.size, now=now
        )
