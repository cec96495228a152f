"""The first page: how many there are of everything, and what someone should look at."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from rawless.console import audits, datasets, encoders, heads, streams
from rawless.console.heads import HeadsView
from rawless.console.reads import Window
from rawless.console.source import Source, View
from rawless.console.streams import StreamsView

_FIGURES = (
    ("/streams", "Streams"),
    ("/encoders", "Encoders"),
    ("/datasets", "Datasets"),
    ("/heads", "Heads"),
    ("/audits", "Audit findings"),
)
SILENT = timedelta(days=2)
"""A stream without an event for so long is named."""
REJECTED_SHARE = 0.05
UNSTABLE = 0.25
"""The population stability index above which a distribution is commonly said to have changed."""


@dataclass(frozen=True)
class Notice:
    """Something to look at, and the page that shows it."""

    sentence: str
    path: str
    is_wrong: bool = False


@dataclass(frozen=True)
class Figure:
    """How many there are of something, on a page."""

    path: str
    name: str
    value: int | None
    """None if it could not be read."""
    detail: str


@dataclass(frozen=True)
class OverviewView(View):
    """The page."""

    figures: Sequence[Figure]
    notices: Sequence[Notice]
    """What is wrong first."""


def read(source: Source, window: Window, now: datetime) -> OverviewView:
    """Return the first page, which is made of the others."""
    with ThreadPoolExecutor() as pool:
        reading = (
            pool.submit(streams.read, source, window), pool.submit(encoders.read, source, window),
            pool.submit(datasets.read, source), pool.submit(heads.read, source, window),
            pool.submit(audits.read, source, window, now),
        )  # fmt: skip
        of_streams, of_encoders, of_datasets = reading[0].result(), reading[1].result(), reading[2].result()
        of_heads, of_audits = reading[3].result(), reading[4].result()
    events = sum(each.counted.events for each in of_streams.streams)
    rejected = sum(each.counted.rejected for each in of_streams.streams)
    predictions = sum(each.online.predictions for head in of_heads.heads for each in head.versions if each.online)
    live = sum("live" in each.roles for head in of_heads.heads for each in head.versions)
    used = sum(each.is_used for each in of_encoders.encoders)
    snapshots = sum(len(each.snapshots) for each in of_datasets.datasets)
    counted: Sequence[tuple[View, int, str]] = (
        (of_streams, len(of_streams.streams), f"{_number(events, 'event')}, {_number(rejected, 'rejection')}"),
        (of_encoders, len(of_encoders.encoders), f"{used:,} in use"),
        (of_datasets, len(of_datasets.datasets), _number(snapshots, "snapshot")),
        (of_heads, len(of_heads.heads), f"{_number(live, 'live version')}, {_number(predictions, 'prediction')}"),
        (
            of_audits,
            len(of_audits.findings),
            f"{len(of_audits.canaries):,} of {_number(len(of_streams.streams), 'stream')} had a canary",
        ),
    )
    figures = [
        Figure(path, name, None, "not read") if view.problems and not count else Figure(path, name, count, detail)
        for (path, name), (view, count, detail) in zip(_FIGURES, counted, strict=True)
    ]
    notices = [
        *(Notice(each.sentence, "/audits", is_wrong=each.level == "wrong") for each in of_audits.findings),
        *_of_streams(of_streams, now),
        *_of_heads(of_heads),
    ]
    views: Sequence[View] = (of_streams, of_encoders, of_datasets, of_heads, of_audits)
    parts = list({id(part): part for view in views for part in view.parts}.values())
    return OverviewView(
        parts, [source.command("status")], figures, sorted(notices, key=lambda notice: not notice.is_wrong)
    )


def _of_streams(view: StreamsView, now: datetime) -> Iterable[Notice]:
    for each in view.streams:
        name, counted = each.counted.stream, each.counted
        if each.alarms:
            metrics = ", ".join(metric.metric for metric in each.alarms)
            day = f"{each.drift[0].end_at:%Y-%m-%d}"
            yield Notice(f"{name} has drifted in the window that ended on {day}: {metrics}.", "/streams", is_wrong=True)
        if counted.last_at and now - counted.last_at > SILENT:
            yield Notice(f"{name} has had no event since {counted.last_at:%Y-%m-%d %H:%M} UTC.", "/streams")
        share = counted.rejected / max(1, counted.rejected + counted.events)
        if share > REJECTED_SHARE:
            yield Notice(f"{share:.0%} of the deliveries of {name} were rejected.", "/streams")


def _of_heads(view: HeadsView) -> Iterable[Notice]:
    for head in view.heads:
        for version in head.answering:
            found, name = version.online, f"{head.name}@{version.registered.version}"
            if found is None:
                continue
            if found.stability is not None and found.stability > UNSTABLE:
                yield Notice(
                    f"The classes that {name} predicts are distributed otherwise than its training labels "
                    f"(stability index {found.stability:.2f}).",
                    "/heads",
                )
            tested = version.metric if version.metric and version.metric.name == "accuracy" else None
            if found.accuracy and tested and found.accuracy.high < tested.low:
                yield Notice(
                    f"{name} is right less often online, {found.accuracy}, than on its test split, {tested}.", "/heads"
                )
    if view.unknown:
        yield Notice(f"There are predictions of heads that are not registered: {', '.join(view.unknown)}.", "/heads")
    if view.deployment_problem:
        yield Notice(f"Which versions are live is not known: {view.deployment_problem}", "/heads")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
