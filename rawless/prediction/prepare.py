"""Prepare a job that predicts: everything that can be checked is checked before it starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from encoders.encoder import Device
from pipelines import options
from pipelines.launch import check_reachable, check_workers
from pipelines.run import run_predictions
from rawless.connect import JOB_TABLES, open_existing_warehouse, open_warehouse
from rawless.errors import UserError
from rawless.events.source import BoundedSource
from rawless.events.stream import Stream
from rawless.job import check_objects, open_job_warehouse, prepare_job
from rawless.prediction.chosen_head import ChosenHead, Vectors
from rawless.prediction.jobs import PredictEvents, PredictStored
from rawless.prediction.request import PredictRequest
from rawless.prediction.unpredicted import unpredicted_spans
from rawless.steps.interrupts import stop_on_interrupt
from rawless.warehouse.client import Warehouse
from rawless.warehouse.deliveries import encoders_of
from rawless.warehouse.encoder_registry import registered, resolve
from rawless.warehouse.rows import PredictionRow
from rawless.warehouse.spans import EVER

MAX_HEAD_BYTES = 4_000_000
"""Of a head that is sent to workers elsewhere, as a part of the job: Dataflow takes jobs of at most 20 MB, and a job
contains the head twice, encoded as text."""


@dataclass(frozen=True)
class PreparedPrediction:
    """A job that is ready to run."""

    job: PredictEvents | PredictStored
    stream: str
    head: ChosenHead
    beam: PipelineOptions
    warnings: Sequence[str] = ()
    rows: int | None = None
    """How many predictions are missing, if that is known."""

    def run(self) -> dict[str, Any]:
        """Run the job and return its summary. Ctrl-C makes it finish what it has read."""
        started = time.monotonic()
        names = {"stream": self.stream, "head": self.head.ref, "encoder": self.head.vectors.encoder}
        if self.rows == 0:
            counts: dict[str, Any] = {"read": 0, "predictions": 0, "abstentions": {}, "rejections": {}}
            return {**names, **counts, "seconds": round(time.monotonic() - started, 3), "stopped": False}
        with stop_on_interrupt():
            return {**names, **run_predictions(self.job, self.stream, self.head.vectors.encoder, self.beam, started)}


def prepare_events(
    request: PredictRequest, stream: Stream, source: BoundedSource, device: Device = "auto"
) -> PreparedPrediction:
    """Return a job over the events of a source. Raises UserError if it cannot run as requested."""
    beam, rules = options.parse(request.beam), request.rules
    check_workers(beam, request.warehouse)
    is_local = options.is_local(beam)
    if not is_local:
        check_reachable(source)
    check_objects(stream)
    warehouse = open_job_warehouse(stream, request.warehouse, creates=is_local)
    if not is_local:
        warehouse.check([PredictionRow.TABLE])
    specs = {ref: resolve(lambda: warehouse, ref) for ref in stream.encoders}
    by_fingerprint = {spec.fingerprint: ref for ref, spec in specs.items()}
    head = request.choose([Vectors(spec.ref, spec.fingerprint, spec.space) for spec in specs.values()])
    _check_size(head, is_local=is_local)
    ref = by_fingerprint[head.vectors.fingerprint]
    of_head = stream.model_copy(update={"encoders": (ref,)})
    # A launcher need not have the device of the workers.
    job = prepare_job(of_head, warehouse, device if is_local else None, registers=is_local)
    events = PredictEvents(
        of_head, source, job.encoders[0], head, rules, job.key, warehouse, device, restarts=not is_local
    )
    return PreparedPrediction(events, stream.stream, head, beam, job.warnings)


def prepare_stored(
    request: PredictRequest, stream: str, start_at: datetime = EVER[0], end_at: datetime = EVER[1]
) -> PreparedPrediction:
    """Return a job over the stored embeddings of a stream. Raises UserError if it cannot run as requested."""
    if start_at >= end_at:
        raise UserError("--from must be before --until, whose day is not included.")
    beam, rules = options.parse(request.beam), request.rules
    check_workers(beam, request.warehouse)
    is_local = options.is_local(beam)
    warehouse = _open(request.warehouse, is_local=is_local)
    head = request.choose(_stored_vectors(warehouse, stream))
    _check_size(head, is_local=is_local)
    spans = unpredicted_spans(warehouse, stream, head, start_at, end_at)
    job = PredictStored(stream, tuple(spans), head, rules, warehouse)
    return PreparedPrediction(job, stream, head, beam, rows=sum(span.events for span in spans))


def _open(file: Path | None, *, is_local: bool) -> Warehouse:
    if is_local or file is None:
        return open_warehouse(file)
    return open_existing_warehouse(file, (*JOB_TABLES, PredictionRow.TABLE))


def _stored_vectors(warehouse: Warehouse, stream: str) -> list[Vectors]:
    """Return the encoders of which a stream has vectors. Raises UserError if there are none."""
    stored = encoders_of(warehouse, stream)
    if not stored:
        raise UserError(
            f"There are no embeddings of a stream {stream!r}: check its name, or name a source of events by --source."
        )
    spaces = {spec.fingerprint: spec.space for spec in registered(warehouse)}
    return [
        Vectors(each.ref, fingerprint, spaces.get(fingerprint, fingerprint)) for fingerprint, each in stored.items()
    ]


def _check_size(head: ChosenHead, *, is_local: bool) -> None:
    size = len(head.stored.graph) + len(head.stored.domain or b"")
    if not is_local and size > MAX_HEAD_BYTES:
        raise UserError(
            f"{head.ref} has {size:,} bytes, but a head that is sent to workers elsewhere may have "
            f"{MAX_HEAD_BYTES:,}: leave out the option --runner to run the job here."
        )
