"""How a version of a head does in service: its predictions by day, how many were right, and how they drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from rawless.console import parts
from rawless.console.charts import DayChart, day_chart, line_chart
from rawless.console.parts import Agreement, DayOfPredictions
from rawless.console.reads import Part, Reads, Window
from rawless.datasets.snapshots import Manifest
from rawless.heads.metrics import Metric
from rawless.overview.heads import HeadVersion

DRAWN_CLASSES = 5
"""Classes with a colour of their own, the most frequent ones."""


@dataclass(frozen=True)
class ClassShare:
    """The share of a class among predictions, and among the labels that a head was trained on."""

    label: str
    predicted: float
    trained: float | None


@dataclass(frozen=True)
class ByLabel:
    """What a version predicted of the events with one label."""

    label: str
    events: int
    """Those for which it predicted a class."""
    right: int
    abstentions: int
    taken_for: tuple[str, int] | None
    """The wrong class that it predicted most often, and how often."""

    @property
    def recall(self) -> float:
        """The share of the events that it was right about."""
        return self.right / max(1, self.events)


@dataclass(frozen=True)
class Online:
    """What one version of a head predicted in the days that are shown."""

    predictions: int
    """All, abstentions among them."""
    abstentions: Mapping[str, int]
    """By reason."""
    by_day: DayChart
    confidence: Markup
    mean_confidence: float | None
    shares: Sequence[ClassShare]
    stability: float | None
    """The population stability index of the classes predicted, against the labels of the training rows."""
    accuracy: Metric | None
    """The share of predictions that were right, among events whose label is known."""
    labelled: int
    """Events with a label that the version has not learned, for which it predicted a class."""
    labelled_abstentions: int
    """Events with a label for which it abstained."""
    by_label: Sequence[ByLabel]
    """The labels of those events, the one with most mistakes first."""
    labels_of: Manifest | None
    """The snapshot with the labels."""
    without_labels: str | None
    """Why no labels are known."""


def online(
    reads: Reads,
    window: Window,
    head: str,
    version: HeadVersion,
    by_id: Mapping[str, Manifest],
    manifests: Sequence[Manifest],
    days: Sequence[DayOfPredictions],
) -> Part[Online]:
    """Return what a version predicted, compared with the labels of its dataset's last snapshot."""
    name = f"{head}@{version.version}"
    trained_on = by_id.get(version.snapshot_id or "")
    labels = next((each for each in manifests if trained_on and each.dataset == trained_on.dataset), None)
    reason = _without_labels(version, trained_on)
    if reason or trained_on is None or labels is None:
        value = _online(window, name, days, trained_on, None, [], reason)
        return Part(value, None, datetime.now(window.end_at.tzinfo), 0)
    part = parts.agreement(reads, window, head, version.version, trained_on.snapshot_id, labels.snapshot_id)
    reason = part.problem and "its labels could not be read"
    value = _online(window, name, days, trained_on, labels, part.value, reason)
    return Part(value, part.problem, part.read_at, part.billed_bytes)


def _without_labels(version: HeadVersion, trained_on: Manifest | None) -> str | None:
    if version.snapshot_id is None:
        return "it was not trained on a snapshot, so no dataset has its labels"
    if trained_on is None:
        return "the snapshot that it was trained on is not known here"
    if trained_on.is_pairs or trained_on.is_number:
        return "its dataset labels pairs or numbers, not events with classes"
    return None


def _online(
    window: Window,
    name: str,
    days: Sequence[DayOfPredictions],
    trained_on: Manifest | None,
    labels: Manifest | None,
    agreements: Sequence[Agreement],
    reason: str | None,
) -> Online:
    classes, abstentions = _by_class(days)
    series, colours = _stacked(classes, _by_date([each for each in days if each.label is None]))
    confidence = _confidence(days)
    decided = [each for each in agreements if each.predicted is not None]
    labelled = sum(each.events for each in decided)
    return Online(
        predictions=sum(each.predictions for each in days),
        abstentions=abstentions,
        by_day=day_chart(
            f"Classes predicted by {name}, as shares of each day", window.dates, series, colours=colours, as_shares=True
        ),
        confidence=line_chart(f"Mean probability of the class that {name} predicted", window.dates, confidence),
        mean_confidence=_mean_confidence(days),
        shares=_shares(classes, trained_on),
        stability=_stability(classes, trained_on),
        accuracy=_accuracy(sum(each.events for each in decided if each.predicted == each.label), labelled),
        labelled=labelled,
        labelled_abstentions=sum(each.events for each in agreements if each.predicted is None),
        by_label=_by_label(agreements),
        labels_of=labels,
        without_labels=reason,
    )


