"""What a user would do next, given what a warehouse contains, each step with a command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rawless.overview.audits import Audits
from rawless.overview.datasets import DatasetSummary
from rawless.overview.heads import HeadSummary
from rawless.overview.streams import StreamSummary

MANY = 0.01
"""The share of the last day's deliveries above which their rejection is worth a look."""


@dataclass(frozen=True)
class NextStep:
    """One thing to do: why, and the command. Words in capitals in a command are what only the user knows."""

    why: str
    command: str


def next_steps(
    streams: Sequence[StreamSummary], datasets: Sequence[DatasetSummary], heads: Sequence[HeadSummary], audits: Audits
) -> list[NextStep]:
    """Return what to do next, what is wrong first."""
    return [*_wrong(streams, audits), *_missing(streams, datasets, heads), *_unaudited(streams, audits)]


def _wrong(streams: Sequence[StreamSummary], audits: Audits) -> Iterator[NextStep]:
    for canary in audits.canaries:
        if canary.traces:
            yield NextStep(
                f"The last canary of {canary.stream} found {canary.traces:,} traces of planted content.",
                "rawless report privacy",
            )
    for leakage in audits.leakage:
        if above := sorted({each.metric for each in leakage.above_limit}):
            yield NextStep(
                f"{leakage.encoder} leaks more than {leakage.stream} allows: {', '.join(above)}.",
                "rawless report privacy",
            )
    for drift in audits.drift:
        if drift.alarms:
            yield NextStep(
                f"{drift.stream} by {drift.encoder} drifted by {drift.end_at:%Y-%m-%d}: {', '.join(drift.alarms)}.",
                f"rawless drift {drift.stream}",
            )
    for stream in streams:
        if stream.recent_rejections > MANY * (stream.recent_events + stream.recent_rejections):
            reason = next(iter(stream.rejections))
            yield NextStep(
                f"{stream.recent_rejections:,} deliveries of {stream.stream} were rejected in the last day, most of "
                f"them as {reason}: docs/runbooks.md says what to do about each reason, and then replay them.",
                "rawless replay --stream STREAM.yaml --reason REASON --source SOURCE",
            )


def _missing(
    streams: Sequence[StreamSummary], datasets: Sequence[DatasetSummary], heads: Sequence[HeadSummary]
) -> Iterator[NextStep]:
    if not streams:
        yield NextStep(
            "Nothing was ingested yet: make a stream, a dataset and a head file of your data.",
            "rawless init --from FILE",
        )
        return
    built_from = {snapshot.stream for dataset in datasets for snapshot in dataset.snapshots}
    for stream in streams:
        if stream.events and stream.stream not in built_from:
            yield NextStep(
                f"{stream.stream} has events, but no dataset: describe one in a file, load what it is labelled by, "
                "and build it.",
                "rawless dataset build DATASET.yaml",
            )
    trained_on = {version.snapshot_id for head in heads for version in head.versions}
    for dataset in datasets:
        if not trained_on & {snapshot.snapshot_id for snapshot in dataset.snapshots}:
            yield NextStep(f"{dataset.dataset} has a snapshot, but no head.", "rawless head train HEAD.yaml")
    for head in heads:
        if not head.live:
            yield NextStep(
                f"{head.head} has no live version here, so services that follow it do not answer by it.",
                f"rawless head deploy {head.head}@{head.versions[0].version}",
            )


def _unaudited(streams: Sequence[StreamSummary], audits: Audits) -> Iterator[NextStep]:
    audited = {each.encoder_fingerprint for each in audits.leakage}
    encoders = {each.fingerprint: each.encoder for stream in streams for each in stream.encoders if each.events}
    for fingerprint, encoder in encoders.items():
        if fingerprint not in audited:
            yield NextStep(
                f"Nobody has measured what the vectors of {encoder} reveal.",
                f"rawless audit leakage --encoder {encoder} --aux FILE",
            )
