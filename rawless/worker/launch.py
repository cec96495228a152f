"""Prepare a worker: everything that can be checked is checked before it reads."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from encoders.encoder import Device
from rawless.connect import connect_subscription
from rawless.errors import UserError
from rawless.events.source import Source
from rawless.events.sources.kafka import Topic
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.job import Job, check_objects, open_job_warehouse, prepare_job
from rawless.metering.metric import Distribution
from rawless.steps import stop_signal
from rawless.steps.chain import Chain
from rawless.steps.encode import Encode
from rawless.steps.fetch import Fetch
from rawless.steps.interrupts import stop_on_interrupt
from rawless.steps.parse import Parse
from rawless.steps.summary import summarise, work
from rawless.steps.write import Write
from rawless.worker.counts import Counts
from rawless.worker.kafka_settings import load_settings
from rawless.worker.reader import MessageReader
from rawless.worker.run import Limits, run


@dataclass(frozen=True)
class WorkerRequest:
    """What a worker should do beside what its stream declares."""

    source: Source
    limits: Limits = field(default_factory=Limits)
    device: Device = "auto"
    warehouse: Path | None = None
    kafka_config: Path | None = None


@dataclass(frozen=True)
class PreparedWorker:
    """A worker that is ready to run."""

    job: Job
    open_reader: Callable[[], MessageReader]
    limits: Limits
    device: Device
    counts: Counts = field(default_factory=Counts)

    def run(self, *signals: signal.Signals) -> dict[str, Any]:
        """Read until the worker ends, and return its summary; see `rawless.worker.run.run`.

        Ctrl-C, or one of the signals, makes it finish what it has read; a second one aborts it.
        """
        started, stream = time.monotonic(), self.job.stream.stream
        with stop_on_interrupt(*signals):
            idleness = run(stream, self.open_reader(), self._chain, self.counts, self.limits)
            is_stopped = stop_signal.is_stop_requested()
        refs = [spec.ref for spec in self.job.encoders]
        summary = summarise(self.counts.all(), stream, refs, time.monotonic() - started, idleness.total)
        worked = {ref: work(partial(_total, ref)) for ref in refs}
        return {**summary, "work": worked, "stopped": is_stopped}

    def _chain(self) -> Chain:
        job = self.job
        read = (Parse(job.stream, job.key), Fetch(job.stream.stream))
        encode = Encode(job.encoders, self.device, job.stream, job.key, restarts=True)
        return Chain((*read, encode, Write(job.warehouse)), Write(job.warehouse))


def _total(ref: str, metric: Distribution) -> tuple[float, int]:
    return metric.total(ref)


def prepare(request: WorkerRequest, stream: Stream) -> PreparedWorker:
    """Return a worker for a stream. Raises UserError if it cannot run as requested."""
    check_objects(stream)
    open_reader = _reader(request, stream)
    # In a deployment its account may create no tables, and register no encoders.
    warehouse = open_job_warehouse(stream, request.warehouse, creates=False)
    job = prepare_job(stream, warehouse, request.device, registers=request.warehouse is None)
    return PreparedWorker(job, open_reader, request.limits, request.device)


def _reader(request: WorkerRequest, stream: Stream) -> Callable[[], MessageReader]:
    """Return what opens the source. Libraries of a source are imported only where it is read."""
    source = request.source
    if isinstance(source, Topic):
        topic = replace(source, settings=request.kafka_config)
        kafka_reader = _kafka()
        load_settings(topic)  # reports a wrong file before an encoder is loaded
        return lambda: kafka_reader(topic)
    if request.kafka_config is not None:
        raise UserError("--kafka-config is for kafka: sources only; leave it out.")
    assert isinstance(source, Subscription)  # noqa: S101 - what `open_message_source` returns
    connected = connect_subscription(source, stream.stream, request.warehouse)
    from rawless.worker.pubsub import PubSubReader

    return lambda: PubSubReader(connected)


def _kafka() -> Callable[[Topic], MessageReader]:
    try:
        from rawless.worker.kafka import KafkaReader
    except ModuleNotFoundError:
        raise UserError("Kafka's client is not installed: run `pip install 'rawless[kafka]'`.") from None
    return KafkaReader