def _by_label(agreements: Sequence[Agreement]) -> list[ByLabel]:
    found = []
    for label in sorted({each.label for each in agreements}):
        own = {each.predicted: each.events for each in agreements if each.label == label}
        abstentions = own.pop(None, 0)
        wrong = [(name, count) for name, count in own.items() if name is not None and name != label]
        taken_for = max(wrong, key=lambda each: (each[1], each[0]), default=None)
        found.append(ByLabel(label, sum(own.values()), own.get(label, 0), abstentions, taken_for))
    return sorted(found, key=lambda each: (each.right - each.events, each.label))


def _stacked(
    classes: Mapping[str, Mapping[datetime, float]], abstained: Mapping[datetime, float]
) -> tuple[dict[str, Mapping[datetime, float]], list[int]]:
    """Return what a chart stacks, and colours that two versions with the same classes share."""
    counts = {name: sum(days.values()) for name, days in classes.items()}
    drawn = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:DRAWN_CLASSES])
    series: dict[str, Mapping[datetime, float]] = {name: classes[name] for name in drawn}
    colours = list(range(len(drawn)))
    others: dict[datetime, float] = {}
    for name in classes.keys() - set(drawn):
        for day, count in classes[name].items():
            others[day] = others.get(day, 0) + count
    if others:
        series[f"{len(classes) - len(drawn)} other classes"] = others
        colours.append(DRAWN_CLASSES)
    if abstained:
        series["(abstention)"] = abstained
        colours.append(DRAWN_CLASSES + 1)
    return series, colours


def _by_class(days: Sequence[DayOfPredictions]) -> tuple[dict[str, dict[datetime, float]], dict[str, int]]:
    """Return the predictions of each class by day, and the abstentions by reason."""
    classes: dict[str, list[DayOfPredictions]] = {}
    abstentions: dict[str, int] = {}
    for each in days:
        if each.label is None:
            reason = each.abstention or "unknown"
            abstentions[reason] = abstentions.get(reason, 0) + each.predictions
        else:
            classes.setdefault(each.label, []).append(each)
    return {name: _by_date(own) for name, own in classes.items()}, abstentions


def _by_date(days: Sequence[DayOfPredictions]) -> dict[datetime, float]:
    dates: dict[datetime, float] = {}
    for each in days:
        dates[each.day] = dates.get(each.day, 0) + each.predictions
    return dates


def _confidence(days: Sequence[DayOfPredictions]) -> dict[datetime, float]:
    """Return the mean probability of the classes that were predicted, by day."""
    dates = {each.day for each in days}
    means = {date: _mean_confidence([each for each in days if each.day == date]) for date in dates}
    return {date: mean for date, mean in means.items() if mean is not None}


def _mean_confidence(days: Sequence[DayOfPredictions]) -> float | None:
    sure = [each for each in days if each.mean_probability is not None]
    total = sum(each.predictions for each in sure)
    return sum((each.mean_probability or 0.0) * each.predictions for each in sure) / total if total else None


def _shares(classes: Mapping[str, Mapping[datetime, float]], trained_on: Manifest | None) -> list[ClassShare]:
    counts = {name: sum(dates.values()) for name, dates in classes.items()}
    trained = _trained(trained_on)
    total, trained_total = max(1.0, sum(counts.values())), max(1, sum(trained.values()))
    names = sorted({*counts, *trained}, key=lambda name: (-counts.get(name, 0.0), name))
    return [
        ClassShare(name, counts.get(name, 0.0) / total, trained.get(name, 0) / trained_total if trained else None)
        for name in names
    ]


def _trained(trained_on: Manifest | None) -> dict[str, int]:
    """Return the number of training rows by label; none if the labels are no classes."""
    if trained_on is None or trained_on.is_number or trained_on.is_pairs:
        return {}
    return {each.label: each.row_count for each in trained_on.counts if each.split == "train"}


def _stability(classes: Mapping[str, Mapping[datetime, float]], trained_on: Manifest | None) -> float | None:
    import numpy as np

    from rawless.lifecycle.drift.metrics import psi

    trained = _trained(trained_on)
    names = sorted({*classes, *trained})
    counts = np.array([sum(classes.get(name, {}).values()) for name in names], np.float64)
    before = np.array([trained.get(name, 0) for name in names], np.float64)
    if len(names) < 2 or not counts.sum() or not before.sum():
        return None
    found = psi(counts / counts.sum(), before / before.sum(), float(counts.sum()), float(before.sum()))
    return max(0.0, float(found))


def _accuracy(right: int, total: int) -> Metric | None:
    """Return the share of right predictions with its 95% interval (Wilson, 1927)."""
    from scipy.stats import binomtest

    if not total:
        return None
    interval = binomtest(right, total).proportion_ci(0.95, method="wilson")
    return Metric("accuracy", right / total, float(interval.low), float(interval.high))
