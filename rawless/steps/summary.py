"""The summary of a job, computed from what its steps counted: the JSON that `ingest` prints."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rawless.metering import table
from rawless.metering.metric import Distribution
from rawless.steps.meter import ABSTAINED, DROPPED, EMBEDDINGS, NEW, PREDICTIONS, READ, UNCHANGED
from rawless.steps.rejections import REJECTED

Counts = Mapping[str | None, Mapping[str, int]]
"""Counters by their name, of each encoder (name@version) and, under None, of the job."""

Total = Callable[[Distribution], tuple[float, int]]
"""The sum and the number of the values of a metric, for one encoder."""


def summarise(
    counts: Counts, stream: str, encoders: Sequence[str], seconds: float, idle: float = 0.0
) -> dict[str, Any]:
    """Return the summary of a job that ran for `seconds` and was idle for `idle` of them.

    `embeddings` and `rejections` count rows. For each encoder, read = embeddings + rejections, where an event that was
    rejected before encoding counts for every encoder; with several encoders, `by_encoder` has the counts of each. In a
    stream that remembers contents, `unchanged` counts the results that did not have to be computed.
    """
    common = counts.get(None, {})
    by_encoder = {ref: counts.get(ref, {}) for ref in encoders}
    read = common.get(READ, 0)
    summary: dict[str, Any] = {
        "stream": stream,
        "encoders": list(encoders),
        "read": read,
        "embeddings": sum(own.get(EMBEDDINGS, 0) for own in by_encoder.values()),
        "rejections": _sorted(sum(map(_rejections, by_encoder.values()), _rejections(common))),
        "dropped_attributes": common.get(DROPPED, 0),
        "seconds": round(seconds, 3),
        "idle_seconds": round(idle, 3),
        "events_per_second": round(read / (seconds - idle), 1) if seconds > idle else 0.0,
    }
    if any(NEW in own for own in by_encoder.values()):
        summary["unchanged"] = sum(own.get(UNCHANGED, 0) for own in by_encoder.values())
    if len(by_encoder) > 1:
        summary["by_encoder"] = {
            ref: {
                "embeddings": own.get(EMBEDDINGS, 0),
                "rejections": _sorted(_rejections(common) + _rejections(own)),
            }
            for ref, own in by_encoder.items()
        }
    return summary


def predictions(counts: Counts) -> dict[str, Any]:
    """Return how many predictions a job wrote, and how many of them are abstentions, by reason."""
    abstentions: Counter[str] = Counter()
    for own in counts.values():
        for name, count in own.items():
            if name.startswith(f"{ABSTAINED}."):
                abstentions[name.removeprefix(f"{ABSTAINED}.")] += count
    written = sum(own.get(PREDICTIONS, 0) for own in counts.values())
    return {"predictions": written, "abstentions": _sorted(abstentions)}


def work(total: Total) -> dict[str, float]:
    """Return what the work for an encoder consisted of. Seconds are those of all threads together."""
    items, batches = total(table.BATCH_ITEMS)
    fill, padding = total(table.BATCH_FILL)[0], total(table.BATCH_PADDING)[0]
    return {
        "batches": batches,
        "batch_items": round(items / max(1, batches), 1),
        "batch_fill": round(fill / max(1, batches), 3),
        "batch_padding": round(padding / max(1, batches), 3),
        "prepare_seconds": round(total(table.PREPARE)[0], 3),
        "encode_seconds": round(total(table.ENCODE)[0], 3),
    }


def _rejections(counters: Mapping[str, int]) -> Counter[str]:
    """Return the number of rejections by reason, over all stages."""
    by_reason: Counter[str] = Counter()
    for name, count in counters.items():
        if name.startswith(REJECTED):
            by_reason[name.rsplit(".", 1)[1]] += count
    return by_reason


def _sorted(rejections: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(rejections.items()) if count}
