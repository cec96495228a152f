"""From a request to a job that can run: everything that can be checked is checked before the job starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from apache_beam.options.pipeline_options import PipelineOptions

from encoders.load import load
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.interrupts import stop_on_interrupt
from pipelines.run import run
from rawless.connect import open_job_warehouse, open_key_source, open_pubsub, open_warehouse, topic_name
from rawless.errors import UserError
from rawless.events.sources import Source, open_source
from rawless.events.sources.pubsub import Subscription
from rawless.events.sources.selection import Selected
from rawless.events.stream import Stream
from rawless.privacy import Reason
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import is_registered, register, resolve
from rawless.warehouse.rejections import rejections

MAX_REPLAYED = 100_000
"""Events of one replay, since their ids travel in the job; another run takes the next."""


@dataclass(frozen=True)
class IngestRequest:
    """What a command was asked to run, beside the stream: its options, as they were given."""

    source: str
    metadata: Path | None = None
    until_idle: float | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    warehouse: Path | None = None
    beam: Sequence[str] = ()


@dataclass(frozen=True)
class PreparedJob:
    """A job that can run."""

    ingest: Ingest
    beam: PipelineOptions

    def run(self) -> dict[str, Any]:
        """Run it to its end and return its summary; Ctrl-C ends it gently."""
        with stop_on_interrupt():
            return run(self.ingest, self.beam, time.monotonic())


def prepare(request: IngestRequest, stream: Stream) -> PreparedJob:
    """An ingest job for a stream, ready to run. Raises UserError when something is amiss."""
    job = _checked(request, stream)
    source = job.ingest.source
    if not isinstance(source, Subscription):
        return job
    return replace(job, ingest=replace(job.ingest, source=_attached(source, request, stream)))


def _checked(request: IngestRequest, stream: Stream) -> PreparedJob:
    source = open_source(request.source, stream, request.metadata)
    beam = options.parse(request.beam, streaming=isinstance(source, Subscription))
    _check(request, stream, source, beam)
    local = options.is_local(beam)
    return PreparedJob(_job(stream, source, request, _warehouse(request, local), local), beam)


def replay(request: IngestRequest, stream: Stream, reason: Reason) -> dict[str, Any]:
    """Read a bounded source again, for the events that were rejected for a reason, and return what became of them.

    Raises UserError like `prepare`, and for a subscription, whose messages cannot be read again.
    """
    job = _checked(request, stream)
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


def _warehouse(request: IngestRequest, local: bool) -> Warehouse:
    if local or request.warehouse is None:
        return open_warehouse(request.warehouse)
    return open_job_warehouse(request.warehouse)


def _job(
    stream: Stream, source: Source | Subscription, request: IngestRequest, warehouse: Warehouse, local: bool
) -> Ingest:
    """The job, its encoders and key looked at. What launches a job elsewhere need not have its workers' device."""
    specs = tuple(resolve(lambda: warehouse, ref) for ref in stream.encoders)
    for spec in specs:
        stream.check_modality(spec.ref, spec.modality)
        load(spec, request.device if local else "auto")  # sealed, complete, and still giving its probe
        if local:
            register(warehouse, spec)
        elif not is_registered(warehouse, spec):  # a job's account may only read that table
            raise UserError(
                f"{spec.ref} is not registered: run `rawless encoder register {spec.ref} --warehouse FILE`."
            )
    if len({spec.fingerprint for spec in specs}) < len(specs):
        raise UserError(f"{stream.stream} names one encoder twice, by different names: {', '.join(stream.encoders)}.")
    key = open_key_source(warehouse)
    if stream.subject != "none":
        key.load()
    return Ingest(stream, source, specs, key, warehouse, request.device)


def _check(request: IngestRequest, stream: Stream, source: Source | Subscription, beam: PipelineOptions) -> None:
    if request.until_idle is not None and not (isinstance(source, Subscription) and options.is_local(beam)):
        raise UserError("--until-idle is for pubsub: sources on this machine alone: leave it out.")
    if request.warehouse is None and not options.is_local(beam):
        raise UserError("Dataflow cannot reach the local stack: name a warehouse on Google Cloud by --warehouse FILE.")
    if stream.leakage is not None:
        raise UserError(f"{stream.stream} has a leakage gate, which this version cannot hold yet: leave leakage out.")


def _attached(source: Subscription, request: IngestRequest, stream: Stream) -> Subscription:
    """The source, where Pub/Sub is; on an emulator the subscription is made, of the topic named like the stream."""
    pubsub = open_pubsub(request.warehouse)
    # Google's subscriptions have topics of their own; only where one is made here must the name do for a topic.
    pubsub.ensure_subscription(source.name, topic_name(source.project, stream.stream) if pubsub.emulator else "")
    return replace(source, pubsub=pubsub, until_idle=request.until_idle)
