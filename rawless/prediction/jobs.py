"""The Beam jobs of `rawless predict`. Their only outputs are predictions and rejections."""

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from encoders.encoder import Device
from encoders.spec import EncoderSpec
from pipelines.beam_meter import BeamMeter
from pipelines.read import Read
from pipelines.step import ApplyStep
from rawless.events.source import BoundedSource
from rawless.events.stream import Stream
from rawless.prediction.chosen_head import ChosenHead
from rawless.prediction.predict import Predict
from rawless.prediction.unpredicted import unpredicted
from rawless.privacy.pseudonyms import KeySource
from rawless.serving.rules import Rules
from rawless.steps import progress, stop_signal
from rawless.steps.elements import EncodedEvent
from rawless.steps.encode import Encode
from rawless.steps.fetch import Fetch
from rawless.steps.meter import READ
from rawless.steps.parse import Parse
from rawless.steps.write import Write
from rawless.warehouse.client import Warehouse
from rawless.warehouse.deliveries import read_deliveries, rows_of
from rawless.warehouse.spans import Span

_MESSAGE_ID = "stored"
"""In place of the id of a message, in the rejection of a row that the warehouse refuses."""


@dataclass(frozen=True)
class PredictEvents:
    """A job over the events of a source, which it reads and encodes as ingest does. It is pickled into the graph."""

    stream: Stream
    source: BoundedSource
    encoder: EncoderSpec
    head: ChosenHead
    rules: Rules
    key: KeySource
    warehouse: Warehouse
    device: Device = "auto"
    restarts: bool = False
    """See `Ingest.restarts`."""

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""
        deliveries = pipeline | "Read" >> Read(self.stream.stream, self.source)
        checked, malformed = deliveries | "Parse" >> ApplyStep(Parse(self.stream, self.key))
        events, unreadable = checked | "Fetch" >> ApplyStep(Fetch(self.stream.stream))
        encode = Encode([self.encoder], self.device, self.stream, self.key, restarts=self.restarts, is_for_heads=True)
        encoded, unencoded = events | "Encode" >> ApplyStep(encode)
        predicted, _ = encoded | "Predict" >> ApplyStep(Predict(self.head, self.rules))
        _, refused = predicted | "WritePredictions" >> ApplyStep(Write(self.warehouse))
        rejections = (malformed, unreadable, unencoded, refused) | "Rejections" >> beam.Flatten()
        rejections | "WriteRejections" >> ApplyStep(Write(self.warehouse))


@dataclass(frozen=True)
class PredictStored:
    """A job over stored embeddings of a stream that have no prediction yet. It reads rows and no content."""

    stream: str
    spans: tuple[Span, ...]
    head: ChosenHead
    rules: Rules
    warehouse: Warehouse

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""
        spans = pipeline | "Spans" >> beam.Create(self.spans) | "Spread" >> beam.Reshuffle()
        stored = beam.ParDo(_Stored(self.stream, self.head, self.warehouse)).with_output_types(EncodedEvent)
        predicted, _ = spans | "Stored" >> stored | "Predict" >> ApplyStep(Predict(self.head, self.rules))
        _, refused = predicted | "WritePredictions" >> ApplyStep(Write(self.warehouse))
        refused | "WriteRejections" >> ApplyStep(Write(self.warehouse))


class _Stored(beam.DoFn):
    def __init__(self, stream: str, head: ChosenHead, warehouse: Warehouse) -> None:
        self._stream, self._head, self._warehouse = stream, head, warehouse

    def process(self, span: Span) -> Iterator[EncodedEvent]:
        if stop_signal.is_stop_requested():
            return
        wanted = set(unpredicted(self._warehouse, self._stream, self._head, span))
        fingerprint = self._head.vectors.fingerprint
        for batch in read_deliveries(self._warehouse, self._stream, fingerprint, span, wanted):
            BeamMeter().count(READ, batch.num_rows)
            progress.add(self._stream, "read", batch.num_rows)
            for row in rows_of(batch):
                yield EncodedEvent(row, _MESSAGE_ID, size=0)
            if stop_signal.is_stop_requested():
                return
