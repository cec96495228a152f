"""Run a job: check its graph, run it, and return its summary or raise its failure."""

import re
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult

from pipelines import graph_check, portable
from pipelines import local_pubsub as local_pubsub  # patches Beam's local runner, also for bounded sources
from pipelines.adapt import Adapt
from pipelines.ingest import Ingest
from pipelines.options import is_local
from pipelines.summary import launched, summarise, summarise_predictions
from pipelines.unbounded import LocalRead, read_locally
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.metering.metric import take
from rawless.steps import stop_signal

_STEP = " [while running"
_OWN_ERROR = re.compile(
    rf"{re.escape(RawlessError.__module__)}\.(Unavailable|UserError): ([^\n]*?)(?:{re.escape(_STEP)}|\n|$)"
)


OnResult = Callable[[PipelineResult], None]
T = TypeVar("T")


class BatchJob(Protocol):
    """A job that adds its steps to a pipeline."""

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the steps of the job to a pipeline."""


def run(job: Ingest, options: PipelineOptions, started: float, on_result: OnResult | None = None) -> dict[str, Any]:
    """Run a job until it ends or is stopped, and return its summary. `started` is a time of the monotonic clock.

    A job that reads an unbounded source on another machine is only launched; the result of another is passed to
    `on_result` when the job has ended. Raises UserError if the graph check refuses the job, and whatever error of
    Rawless its steps raise.
    """
    pipeline = _checked(job, options)
    encoders = [spec.ref for spec in job.encoders]
    if not job.source.is_bounded and not is_local(options):
        return launched(_with_own_errors(pipeline.run), job.stream.stream, encoders)
    result, messages = _with_own_errors(lambda: _finished(pipeline, job))
    if on_result is not None:
        on_result(result)
    seconds, idle = time.monotonic() - started, messages.idle_seconds if messages else 0.0
    summary = summarise(result, job.stream.stream, encoders, seconds, idle)
    return {**summary, "stopped": stop_signal.is_stop_requested()}


def run_predictions(
    job: BatchJob, stream: str, encoder: str, options: PipelineOptions, started: float
) -> dict[str, Any]:
    """Run a job that predicts until it ends or is stopped, and return its summary, as `run` does."""
    pipeline = _checked(job, options)
    result = _with_own_errors(lambda: _waited_for(pipeline))
    summary = summarise_predictions(result, stream, encoder, time.monotonic() - started)
    return {**summary, "stopped": stop_signal.is_stop_requested()}


def run_backfill(job: Adapt, options: PipelineOptions, started: float) -> dict[str, Any]:
    """Run a backfill job until it ends or is stopped, and return its summary, as `run` does."""
    pipeline = _checked(job, options)
    result = _with_own_errors(lambda: _waited_for(pipeline))
    summary = summarise(result, job.stream, [job.encoder.ref], time.monotonic() - started)
    counts = {name: summary[name] for name in ("read", "embeddings", "rejections", "seconds", "events_per_second")}
    return {**counts, "stopped": stop_signal.is_stop_requested()}


def _checked(job: BatchJob, options: PipelineOptions) -> beam.Pipeline:
    """Return the pipeline of a job. Raises UserError if the graph check refuses it."""
    pipeline = beam.Pipeline(options=options)
    job.build(pipeline)
    graph_check.check(pipeline)
    take()  # what this process recorded before is not of this job
    return pipeline


def _finished(pipeline: beam.Pipeline, job: Ingest) -> tuple[PipelineResult, LocalRead | None]:
    with read_locally(job.source) as messages:
        return _waited_for(pipeline), messages


def _waited_for(pipeline: beam.Pipeline) -> PipelineResult:
    with portable.workers(pipeline.options):
        result = pipeline.run()
        result.wait_until_finish()
    return result


def _with_own_errors(step: Callable[[], T]) -> T:
    """Return what a step returns. Raises its failure as an error of Rawless, or KeyboardInterrupt if it was aborted.

    The error has no context, since Beam's errors quote tracebacks: a context manager would leave it one.
    """
    failure: RawlessError | None = None
    try:
        outcome = step()
    except Exception as error:  # noqa: BLE001 - only Rawless's own sentence is kept
        failure = as_rawless_error(error)
    if stop_signal.is_abort_requested():
        raise KeyboardInterrupt  # some runners turn it into an error of their own
    if failure is not None:
        raise failure
    return outcome


def as_rawless_error(error: BaseException) -> RawlessError:
    """Return the failure of a job as an error of Rawless.

    Only the sentence that one of the job's steps raised is kept, and nothing else of Beam's error.
    """
    if isinstance(error, UserError | Unavailable):  # from a worker in this process: Beam appends the step
        return type(error)(str(error).split(_STEP)[0])
    if matches := _OWN_ERROR.findall(str(error)):  # from another process: the text of its traceback
        kind, sentence = matches[-1]
        return UserError(sentence) if kind == "UserError" else Unavailable(sentence)
    return Unavailable("The job failed with an internal error; nothing was dropped: run the same command again.")
