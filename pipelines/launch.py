"""Running jobs for commands: everything that can be checked is checked before a job starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rawless.errors import UserError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.ingest import Ingest
    from rawless.events.sources import Source
    from rawless.events.sources.pubsub import Subscription
    from rawless.events.stream import Stream
    from rawless.privacy import Reason
    from rawless.warehouse.client import Warehouse

MAX_REPLAYED = 100_000
"""Events of one replay, since their ids travel in the job; another run takes the next."""


@dataclass(frozen=True)
class Order:
    """What a command was asked to run, beside the stream: its options, as they were given."""

    source: str
    metadata: Path | None = None
    until_idle: float | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    warehouse: Path | None = None
    beam: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A job that can run."""

    ingest: "Ingest"
    beam: "PipelineOptions"

    def run(self) -> dict[str, Any]:
        """Run it to its end and return its summary; Ctrl-C ends it gently."""
        from pipelines.interrupts import stop_on_interrupt
        from pipelines.run import run

        with stop_on_interrupt():
            return run(self.ingest, self.beam, time.monotonic())


def prepare(order: Order, stream: "Stream") -> Prepared:
    """An ingest job for a stream, ready to run. Raises UserError when something is amiss."""
    from rawless.events.sources.pubsub import Subscription

    job = _checked(order, stream)
    source = job.ingest.source
    if not isinstance(source, Subscription):
        return job
    return replace(job, ingest=replace(job.ingest, source=_attached(source, order, stream)))


def _checked(order: Order, stream: "Stream") -> Prepared:
    from pipelines import options
    from rawless.events.sources import open_source
    from rawless.events.sources.pubsub import Subscription

    source = open_source(order.source, stream, order.metadata)
    beam = options.parse(order.beam, streaming=isinstance(source, Subscription))
    _check(order, stream, source, beam)
    local = options.is_local(beam)
    return Prepared(_job(stream, source, order, _warehouse(order, local), local), beam)


def replay(order: Order, stream: "Stream", reason: "Reason") -> dict[str, Any]:
    """Read a bounded source again, for the events that were rejected for a reason, and return what became of them.

    Raises UserError like `prepare`, and for a subscription, whose messages cannot be read again.
    """
    from rawless.events.sources.pubsub import Subscription
    from rawless.events.sources.selection import Selected
    from rawless.warehouse.rejections import rejections

    job = _checked(order, stream)
    warehouse, source = job.ingest.warehouse, job.ingest.source
    fingerprints = [spec.fingerprint for spec in job.ingest.encoders]
    before = rejections(warehouse, stream.stream, reason.value, fingerprints)
    summary: dict[str, Any] = {"reason": reason.value, "unidentified": before.unidentified}
    if isinstance(source, Subscription):
        raise UserError(_seek(source.name, before.first_rejected_at))
    if before.open:
        chosen = Selected(source, stream.stream, frozenset(before.open[:MAX_REPLAYED]))
        summary |= replace(job, ingest=replace(job.ingest, source=chosen)).run()
    after = rejections(warehouse, stream.stream, reason.value, fingerprints)
    return {**summary, "stream": stream.stream, "open_before": len(before.open), "open": len(after.open)}


def _seek(subscription: str, first: datetime | None) -> str:
    when = f" (the first was rejected at {first:%Y-%m-%dT%H:%M:%SZ})" if first else ""
    return (
        "Messages that were rejected are acknowledged, and their content is nowhere else: only a seek brings them "
        "back, if the subscription retains acknowledged messages. Run `gcloud pubsub subscriptions seek "
        f"{subscription} --time=TIME`, with a TIME before they were published{when}, and then `rawless ingest` as "
        "before: what is logged twice counts once. On an emulator, publish them again."
    )


def _warehouse(order: Order, local: bool) -> "Warehouse":
    from rawless.connect import job_warehouse, open_warehouse

    return open_warehouse(order.warehouse) if local or order.warehouse is None else job_warehouse(order.warehouse)


def _job(
    stream: "Stream", source: "Source | Subscription", order: Order, warehouse: "Warehouse", local: bool
) -> "Ingest":
    """The job, its encoders and key looked at. What launches a job elsewhere need not have its workers' device."""
    from encoders.load import load
    from pipelines.ingest import Ingest
    from rawless.connect import key_source
    from rawless.warehouse.encoder_registry import is_registered, register, resolve

    specs = tuple(resolve(lambda: warehouse, ref) for ref in stream.encoders)
    for spec in specs:
        stream.check_modality(spec.ref, spec.modality)
        load(spec, order.device if local else "auto")  # sealed, complete, and still giving its probe
        if local:
            register(warehouse, spec)
        elif not is_registered(warehouse, spec):  # a job's account may only read that table
            raise UserError(
                f"{spec.ref} is not registered: run `rawless encoder register {spec.ref} --warehouse FILE`."
            )
    if len({spec.fingerprint for spec in specs}) < len(specs):
        raise UserError(f"{stream.stream} names one encoder twice, by different names: {', '.join(stream.encoders)}.")
    key = key_source(warehouse)
    if stream.subject != "none":
        key.load()
    return Ingest(stream, source, specs, key, warehouse, order.device)


def _check(order: Order, stream: "Stream", source: "Source | Subscription", beam: "PipelineOptions") -> None:
    from pipelines.options import is_local
    from rawless.events.sources.pubsub import Subscription

    if order.until_idle is not None and not (isinstance(source, Subscription) and is_local(beam)):
        raise UserError("--until-idle is for pubsub: sources on this machine alone: leave it out.")
    if order.warehouse is None and not is_local(beam):
        raise UserError("Dataflow cannot reach the local stack: name a warehouse on Google Cloud by --warehouse FILE.")
    if stream.leakage is not None:
        raise UserError(f"{stream.stream} has a leakage gate, which this version cannot hold yet: leave leakage out.")


def _attached(source: "Subscription", order: Order, stream: "Stream") -> "Subscription":
    """The source, where Pub/Sub is; on an emulator the subscription is made, of the topic named like the stream."""
    from rawless.connect import open_pubsub, topic_of

    pubsub = open_pubsub(order.warehouse)
    # Google's subscriptions have topics of their own; only where one is made here must the name do for a topic.
    pubsub.ensure_subscription(source.name, topic_of(source.project, stream.stream) if pubsub.emulator else "")
    return replace(source, pubsub=pubsub, until_idle=order.until_idle)
