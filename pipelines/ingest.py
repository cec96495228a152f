"""The ingest job: read, parse, encode, write. Its only outputs are embeddings and rejections."""

from dataclasses import dataclass

import apache_beam as beam

from encoders.encoder import Device
from encoders.spec import EncoderSpec
from pipelines.encode import Encode
from pipelines.parse import Parse
from pipelines.read import Read
from pipelines.write import Write
from rawless.events.source import Source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse


@dataclass(frozen=True)
class Ingest:
    """An ingest job. It is pickled into the graph, so it contains names only: no key and no content."""

    stream: Stream
    source: Source
    encoders: tuple[EncoderSpec, ...]
    key: KeySource
    warehouse: Warehouse
    device: Device = "auto"

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""
        deliveries = pipeline | "Read" >> Read(self.stream.stream, self.source)
        events, malformed = deliveries | "Parse" >> Parse(self.stream, self.key)
        embeddings, unencoded = events | "Encode" >> Encode(self.encoders, self.device, self.stream, self.key)
        refused = embeddings | "WriteEmbeddings" >> Write(self.warehouse)
        rejections = (malformed, unencoded, refused) | "Rejections" >> beam.Flatten()
        rejections | "WriteRejections" >> Write(self.warehouse)
