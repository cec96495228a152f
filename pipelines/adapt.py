"""The backfill job: vectors of an old encoder, mapped into the space of another one. It reads rows and no content.

Workers query which deliveries of a span of time still need a vector, without vectors, and then read these in bulk. Such
a query has nothing in its text that came from content, since these workers have none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

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
from rawless.warehouse.deliveries import read_deliveries, rows_of
from rawless.warehouse.read import embeddings_of
from rawless.warehouse.spans import Span
from rawless.warehouse.unadapted import unadapted

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
        source = self._encoder.adapter.source if self._encoder.adapter else ""
        wanted = set(unadapted(self._warehouse, self._stream, self._encoder, span))
        for batch in read_deliveries(self._warehouse, self._stream, source, span, wanted):
            yield from self._adapted(batch)
            if stop_signal.is_stop_requested():
                return

    def _adapted(self, batch: pa.RecordBatch) -> Iterator[EncodedEvent]:
        vectors = self._map.apply(embeddings_of(batch))
        BeamMeter().count(READ, batch.num_rows)
        progress.add(self._stream, "read", batch.num_rows)
        own = {"encoder": self._encoder.name, "encoder_version": self._encoder.version}
        own |= {"encoder_fingerprint": self._fingerprint}
        for row, vector in zip(rows_of(batch, **own), vectors, strict=True):
            adapted = replace(row, embedding=vector, logged_at=datetime.now(UTC))
            yield EncodedEvent(adapted, _MESSAGE_ID, size=0)
