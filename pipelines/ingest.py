"""The ingest job: read, parse, fetch, encode, write. Its only outputs are embeddings and rejections."""

from dataclasses import dataclass

import apache_beam as beam

from encoders.encoder import Device
from encoders.spec import EncoderSpec
from pipelines.read import Read
from pipelines.step import ApplyStep
from rawless.events.source import Source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.encode import Encode
from rawless.steps.fetch import Fetch
from rawless.steps.parse import Parse
from rawless.steps.write import Write
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
    restarts: bool = False
    """Whether the runner starts a worker's process again that ends: one that can encode no more then does."""

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""
        deliveries = pipeline | "Read" >> Read(self.stream.stream, self.source)
        checked, malformed = deliveries | "Parse" >> ApplyStep(Parse(self.stream, self.key))
        events, unreadable = checked | "Fetch" >> ApplyStep(Fetch(self.stream.stream))
        encode = Encode(self.encoders, self.device, self.stream, self.key, restarts=self.restarts)
        embeddings, unencoded = events | "Encode" >> ApplyStep(encode)
        _, refused = embeddings | "WriteEmbeddings" >> ApplyStep(Write(self.warehouse))
        rejections = (malformed, unreadable, unencoded, refused) | "Rejections" >> beam.Flatten()
        rejections | "WriteRejections" >> ApplyStep(Write(self.warehouse))
