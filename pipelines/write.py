"""Write: rows into the warehouse. A row that it refuses becomes a rejection."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import progress
from pipelines.rejections import count_rejection, namespace, refusal_of, rejection
from rawless.errors import Unavailable
from rawless.privacy import Reason, Stage
from rawless.warehouse.append import appender
from rawless.warehouse.client import Warehouse
from rawless.warehouse.rows import EmbeddingRow, RejectionRow

MAX_ROWS = 500
MAX_SECONDS = 5.0
"""Rows wait no longer than this for others, as long as more elements come."""


class _Write(beam.DoFn):
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def setup(self) -> None:
        self._appender = appender(self._warehouse)

    def start_bundle(self) -> None:
        self._waiting: list[EmbeddingRow | RejectionRow] = []
        self._since = time.monotonic()

    def process(self, row: EmbeddingRow | RejectionRow) -> Iterator[RejectionRow]:
        self._waiting.append(row)
        if len(self._waiting) >= MAX_ROWS or time.monotonic() - self._since > MAX_SECONDS:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for refused in self._flush():
            yield GlobalWindows.windowed_value(refused)

    def _flush(self) -> list[RejectionRow]:
        rows, self._waiting, self._since = self._waiting, [], time.monotonic()
        refused = set(self._appender.append(rows)) if rows else set()
        return [
            rejected
            for position, row in enumerate(rows)
            if (rejected := _written(row, refused=position in refused)) is not None
        ]


def _written(row: EmbeddingRow | RejectionRow, *, refused: bool) -> RejectionRow | None:
    """Count a row, and turn a refused embedding into the rejection that tells it."""
    if isinstance(row, RejectionRow):
        if refused:  # never lost in silence: the source delivers again
            raise Unavailable("The warehouse refused a row of rejection_v1; compare it with sql/rejection_v1.")
        progress.add(row.stream, "rejections")
        return None
    encoder = f"{row.encoder}@{row.encoder_version}"
    if not refused:
        Metrics.counter(namespace(encoder), "embeddings").inc()
        progress.add(row.stream, "embeddings")
        return None
    count_rejection(Stage.WRITE, Reason.ROW_REFUSED, encoder)
    refusal = refusal_of(row, Reason.ROW_REFUSED)
    return rejection(row.stream, refusal, Stage.WRITE, datetime.now(UTC), row.encoder_fingerprint)


class Write(beam.PTransform):
    """Rows to the rejections of those that the warehouse refused; of rejection rows none may be."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__()
        self._step = _Write(warehouse)

    def expand(self, rows: beam.PCollection[EmbeddingRow | RejectionRow]) -> beam.PCollection[RejectionRow]:
        """From rows to rejections."""
        return rows | "Append" >> beam.ParDo(self._step).with_output_types(RejectionRow)
