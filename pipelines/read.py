"""Read: from a source to deliveries. The one step that differs between a bounded source and a subscription."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.metrics import Metrics

from pipelines import progress, stop_signal
from pipelines.rejections import NAMESPACE
from rawless.events.event import Delivery
from rawless.events.messages import delivery_of
from rawless.events.sources import Source
from rawless.events.sources.pubsub import Subscription


def _redacted(_: PubsubMessage) -> str:
    return "PubsubMessage(redacted)"


# Beam's own shows data and attributes to whatever quotes an element.
PubsubMessage.__repr__ = _redacted


class _Shards(beam.DoFn):
    def __init__(self, source: Source) -> None:
        self._source = source

    def process(self, _: bytes) -> Iterator[Any]:
        yield from self._source.shards()


class _Counted(beam.DoFn):
    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._read = Metrics.counter(NAMESPACE, "read")

    def _count(self) -> None:
        self._read.inc()
        progress.add(self._stream, "read")


class _FromShards(_Counted):
    def __init__(self, stream: str, source: Source) -> None:
        super().__init__(stream)
        self._source = source

    def process(self, shard: Any) -> Iterator[Delivery]:
        for delivery in () if stop_signal.asked() else self._source.read(shard):
            self._count()
            yield delivery
            if stop_signal.asked():
                return


class _FromMessages(_Counted):
    def process(self, message: PubsubMessage) -> Iterator[Delivery]:
        self._count()
        yield delivery_of(message.message_id, message.data, message.attributes)


class Read(beam.PTransform):
    """The deliveries of a source.

    Of a bounded one only shards, which are places, are spread over the workers. Messages come without `id_label`, with
    which a runner would hold them back to compare them: readers of embedding events see each event once anyway.
    """

    def __init__(self, stream: str, source: Source | Subscription) -> None:
        super().__init__()
        self._stream = stream
        self._source = source

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Delivery]:
        """From nothing to deliveries."""
        if isinstance(self._source, Subscription):
            return (
                pipeline
                | "Messages" >> ReadFromPubSub(subscription=self._source.name, with_attributes=True)
                | "Deliveries" >> beam.ParDo(_FromMessages(self._stream)).with_output_types(Delivery)
            )
        return (
            pipeline
            | "Start" >> beam.Impulse()
            | "Shards" >> beam.ParDo(_Shards(self._source))
            | "Spread" >> beam.Reshuffle()
            | "Deliveries" >> beam.ParDo(_FromShards(self._stream, self._source)).with_output_types(Delivery)
        )
