"""The summary of a job of Beam, computed from its metrics."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from apache_beam.metrics import MetricsFilter
from apache_beam.runners.runner import PipelineResult

from pipelines.beam_meter import namespace
from rawless.metering.metric import Distribution, in_smaller_unit
from rawless.steps import summary


def summarise(
    result: PipelineResult, stream: str, encoders: Sequence[str], seconds: float, idle: float = 0.0
) -> dict[str, Any]:
    """Return the counts of a finished job; see `rawless.steps.summary.summarise`."""
    counts = _counts(result, encoders)
    work = {encoder: summary.work(_totals(result, encoder)) for encoder in encoders}
    return {**summary.summarise(counts, stream, encoders, seconds, idle), "work": work}


def summarise_predictions(result: PipelineResult, stream: str, encoder: str, seconds: float) -> dict[str, Any]:
    """Return the counts of a finished job that predicts; see `rawless.steps.summary.predictions`."""
    counts = _counts(result, [encoder])
    known = summary.summarise(counts, stream, [encoder], seconds)
    kept = ("read", "rejections", "dropped_attributes", "seconds", "events_per_second")
    return {**summary.predictions(counts), **{name: known[name] for name in kept}}


def _counts(result: PipelineResult, encoders: Sequence[str]) -> dict[str | None, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for counter in result.metrics().query()["counters"]:
        number = counter.result or 0  # a job server leaves out what is zero
        counts.setdefault(counter.key.metric.namespace, Counter())[counter.key.metric.name] += number
    return {encoder: counts.get(namespace(encoder), Counter()) for encoder in (None, *encoders)}


def _totals(result: PipelineResult, encoder: str) -> summary.Total:
    """Return a function from a metric to the sum and the number of its values, of all steps that forwarded some."""
    found = result.metrics().query(MetricsFilter().with_namespace(namespace(encoder)))["distributions"]

    def total(metric: Distribution) -> tuple[float, int]:
        name, factor = in_smaller_unit(metric.name, 1.0)
        values = [each.result for each in found if each.key.metric.name == name]
        return sum(value.sum for value in values) / factor, sum(value.count for value in values)

    return total


def launched(result: PipelineResult, stream: str, encoders: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a job that runs elsewhere. Its id is None if only its template was written."""
    job = result.job_id() if getattr(result, "has_job", True) else None
    return {"stream": stream, "encoders": list(encoders), "job": job}
