"""The write step: rows into the warehouse. An embedding that the warehouse refuses becomes a rejection."""

import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import progress
from pipelines.elements import EncodedEvent
from pipelines.rejections import count_rejection, namespace, rejection_row
from rawless.errors import Unavailable
from rawless.events.event import Rejection, ValidIds
from rawless.privacy import Reason, Stage
from rawless.warehouse.append import Appending, storage_writer
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import RejectionRow

MAX_ROWS = 500
MAX_SECONDS = 5.0
"""Rows wait no longer than this for others, as long as more elements come."""

MAX_SENT = 4
"""Requests whose rows may be unwritten while more elements come."""

Output = EncodedEvent | RejectionRow


class _Sent(NamedTuple):
    outputs: list[Output]
    appending: Appending


class _Write(beam.DoFn):
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def setup(self) -> None:
        self._appender = storage_writer(self._warehouse)

    def start_bundle(self) -> None:
        self._waiting: list[Output] = []
        self._since = time.monotonic()
        self._sent: deque[_Sent] = deque()

    def process(self, output: Output) -> Iterator[RejectionRow]:
        self._waiting.append(output)
        if len(self._waiting) >= MAX_ROWS or time.monotonic() - self._since > MAX_SECONDS:
            self._send()
            while len(self._sent) > MAX_SENT or (self._sent and self._sent[0].appending.is_done()):
                yield from self._next()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._waiting:
            self._send()
        while self._sent:
            for rejection in self._next():
                yield GlobalWindows.windowed_value(rejection)

    def _send(self) -> None:
        """Append the waiting rows in the background."""
        outputs, self._waiting, self._since = self._waiting, [], time.monotonic()
        rows = [output.row if isinstance(output, EncodedEvent) else output for output in outputs]
        self._sent.append(_Sent(outputs, self._appender.submit(rows)))

    def _next(self) -> list[RejectionRow]:
        """Wait until the oldest rows are written, and return the rejections of those that were refused."""
        outputs, appending = self._sent.popleft()
        refused = set(appending.result())
        rejections = []
        for position, output in enumerate(outputs):
            if position in refused:
                rejections.append(_reject(output))
            else:
                _count(output)
        return rejections


def _count(output: Output) -> None:
    """Count a row that was written."""
    if isinstance(output, RejectionRow):
        progress.add(output.stream, "rejections")
        return
    Metrics.counter(namespace(_encoder(output)), "embeddings").inc()
    progress.add(output.row.stream, "embeddings")


def _reject(output: Output) -> RejectionRow:
    """Return the rejection of a row that was refused. Raises Unavailable if that row is itself a rejection."""
    if isinstance(output, RejectionRow):  # never lost in silence: the source delivers it again
        raise Unavailable("The warehouse refused a row of rejection_v1; compare it with sql/rejection_v1.")
    row = output.row
    count_rejection(Stage.WRITE, Reason.ROW_REFUSED, _encoder(output))
    return rejection_row(
        row.stream,
        Rejection(ValidIds(row.event_id, row.subject_key, row.subject_key_id), Reason.ROW_REFUSED),
        Stage.WRITE,
        message_id=output.message_id,
        size=output.size,
        now=datetime.now(UTC),
        fingerprint=row.encoder_fingerprint,
    )


def _encoder(encoded: EncodedEvent) -> str:
    return f"{encoded.row.encoder}@{encoded.row.encoder_version}"


class Write(beam.PTransform):
    """Write rows. The output is the rejections of refused embeddings; a refused rejection fails the bundle."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__()
        self._step = _Write(warehouse)

    def expand(self, rows: beam.PCollection[Output]) -> beam.PCollection[RejectionRow]:
        """Return the collection of rejections."""
        return rows | "Append" >> beam.ParDo(self._step).with_output_types(RejectionRow)
