"""The summary of a job of Beam, computed from its metrics."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from apache_beam.runners.runner import PipelineResult

from pipelines.beam_meter import namespace
from rawless.steps import summary


def summarise(
    result: PipelineResult, stream: str, encoders: Sequence[str], seconds: float, idle: float = 0.0
) -> dict[str, Any]:
    """Return the counts of a finished job; see `rawless.steps.summary.summarise`."""
    counts: dict[str, Counter[str]] = {}
    for counter in result.metrics().query()["counters"]:
        number = counter.result or 0  # a job server leaves out what is zero
        counts.setdefault(counter.key.metric.namespace, Counter())[counter.key.metric.name] += number
    known = {encoder: counts.get(namespace(encoder), Counter()) for encoder in (None, *encoders)}
    return summary.summarise(known, stream, encoders, seconds, idle)


def launched(result: PipelineResult, stream: str, encoders: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a job that runs elsewhere. Its id is None if only its template was written."""
    job = result.job_id() if getattr(result, "has_job", True) else None
    return {"stream": stream, "encoders": list(encoders), "job": job}
