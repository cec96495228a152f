"""Running a job: graph check, run, summary; and what becomes of its failure."""

import re
import time
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import graph_check, stop_signal
from pipelines.ingest import Ingest
from pipelines.local_pubsub import reading
from pipelines.options import is_local
from pipelines.summary import launched, summarise
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events.sources.pubsub import Subscription

_WHERE = " [while running"
_OWN_ERROR = re.compile(
    rf"{re.escape(RawlessError.__module__)}\.(Unavailable|UserError): ([^\n]*?)(?:{re.escape(_WHERE)}|\n|$)"
)


def run(job: Ingest, options: PipelineOptions, started: float) -> dict[str, Any]:
    """Run a job to its end, or until it was stopped, and return its summary; `started` is of the monotonic clock.

    A job that reads messages on another machine is only launched. Raises UserError when the graph check refuses the
    job, and what the job's steps raise.
    """
    pipeline = beam.Pipeline(options=options)
    job.build(pipeline)
    graph_check.check(pipeline)
    encoders = [spec.ref for spec in job.encoders]
    failure: RawlessError | None = None
    try:
        if isinstance(job.source, Subscription) and not is_local(options):
            return launched(pipeline.run(), job.stream.stream, encoders)
        with reading(job.source) as messages:
            result = pipeline.run()
            result.wait_until_finish()
    except Exception as error:  # noqa: BLE001 - Beam's errors quote tracebacks: only a sentence of ours goes on
        failure = told(error)
    if stop_signal.insisted():
        raise KeyboardInterrupt  # some runners turn it into a failure of their own
    if failure is not None:
        raise failure
    seconds, idle = time.monotonic() - started, messages.idle_seconds if messages else 0.0
    return {**summarise(result, job.stream.stream, encoders, seconds, idle), "stopped": stop_signal.asked()}


def told(error: BaseException) -> RawlessError:
    """A job's failure as an error of ours. A step's own sentence is kept, all else of Beam's error is not."""
    if isinstance(error, UserError | Unavailable):  # from a worker in this process: Beam adds where it was
        return type(error)(str(error).split(_WHERE)[0])
    if found := _OWN_ERROR.findall(str(error)):  # from another process: the text of its traceback
        kind, sentence = found[-1]
        return UserError(sentence) if kind == "UserError" else Unavailable(sentence)
    return Unavailable("The job failed by a fault of its own; nothing was dropped: run the same command again.")
