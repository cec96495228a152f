"""The backfill job: vectors of an old encoder, mapped into the space of another one. It reads rows and no content.

Workers query which deliveries of a span of time still need a vector, without vectors, and then read these in bulk. Such
a query has nothing in its text that came from content, since these workers have none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa

from encoders.adapter_map import read_adapter
from encoders.spec import EncoderSpec
from pipelines.beam_meter import BeamMeter
from pipelines.step import ApplyStep
from rawless.steps import progress, stop_signal
from rawless.steps.elements import EncodedEvent
from rawless.steps.meter import READ
from rawless.steps.write import Write
from rawless.warehouse.client import Warehouse
from rawless.warehouse.read import embeddings_of, read
from rawless.warehouse.rows import EmbeddingRow
from rawless.warehouse.unadapted import Span, unadapted

_COLUMNS = tuple(field.name for field in fields(EmbeddingRow))
_MESSAGE_ID = "backfill"
"""In place of the id of a message, in the rejection of a row that the warehouse refuses."""


@dataclass(frozen=True)
class Adapt:
    """A backfill job. It is pickled into the graph."""

    stream: str
    encoder: EncoderSpec
    """It has an adapter; the rows of its source are read, and rows of its own are written."""
    spans: tuple[Span, ...]
    warehouse: Warehouse

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""
        spans = pipeline | "Spans" >> beam.Create(self.spans) | "Spread" >> beam.Reshuffle()
        step = beam.ParDo(_Adapt(self.stream, self.encoder, self.warehouse)).with_output_types(EncodedEvent)
        _, refused = spans | "Adapt" >> step | "WriteEmbeddings" >> ApplyStep(Write(self.warehouse))
        refused | "WriteRejections" >> ApplyStep(Write(self.warehouse))


class _Adapt(beam.DoFn):
    def __init__(self, stream: str, encoder: EncoderSpec, warehouse: Warehouse) -> None:
        self._stream, self._encoder, self._warehouse = stream, encoder, warehouse

    def setup(self) -> None:
        self._map = read_adapter(self._encoder)
        self._fingerprint = self._encoder.fingerprint

    def process(self, span: Span) -> Iterator[EncodedEvent]:
        if stop_signal.is_stop_requested():
            return
        waiting = set(unadapted(self._warehouse, self._stream, self._encoder, span))
        for batch in read(self._warehouse, self._warehouse.table_id(EmbeddingRow.TABLE), _COLUMNS, self._rows_of(span)):
            chosen = []
            for place, delivery in enumerate(_deliveries(batch)):
                if delivery in waiting:
                    waiting.discard(delivery)  # a delivery that is stored twice is read once
                    chosen.append(place)
            yield from self._adapted(batch.take(pa.array(chosen, pa.int64())))
            if stop_signal.is_stop_requested():
                return

    def _rows_of(self, span: Span) -> str:
        source = self._encoder.adapter and self._encoder.adapter.source
        return (
            f"stream = '{self._stream}' AND encoder_fingerprint = '{source}' "
            f"AND occurred_at >= TIMESTAMP '{span.start_at.isoformat()}' "
            f"AND occurred_at < TIMESTAMP '{span.end_at.isoformat()}'"
        )

    def _adapted(self, batch: pa.RecordBatch) -> Iterator[EncodedEvent]:
        if not batch.num_rows:
            return
        vectors = self._map.apply(embeddings_of(batch))
        BeamMeter().count(READ, batch.num_rows)
        progress.add(self._stream, "read", batch.num_rows)
        own = {"encoder": self._encoder.name, "encoder_version": self._encoder.version}
        own |= {"encoder_fingerprint": self._fingerprint}
        for row, vector in zip(batch.drop_columns(["embedding"]).to_pylist(), vectors, strict=True):
            attributes = tuple((each["key"], each["value"]) for each in row["attributes"] or ())
            adapted: dict[str, Any] = {**row, **own, "attributes": attributes, "embedding": vector}
            yield EncodedEvent(EmbeddingRow(**{**adapted, "logged_at": datetime.now(UTC)}), _MESSAGE_ID, size=0)


def _deliveries(batch: pa.RecordBatch) -> Iterator[tuple[str, str, datetime]]:
    columns = (batch.column(name).to_pylist() for name in ("event_id", "origin", "logged_at"))
    return zip(*columns, strict=True)
