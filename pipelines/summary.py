"""The summary of a job, computed from its metrics: the JSON that `ingest` prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apache_beam.runners.runner import PipelineResult

from pipelines.beam_meter import namespace
from rawless.steps.meter import DROPPED, EMBEDDINGS, NEW, READ, UNCHANGED
from rawless.steps.rejections import REJECTED


@dataclass
class Tally:
    """The counters of one metrics namespace: those of one encoder, or those of the whole job."""

    counters: dict[str, int] = field(default_factory=dict)

    def rejections(self) -> Counter[str]:
        """Return the number of rejections by reason, over all stages."""
        by_reason: Counter[str] = Counter()
        for name, count in self.counters.items():
            if name.startswith(REJECTED):
                by_reason[name.rsplit(".", 1)[1]] += count
        return by_reason


def summarise(
    result: PipelineResult, stream: str, encoders: Sequence[str], seconds: float, idle: float = 0.0
) -> dict[str, Any]:
    """Return the counts of a finished job that ran for `seconds` and was idle for `idle` of them.

    `embeddings` and `rejections` count rows. For each encoder, read = embeddings + rejections, where an event that was
    rejected before encoding counts for every encoder; with several encoders, `by_encoder` has the counts of each. In a
    stream that remembers contents, `unchanged` counts the results that did not have to be computed.
    """
    tallies = _tallies(result)
    common = tallies.get(namespace(None), Tally())
    by_encoder = {ref: tallies.get(namespace(ref), Tally()) for ref in encoders}
    read = common.counters.get(READ, 0)
    summary: dict[str, Any] = {
        "stream": stream,
        "encoders": list(encoders),
        "read": read,
        "embeddings": sum(_embeddings(tally) for tally in by_encoder.values()),
        "rejections": _sorted(sum((tally.rejections() for tally in by_encoder.values()), common.rejections())),
        "dropped_attributes": common.counters.get(DROPPED, 0),
        "seconds": round(seconds, 3),
        "idle_seconds": round(idle, 3),
        "events_per_second": round(read / (seconds - idle), 1) if seconds > idle else 0.0,
    }
    if any(NEW in tally.counters for tally in by_encoder.values()):
        summary["unchanged"] = sum(tally.counters.get(UNCHANGED, 0) for tally in by_encoder.values())
    if len(by_encoder) > 1:
        summary["by_encoder"] = {
            ref: {
                "embeddings": _embeddings(tally),
                "rejections": _sorted(common.rejections() + tally.rejections()),
            }
            for ref, tally in by_encoder.items()
        }
    return summary


def launched(result: PipelineResult, stream: str, encoders: Sequence[str]) -> dict[str, Any]:
    """Return the summary of a job that runs elsewhere. Its id is None if only its template was written."""
    job = result.job_id() if getattr(result, "has_job", True) else None
    return {"stream": stream, "encoders": list(encoders), "job": job}


def _embeddings(tally: Tally) -> int:
    return tally.counters.get(EMBEDDINGS, 0)


def _sorted(rejections: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(rejections.items()) if count}


def _tallies(result: PipelineResult) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for counter in result.metrics().query()["counters"]:
        name = counter.key.metric.name
        counters = tallies.setdefault(counter.key.metric.namespace, Tally()).counters
        counters[name] = counters.get(name, 0) + counter.result
    return tallies
