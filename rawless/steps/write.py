"""The write step: rows into the warehouse. One that the warehouse refuses becomes a rejection."""

import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from rawless.errors import Unavailable
from rawless.events.event import Rejection, ValidIds
from rawless.privacy import Reason, Stage
from rawless.steps import progress
from rawless.steps.elements import EncodedEvent, PredictedEvent
from rawless.steps.meter import ABSTAINED, EMBEDDINGS, PREDICTIONS, Meter
from rawless.steps.rejections import counter, rejection_row
from rawless.steps.step import Step
from rawless.warehouse.append import Appending, storage_writer
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, PredictionRow, RejectionRow
from rawless.warehouse.tables import table

MAX_ROWS = 500
MAX_SECONDS = 5.0
"""Rows wait no longer than this for others, as long as more elements come."""

MAX_SENT = 4
"""Requests whose rows may be unwritten while more elements come."""

Output = EncodedEvent | PredictedEvent | RejectionRow


class _Sent(NamedTuple):
    outputs: list[Output]
    appending: Appending


class Write(Step[Output, RejectionRow]):
    """Writes rows. The outputs are the rejections of refused ones; a refused rejection fails the bundle."""

    output: ClassVar[type[RejectionRow]] = RejectionRow

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._meter = meter
        self._appender = storage_writer(self._warehouse)
        for kind in (EmbeddingRow, PredictionRow, RejectionRow):
            table(kind.TABLE)  # its schema is read now, and not by all threads at their first rows

    def start(self) -> None:
        """See `Step.start`."""
        self._waiting: list[Output] = []
        self._since = time.monotonic()
        self._sent: deque[_Sent] = deque()

    def process(self, element: Output) -> Iterator[RejectionRow]:
        """See `Step.process`."""
        self._waiting.append(element)
        if len(self._waiting) >= MAX_ROWS or time.monotonic() - self._since > MAX_SECONDS:
            self._send()
            while len(self._sent) > MAX_SENT or (self._sent and self._sent[0].appending.is_done()):
                yield from self._next()

    def finish(self) -> Iterator[RejectionRow]:
        """See `Step.finish`."""
        if self._waiting:
            self._send()
        while self._sent:
            yield from self._next()

    def _send(self) -> None:
        """Append the waiting rows in the background."""
        outputs, self._waiting, self._since = self._waiting, [], time.monotonic()
        rows = [output if isinstance(output, RejectionRow) else output.row for output in outputs]
        self._sent.append(_Sent(outputs, self._appender.submit(rows)))

    def _next(self) -> list[RejectionRow]:
        """Wait until the oldest rows are written, and return the rejections of those that were refused."""
        outputs, appending = self._sent.popleft()
        refused = set(appending.result())
        rejections = []
        for position, output in enumerate(outputs):
            if position in refused:
                rejections.append(self._reject(output))
            else:
                self._count(output)
        return rejections

    def _count(self, output: Output) -> None:
        """Count a row that was written."""
        if isinstance(output, RejectionRow):
            progress.add(output.stream, "rejections")
            return
        if isinstance(output, EncodedEvent):
            self._meter.count(EMBEDDINGS, encoder=output.encoder)
            progress.add(output.row.stream, "embeddings")
            return
        self._meter.count(PREDICTIONS, encoder=output.encoder)
        if output.row.abstention:
            self._meter.count(f"{ABSTAINED}.{output.row.abstention}", encoder=output.encoder)
        progress.add(output.row.stream, "predictions")

    def _reject(self, output: Output) -> RejectionRow:
        """Return the rejection of a row that was refused. Raises Unavailable if that row is itself a rejection."""
        if isinstance(output, RejectionRow):  # never lost in silence: the source delivers it again
            raise Unavailable("The warehouse refused a row of rejection_v1; compare it with sql/rejection_v1.")
        row = output.row
        self._meter.count(counter(Stage.WRITE, Reason.ROW_REFUSED), encoder=output.encoder)
        return rejection_row(
            row.stream,
            Rejection(ValidIds(row.event_id, row.subject_key, row.subject_key_id), Reason.ROW_REFUSED),
            Stage.WRITE,
            message_id=output.message_id,
            size=output.size,
            now=datetime.now(UTC),
            fingerprint=output.fingerprint,
        )
