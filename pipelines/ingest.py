"""The ingest job: read, parse, encode, write. Embeddings and rejections come out, nothing else."""

from dataclasses import dataclass

import apache_beam as beam

from encoders.encoder import Device
from encoders.spec import EncoderSpec
from pipelines.encode import Encode
from pipelines.parse import Parse
from pipelines.read import Read
from pipelines.write import Write
from rawless.events.sources import Source
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse


@dataclass(frozen=True)
class Ingest:
    """What an ingest job needs to know. It holds names and places, no key and no content."""

    stream: Stream
    source: Source | Subscription
    encoders: tuple[EncoderSpec, ...]
    key: KeySource
    warehouse: Warehouse
    device: Device = "auto"

    def build(self, pipeline: beam.Pipeline) -> None:
        """Put the job's steps into the pipeline."""
        deliveries = pipeline | "Read" >> Read(self.stream.stream, self.source)
        events, unparsed = deliveries | "Parse" >> Parse(self.stream, self.key)
        embeddings, unencoded = events | "Encode" >> Encode(self.encoders, self.device, self.stream.limits)
        refused = embeddings | "WriteEmbeddings" >> Write(self.warehouse)
        rejections = (unparsed, unencoded, refused) | "Rejections" >> beam.Flatten()
        rejections | "WriteRejections" >> Write(self.warehouse)
