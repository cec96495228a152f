"""What a job did, from its metrics: the JSON that `ingest` prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apache_beam.runners.runner import PipelineResult

from pipelines.rejections import namespace

_REJECTED = "rejected."


@dataclass
class Tally:
    """Counts under one namespace: of what is common to all encoders, or of one of them."""

    counters: dict[str, int] = field(default_factory=dict)

    def rejections(self) -> Counter[str]:
        """Rejections by reason, over all stages."""
        found: Counter[str] = Counter()
        for name, count in self.counters.items():
            if name.startswith(_REJECTED):
                found[name.rsplit(".", 1)[1]] += count
        return found


def summarise(
    result: PipelineResult, stream: str, encoders: Sequence[str], seconds: float, idle: float = 0.0
) -> dict[str, Any]:
    """The counts of a finished job, that ran for so many seconds and was idle in so many of them.

    `embeddings` and `rejections` count rows. For each encoder, read = embeddings + rejections, where an event
    that was rejected before encoding counts for all; with several encoders `by_encoder` tells them apart.
    """
    tallies = _tallies(result)
    common = tallies.get(namespace(None), Tally())
    own = {ref: tallies.get(namespace(ref), Tally()) for ref in encoders}
    read = common.counters.get("read", 0)
    summary: dict[str, Any] = {
        "stream": stream,
        "encoders": list(encoders),
        "read": read,
        "embeddings": sum(_embeddings(tally) for tally in own.values()),
        "rejections": _ordered(sum((tally.rejections() for tally in own.values()), common.rejections())),
        "dropped_attributes": common.counters.get("dropped_attributes", 0),
        "seconds": round(seconds, 3),
        "idle_seconds": round(idle, 3),
        "events_per_second": round(read / (seconds - idle), 1) if seconds > idle else 0.0,
    }
    if len(own) > 1:
        summary["by_encoder"] = {
            ref: {
                "embeddings": _embeddings(tally),
                "rejections": _ordered(common.rejections() + tally.rejections()),
            }
            for ref, tally in own.items()
        }
    return summary


def launched(result: PipelineResult, stream: str, encoders: Sequence[str]) -> dict[str, Any]:
    """What there is to say of a job that goes on elsewhere: no id yet where only its template was written."""
    job = result.job_id() if getattr(result, "has_job", True) else None
    return {"stream": stream, "encoders": list(encoders), "job": job}


def _embeddings(tally: Tally) -> int:
    return tally.counters.get("embeddings", 0)


def _ordered(rejections: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(rejections.items()) if count}


def _tallies(result: PipelineResult) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for counter in result.metrics().query()["counters"]:
        name = counter.key.metric.name
        counters = tallies.setdefault(counter.key.metric.namespace, Tally()).counters
        counters[name] = counters.get(name, 0) + counter.result
    return tallies
