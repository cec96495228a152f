"""Prepare an ingest job: everything that can be checked is checked before the job starts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from encoders.encoder import Device
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import OnResult, run
from pipelines.unbounded import message_read
from rawless.errors import UserError
from rawless.events.filtered_source import FilteredSource
from rawless.events.source import BoundedSource, Source
from rawless.events.stream import Stream
from rawless.job import check_objects, open_job_warehouse, prepare_job
from rawless.privacy import Reason
from rawless.steps.interrupts import stop_on_interrupt
from rawless.warehouse.config import load_warehouse_config
from rawless.warehouse.rejections import rejections

MAX_REPLAYED = 100_000
"""Events of one replay, because their ids are part of the job; the next run takes the others."""


@dataclass(frozen=True)
class IngestRequest:
    """What an ingest job should do beside what its stream declares."""

    source: Source
    until_idle: float | None = None
    device: Device = "auto"
    warehouse: Path | None = None
    beam: Sequence[str] = ()
    serves_metrics: bool = False
    """Whether this process tells Prometheus what it records."""


@dataclass(frozen=True)
class PreparedJob:
    """A job that is ready to run."""

    ingest: Ingest
    beam: PipelineOptions
    warnings: Sequence[str] = ()
    """What whoever starts the job should know, such as the waivers by which its encoders pass the leakage gate."""

    def run(self, on_result: OnResult | None = None) -> dict[str, Any]:
        """Run the job and return its summary; see `run`. Ctrl-C makes it finish what it has read."""
        with stop_on_interrupt():
            return run(self.ingest, self.beam, time.monotonic(), on_result)


def prepare(request: IngestRequest, stream: Stream) -> PreparedJob:
    """Return an ingest job for a stream. Raises UserError if the job cannot run as requested."""
    job = _checked_job(request, stream)
    source = job.ingest.source
    if source.is_bounded:
        return job
    connected = message_read(source.scheme).connect(source, stream, request.warehouse, request.until_idle)
    return replace(job, ingest=replace(job.ingest, source=connected))


def replay(
    request: IngestRequest, stream: Stream, reason: Reason, warn: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Read a bounded source again for the events that were rejected for a reason, and return a summary.

    `warn` takes the job's warnings before it runs. Raises UserError like `prepare`, and for an unbounded source, whose
    messages cannot be read again.
    """
    job = _checked_job(request, stream)
    for warning in job.warnings:
        warn(warning)
    warehouse, source = job.ingest.warehouse, job.ingest.source
    fingerprints = [spec.fingerprint for spec in job.ingest.encoders]
    before = rejections(warehouse, stream.stream, reason.value, fingerprints)
    summary: dict[str, Any] = {"reason": reason.value, "unidentified": before.unidentified}
    if not source.is_bounded:
        raise UserError(source.how_to_replay(before.first_rejected_at))
    if before.open:
        rejected = FilteredSource(source, stream.stream, frozenset(before.open[:MAX_REPLAYED]))
        summary |= replace(job, ingest=replace(job.ingest, source=rejected)).run()
    after = rejections(warehouse, stream.stream, reason.value, fingerprints)
    return {**summary, "stream": stream.stream, "open_before": len(before.open), "open": len(after.open)}


def _checked_job(request: IngestRequest, stream: Stream) -> PreparedJob:
    beam = options.parse(request.beam, streaming=not request.source.is_bounded)
    _check(request, stream, beam)
    is_local = options.is_local(beam)
    warehouse = open_job_warehouse(stream, request.warehouse, creates=is_local)
    # A launcher need not have the device of the workers.
    job = prepare_job(stream, warehouse, request.device if is_local else None, registers=is_local)
    ingest = Ingest(stream, request.source, job.encoders, job.key, warehouse, request.device, restarts=not is_local)
    return PreparedJob(ingest, beam, job.warnings)


def check_workers(beam: PipelineOptions, warehouse: Path | None) -> None:
    """Raise UserError if workers cannot reach the warehouse, or would run another image than its file names."""
    if warehouse is None and not options.is_local(beam):
        raise UserError(
            "Workers elsewhere cannot reach the local stack: name a warehouse on Google Cloud by --warehouse FILE."
        )
    if warehouse is not None:
        options.check_image(beam, load_warehouse_config(warehouse).worker_image)


def _check(request: IngestRequest, stream: Stream, beam: PipelineOptions) -> None:
    if request.until_idle is not None and (request.source.is_bounded or not options.is_local(beam)):
        raise UserError("--until-idle is for sources of messages that are read on this machine; leave it out.")
    if request.serves_metrics and not options.is_in_this_process(beam):
        raise UserError(
            "--metrics-port is for jobs that run in this process, so leave it out: metrics of other workers are those "
            "of the job, on Dataflow in Cloud Monitoring."
        )
    check_workers(beam, request.warehouse)
    if request.source.is_bounded and not options.is_local(beam):
        check_reachable(request.source)
    check_objects(stream)


def check_reachable(source: BoundedSource) -> None:
    """Raise UserError if only this machine can read the source, while the workers run on others."""
    if part := source.only_here():
        raise UserError(
            f"--source names {part}, which workers on other machines cannot read: copy it to Google Cloud and name it "
            "there, as in jsonl:gs://BUCKET/*.jsonl, or leave out the option --runner to run the job here."
        )
