"""Running jobs for commands: everything that can be checked is checked before a job starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from privacy import UserError
from rawless.output import progress, warn

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from events.pubsub import Subscription
    from events.sources import Source
    from events.stream import Stream
    from pipelines.ingest import Ingest
    from sql.warehouse import Warehouse


@dataclass(frozen=True)
class Order:
    """What a command was asked to run: its options, as they were given."""

    stream_file: Path
    source: str
    metadata: Path | None = None
    until_idle: float | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    warehouse: Path | None = None
    beam: Sequence[str] = ()


def ingest(order: Order) -> dict[str, Any]:
    """Run an ingest job and return its summary. Raises UserError before anything starts when something is amiss."""
    from events.pubsub import Subscription
    from events.sources import open_source
    from events.stream import load_stream
    from pipelines import live, options
    from pipelines.run import run
    from rawless.interrupts import gentle
    from rawless.places import open_warehouse

    stream = load_stream(order.stream_file)
    source = open_source(order.source, stream, order.metadata)
    beam = options.parse(order.beam, streaming=isinstance(source, Subscription))
    _check(order, stream, source, beam)
    with progress(f"Ingesting {stream.stream}", lambda: live.told(stream.stream)):
        warehouse = open_warehouse(order.warehouse)
        if isinstance(source, Subscription):
            source = _attached(source, order, stream)
        job = job_of(stream, source, order, warehouse)
        with gentle():
            return run(job, beam, time.monotonic())


def job_of(stream: "Stream", source: "Source | Subscription", order: Order, warehouse: "Warehouse") -> "Ingest":
    """The job, its encoders and key looked at."""
    from encoders.load import load
    from pipelines.ingest import Ingest
    from rawless.commands.stream import check_modality
    from rawless.places import key_source
    from rawless.registry import register, resolve

    specs = tuple(resolve(warehouse, ref) for ref in stream.encoders)
    for spec in specs:
        check_modality(stream, spec)
        load(spec, order.device)  # sealed, complete, and still giving its probe
        register(warehouse, spec)
    if len({spec.fingerprint for spec in specs}) < len(specs):
        raise UserError(f"{stream.stream} names one encoder twice, by different names: {', '.join(stream.encoders)}.")
    key = key_source(warehouse)
    if stream.subject != "none":
        key.load()
    return Ingest(stream, source, specs, key, warehouse, order.device)


def _check(order: Order, stream: "Stream", source: "Source | Subscription", beam: "PipelineOptions") -> None:
    from events.pubsub import Subscription
    from pipelines.options import is_local
    from rawless.commands.stream import ungated

    if order.until_idle is not None and not (isinstance(source, Subscription) and is_local(beam)):
        raise UserError("--until-idle is for pubsub: sources on this machine alone: leave it out.")
    if order.warehouse is None and not is_local(beam):
        raise UserError("Dataflow cannot reach the local stack: name a warehouse on Google Cloud by --warehouse FILE.")
    if stream.leakage is not None:
        raise UserError(f"{stream.stream} has a leakage gate, which this version cannot hold yet: leave leakage out.")
    if sentence := ungated(stream):
        warn(sentence)


def _attached(source: "Subscription", order: Order, stream: "Stream") -> "Subscription":
    """The source, where Pub/Sub is; on an emulator the subscription is made, of the topic named like the stream."""
    from rawless.places import open_pubsub, topic_of

    pubsub = open_pubsub(order.warehouse)
    pubsub.ensure_subscription(source.name, topic_of(source.project, stream.stream))
    return replace(source, pubsub=pubsub, until_idle=order.until_idle)
