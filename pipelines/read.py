"""Read: from a source to deliveries."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from events.event import Delivery
from events.sources import Source
from pipelines import live
from pipelines.reject import NAMESPACE


class _Shards(beam.DoFn):
    def __init__(self, source: Source) -> None:
        self._source = source

    def process(self, _: bytes) -> Iterator[Any]:
        yield from self._source.shards()


class _Deliveries(beam.DoFn):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._read = Metrics.counter(NAMESPACE, "read")

    def process(self, shard: Any) -> Iterator[Delivery]:
        for delivery in self._source.read(shard):
            self._read.inc()
            live.add("read")
            yield delivery


class Read(beam.PTransform):
    """The deliveries of a bounded source. Only shards, which are places, are spread over the workers."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Delivery]:
        """From nothing to deliveries."""
        return (
            pipeline
            | "Start" >> beam.Impulse()
            | "Shards" >> beam.ParDo(_Shards(self._source))
            | "Spread" >> beam.Reshuffle()
            | "Deliveries" >> beam.ParDo(_Deliveries(self._source)).with_output_types(Delivery)
        )
