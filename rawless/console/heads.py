"""The page on heads: versions with their metrics, which of them answer, how often they were right, and their drift."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rawless.console import parts
from rawless.console.encoders import encoder_names
from rawless.console.online import Online, online
from rawless.console.parts import DayOfPredictions
from rawless.console.reads import Part, Window
from rawless.console.source import Source, View
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads.metrics import Metric
from rawless.overview import heads as overview_heads
from rawless.overview.heads import HeadSummary, HeadVersion

SHOWN_VERSIONS = 5
"""Versions of a head whose predictions are shown, the newest first."""


@dataclass(frozen=True)
class Version:
    """A version of a head."""

    registered: HeadVersion
    encoder: str
    dataset: str | None
    """The dataset of the snapshot that it was trained on, if it is known."""
    roles: Sequence[str]
    """What it does: `live`, `answers in SERVICE`, `shadow in SERVICE`."""
    online: Online | None
    """None without predictions in the days that are shown."""

    @property
    def metric(self) -> Metric | None:
        """The metric of the test split that comes first."""
        name, (value, low, high) = next(iter(self.registered.metrics.items()), ("", (None, None, None)))
        return (
            None
            if value is None
            else Metric(name, value, value if low is None else low, value if high is None else high)
        )


@dataclass(frozen=True)
class Head:
    """A head with its versions, the newest first."""

    name: str
    versions: Sequence[Version]

    @property
    def answering(self) -> list[Version]:
        """The versions whose predictions are shown."""
        return [each for each in self.versions if each.online]


@dataclass(frozen=True)
class HeadsView(View):
    """The page."""

    heads: Sequence[Head]
    unknown: Sequence[str]
    """Heads with predictions that are not registered."""
    deployment_problem: str | None
    """Why it is not known which versions are live."""


def read(source: Source, window: Window) -> HeadsView:
    """Return the page on heads."""
    reads = source.reads
    reads.start(parts.heads)
    reads.start(parts.manifests)
    registered, manifests, predictions = parts.heads(reads), parts.manifests(reads), parts.predictions(reads, window)
    answered: dict[tuple[str, int], list[DayOfPredictions]] = {}
    for each in predictions.value:
        answered.setdefault((each.head, each.version), []).append(each)
    by_id = {each.snapshot_id: each for each in manifests.value}
    judged = {
        (head.head, version.version): reads.start(
            online, window, head.head, version, by_id, manifests.value, answered[head.head, version.version]
        )
        for head in registered.value
        for version in _shown(head, answered)
    }
    found = {key: each.result() for key, each in judged.items()}
    names = encoder_names((), (), manifests.value, registered.value)
    roles, problem = _roles(source, [head.head for head in registered.value])
    heads = [
        Head(head.head, [_version(head.head, each, names, by_id, roles, found) for each in head.versions])
        for head in registered.value
    ]
    known = {(head.head, version.version) for head in registered.value for version in head.versions}
    unknown = [f"{head}@{version}" for head, version in sorted({*answered} - known)]
    read_parts = [registered, manifests, predictions, *found.values()]
    return HeadsView(read_parts, [source.command("head", "list")], heads, unknown, problem)


def _shown(head: HeadSummary, answered: Mapping[tuple[str, int], object]) -> list[HeadVersion]:
    """Return the versions of a head whose predictions are shown."""
    return [each for each in head.versions if (head.head, each.version) in answered][:SHOWN_VERSIONS]


def _version(
    head: str,
    version: HeadVersion,
    names: Mapping[str, str],
    by_id: Mapping[str, Manifest],
    roles: Mapping[tuple[str, int], Sequence[str]],
    judged: Mapping[tuple[str, int], Part[Online]],
) -> Version:
    manifest, key = by_id.get(version.snapshot_id or ""), (head, version.version)
    return Version(
        version,
        names[version.encoder_fingerprint],
        manifest.dataset if manifest else None,
        roles.get(key, ()),
        judged[key].value if key in judged else None,
    )


def _roles(source: Source, names: Iterable[str]) -> tuple[dict[tuple[str, int], list[str]], str | None]:
    """Return the roles of versions, and why the live ones of a head are not known."""
    roles: dict[tuple[str, int], list[str]] = {}
    live, problem = live_versions(source.head_folder, names)
    for name, versions in live.items():
        for version in versions:
            roles.setdefault((name, version), []).append("live")
    for served in source.services:
        for words, references in (("answers in", served.answers), ("shadow in", served.shadow)):
            for key in _versions(references, live):
                roles.setdefault(key, []).append(f"{words} {served.service}")
    return roles, problem


def live_versions(folder: Path | None, names: Iterable[str]) -> tuple[dict[str, list[int]], str | None]:
    """Return the live versions of heads in a folder, and why those of one of them are not known."""
    live, problem = dict[str, list[int]](), None
    if folder is None:
        return live, "start the console with the folder of deployed heads, by --heads."
    for name in names:
        try:
            live[name] = sorted(overview_heads.live_versions(folder, name))
        except UserError as error:
            problem = str(error)
    return live, problem


def _versions(references: Sequence[str], live: Mapping[str, Sequence[int]]) -> Iterable[tuple[str, int]]:
    """Yield the versions that references mean: a name without a version means the live ones."""
    for reference in references:
        name, _, version = reference.partition("@")
        yield from ((name, number) for number in ([int(version)] if version else live.get(name, ())))
