"""The first page: how many there are of everything, and what someone should look at."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from rawless.console import audits, datasets, encoders, heads, streams
from rawless.console.audits import AuditsView
from rawless.console.datasets import DatasetsView
from rawless.console.encoders import EncodersView
from rawless.console.heads import HeadsView
from rawless.console.reads import Window
from rawless.console.source import Source, View
from rawless.console.streams import StreamsView
from rawless.quantities import counted

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


@dataclass(frozen=True)
class _Pages:
    streams: StreamsView
    encoders: EncodersView
    datasets: DatasetsView
    heads: HeadsView
    audits: AuditsView


def read(source: Source, window: Window, now: datetime) -> OverviewView:
    """Return the first page, which is made of the others."""
    pages = _read_pages(source, window, now)
    notices = [
        *(Notice(each.sentence, "/audits", is_wrong=each.level == "wrong") for each in pages.audits.findings),
        *_of_streams(pages.streams, now),
        *_of_heads(pages.heads),
    ]
    views: Sequence[View] = (pages.streams, pages.encoders, pages.datasets, pages.heads, pages.audits)
    return OverviewView(
        list({id(part): part for view in views for part in view.parts}.values()),
        [source.command("status")],
        list(_figures(pages)),
        sorted(notices, key=lambda notice: not notice.is_wrong),
    )


def _read_pages(source: Source, window: Window, now: datetime) -> _Pages:
    """Return the other pages, which are read at the same time."""
    with ThreadPoolExecutor() as pool:
        of_streams, of_encoders = pool.submit(streams.read, source, window), pool.submit(encoders.read, source, window)
        of_datasets, of_heads = pool.submit(datasets.read, source), pool.submit(heads.read, source, window)
        of_audits = audits.read(source, window, now)
        return _Pages(of_streams.result(), of_encoders.result(), of_datasets.result(), of_heads.result(), of_audits)


def _figures(pages: _Pages) -> Iterable[Figure]:
    events = sum(each.counted.events for each in pages.streams.streams)
    rejected = sum(each.counted.rejected for each in pages.streams.streams)
    versions = [each for head in pages.heads.heads for each in head.versions]
    live = sum("live" in each.roles for each in versions)
    predictions = sum(each.online.predictions for each in versions if each.online)
    snapshots = sum(len(each.snapshots) for each in pages.datasets.datasets)
    used = sum(each.is_used for each in pages.encoders.encoders)
    of_streams, audited = pages.streams.streams, len(pages.audits.canaries)
    figures: Sequence[tuple[View, str, str, int, str]] = (
        (
            pages.streams, "/streams", "Streams", len(of_streams),
            f"{counted(events, 'event')}, {counted(rejected, 'rejection')}",
        ),
        (pages.encoders, "/encoders", "Encoders", len(pages.encoders.encoders), f"{used:,} in use"),
        (pages.datasets, "/datasets", "Datasets", len(pages.datasets.datasets), counted(snapshots, "snapshot")),
        (
            pages.heads, "/heads", "Heads", len(pages.heads.heads),
            f"{counted(live, 'live version')}, {counted(predictions, 'prediction')}",
        ),
        (
            pages.audits, "/audits", "Audit findings", len(pages.audits.findings),
            f"{audited:,} of {counted(len(of_streams), 'stream')} had a canary",
        ),
    )  # fmt: skip
    for view, path, name, count, detail in figures:
        is_unread = view.problems and not count
        yield Figure(path, name, None if is_unread else count, "not read" if is_unread else detail)


def _of_streams(view: StreamsView, now: datetime) -> Iterable[Notice]:
    for each in view.streams:
        name, summary = each.counted.stream, each.counted
        if each.alarms:
            metrics = ", ".join(metric.metric for metric in each.alarms)
            day = f"{each.drift[0].end_at:%Y-%m-%d}"
            yield Notice(f"{name} has drifted in the window that ended on {day}: {metrics}.", "/streams", is_wrong=True)
        if summary.last_at and now - summary.last_at > SILENT:
            yield Notice(f"{name} has had no event since {summary.last_at:%Y-%m-%d %H:%M} UTC.", "/streams")
        share = summary.rejected / max(1, summary.rejected + summary.events)
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
