"""The parts that several pages show, each read once for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from encoders.spec import EncoderSpec
from rawless.console.reads import Part, Reads, Window
from rawless.datasets import snapshot_tables
from rawless.datasets.erasures import SnapshotErasure, list_erasures
from rawless.datasets.snapshots import Manifest, list_manifests
from rawless.overview import heads as overview_heads
from rawless.overview import streams as overview_streams
from rawless.overview.heads import HeadSummary
from rawless.overview.period import DAY, Period
from rawless.overview.streams import StreamSummary
from rawless.report import privacy_sections as privacy
from rawless.warehouse import encoder_registry
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER


@dataclass(frozen=True)
class DayOfPredictions:
    """The predictions of one class, or the abstentions, of one version of a head on one day."""

    stream: str
    head: str
    version: int
    abstention: str | None
    """The reason of abstentions."""
    label: str | None
    """The most probable class, None for an abstention."""
    day: datetime
    predictions: int
    mean_probability: float | None
    """The mean probability of that class."""


@dataclass(frozen=True)
class DriftMetric:
    """One metric of one window of a stream's embeddings."""

    stream: str
    encoder_fingerprint: str
    metric: str
    start_at: datetime
    end_at: datetime
    row_count: int
    value: float
    threshold: float
    measured_at: datetime

    @property
    def is_alarm(self) -> bool:
        """Whether the value is above the threshold."""
        return self.value > self.threshold


@dataclass(frozen=True)
class Agreement:
    """The number of events with a label for which one class was predicted."""

    label: str
    predicted: str | None
    """None for an abstention."""
    events: int


def encoders(reads: Reads) -> Part[list[EncoderSpec]]:
    """Return the registered encoders."""
    return reads.part("encoders", encoder_registry.registered, [])


def manifests(reads: Reads) -> Part[list[Manifest]]:
    """Return all snapshots, those that a build asked for last first."""
    return reads.part("manifests", list_manifests, [])


def heads(reads: Reads) -> Part[tuple[HeadSummary, ...]]:
    """Return all heads with their versions; which are live is not among it."""
    return reads.part("heads", overview_heads.heads, ())


def streams(reads: Reads, window: Window) -> Part[tuple[StreamSummary, ...]]:
    """Return the streams that have events or rejections in the window, or encoders with roles."""
    period = Period(window.start_at, window.end_at, window.end_at - DAY)
    return reads.part(f"streams {window}", lambda warehouse: overview_streams.streams(warehouse, period).streams, ())


def exports(reads: Reads) -> Part[list[privacy.Export]]:
    """Return all exports of snapshots, the last first."""
    return reads.part("exports", privacy.exports, [])


def snapshot_erasures(reads: Reads) -> Part[list[SnapshotErasure]]:
    """Return what was erased from snapshots."""
    return reads.part("snapshot erasures", list_erasures, [])


def canaries(reads: Reads) -> Part[list[privacy.CanaryRun]]:
    """Return the last canary of each stream."""
    return reads.part("canaries", privacy.canaries, [])


def leakage(reads: Reads) -> Part[list[privacy.LeakageMeasure]]:
    """Return the last measures of each encoder and head."""
    return reads.part("leakage", lambda warehouse: privacy.leakage(warehouse, {}), [])


def waivers(reads: Reads, now: datetime) -> Part[list[privacy.Waiver]]:
    """Return all waivers, with whether each was in force when they were read."""
    return reads.part("waivers", lambda warehouse: privacy.waivers(warehouse, {}, now), [])


def erasures(reads: Reads) -> Part[list[privacy.Erasure]]:
    """Return all erasures, the last first."""
    return reads.part("erasures", privacy.erasures, [])


def predictions(reads: Reads, window: Window) -> Part[list[DayOfPredictions]]:
    """Return how many predictions of each class each version of a head made on each day."""

    def read(warehouse: Warehouse) -> list[DayOfPredictions]:
        rows = _rows(warehouse, "prediction_v1/daily", window)
        return [DayOfPredictions(label=row.pop("class"), **row) for row in rows]

    return reads.part(f"predictions {window}", read, [])


def drift(reads: Reads, window: Window) -> Part[list[DriftMetric]]:
    """Return what `rawless drift` measured of windows that ended in these days, the last first for each stream."""
    return reads.part(
        f"drift {window}",
        lambda warehouse: [DriftMetric(**row) for row in _rows(warehouse, "drift_v1/recent", window)],
        [],
    )


def agreement(
    reads: Reads, window: Window, head: str, version: int, trained_on: str, labels: str
) -> Part[list[Agreement]]:
    """Return how a version's predictions agree with the labels of the snapshot `labels`, but for what it has learned.

    `trained_on` is the snapshot that it was trained on.
    """
    read = partial(_agreement, window=window, head=head, version=version, trained_on=trained_on, labels=labels)
    return reads.part(f"agreement {window} {head} {version} {labels}", read, [])


def _agreement(
    warehouse: Warehouse, window: Window, head: str, version: int, trained_on: str, labels: str
) -> list[Agreement]:
    statement = warehouse.render(
        FOLDER / "prediction_v1" / "labelled.sql",
        snapshot=snapshot_tables.table_id(warehouse, trained_on),
        labels=snapshot_tables.table_id(warehouse, labels),
    )
    values = {"start_at": window.start_at, "end_at": window.end_at, "head": head, "version": version}
    rows = warehouse.query(statement, parameters(values))
    return [Agreement(row["label"], row["class"], row["events"]) for row in rows]


def _rows(warehouse: Warehouse, query: str, window: Window) -> list[dict[str, Any]]:
    values: Mapping[str, Any] = {"start_at": window.start_at, "end_at": window.end_at}
    return warehouse.query(warehouse.render(FOLDER / f"{query}.sql"), parameters(values))
