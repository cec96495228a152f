"""The read step: a source to deliveries. The only step that depends on whether a source is bounded."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from pipelines.beam_meter import BeamMeter
from pipelines.coders import Place
from pipelines.unbounded import message_read
from rawless.events.event import Delivery
from rawless.events.source import BoundedSource, Source
from rawless.steps import progress, stop_signal
from rawless.steps.meter import READ


class _Shards(beam.DoFn):
    def __init__(self, source: BoundedSource) -> None:
        self._source = source

    def process(self, _: bytes) -> Iterator[Place]:
        yield from map(Place, self._source.reader().shards())


class _Counted(beam.DoFn):
    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._meter = BeamMeter()

    def _count(self, delivery: Delivery) -> None:
        self._meter.count(READ)
        progress.add(self._stream, "read")
        progress.add(self._stream, "bytes", delivery.size)


class _FromShards(_Counted):
    def __init__(self, stream: str, source: BoundedSource) -> None:
        super().__init__(stream)
        self._source = source

    def setup(self) -> None:
        self._reader = self._source.reader()

    def process(self, place: Place) -> Iterator[Delivery]:
        if stop_signal.is_stop_requested():
            return
        for delivery in self._reader.read(place.shard):
            self._count(delivery)
            yield delivery
            if stop_signal.is_stop_requested():
                return


class _FromMessages(_Counted):
    def __init__(self, stream: str, to_delivery: Callable[[Any], Delivery]) -> None:
        super().__init__(stream)
        self._to_delivery = to_delivery

    def process(self, message: Any) -> Iterator[Delivery]:
        delivery = self._to_delivery(message)
        self._count(delivery)
        yield delivery


class Read(beam.PTransform):
    """Read the deliveries of a source. Only the shards of a bounded one are spread over the workers, never content."""

    def __init__(self, stream: str, source: Source) -> None:
        super().__init__()
        self._stream = stream
        self._source = source

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Delivery]:
        """Return the collection of deliveries."""
        source = self._source
        if source.is_bounded:
            return (
                pipeline
                | "Start" >> beam.Impulse()
                | "Shards" >> beam.ParDo(_Shards(source)).with_output_types(Place)
                | "Spread" >> beam.Reshuffle()
                | "Deliveries" >> beam.ParDo(_FromShards(self._stream, source)).with_output_types(Delivery)
            )
        read = message_read(source.scheme)
        deliveries = beam.ParDo(_FromMessages(self._stream, read.to_delivery)).with_output_types(Delivery)
        return pipeline | "Messages" >> read.read_messages(source) | "Deliveries" >> deliveries
