"""The page on datasets: the ledger of each dataset's last snapshot, what it was built from, and what was made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rawless.console import parts
from rawless.console.source import Source, View
from rawless.datasets.erasures import SnapshotErasure, erased_rows
from rawless.datasets.snapshots import Manifest, Removal
from rawless.datasets.spec import SPLITS
from rawless.overview.heads import HeadSummary
from rawless.report.privacy_sections import Export


@dataclass(frozen=True)
class Line:
    """A line of the ledger with its parameters as text, and the share of rows that it removed."""

    removal: Removal
    parameters: str
    share: float


@dataclass(frozen=True)
class Snapshot:
    """A snapshot and what became of it."""

    manifest: Manifest
    erased: int
    heads: Sequence[tuple[str, Sequence[int]]]
    """Heads with the versions that were trained on it, the newest first."""
    exports: Sequence[Export]

    @property
    def rows(self) -> int:
        """The number of rows that remain."""
        return self.manifest.rows - self.erased

    @property
    def by_split(self) -> dict[str, int]:
        """The number of rows by split, when it was finished."""
        return {split: sum(each.row_count for each in self.manifest.counts if each.split == split) for split in SPLITS}

    @property
    def labels(self) -> list[tuple[str, list[int]]]:
        """Each label with its number of rows by split."""
        table = {(each.split, each.label): each.row_count for each in self.manifest.counts}
        names = dict.fromkeys([*self.manifest.classes, *(each.label for each in self.manifest.counts)])
        return [(name or "any number", [table.get((split, name), 0) for split in SPLITS]) for name in names]

    @property
    def ledger(self) -> list[Line]:
        """The lines of the ledger, in the order of the rules."""
        return [
            Line(each, _parameters(each.parameters), each.removed / max(1, each.rows_in))
            for each in self.manifest.ledger
        ]


@dataclass(frozen=True)
class Dataset:
    """A dataset with its snapshots, of which the first is the one that its name means."""

    name: str
    stream: str
    encoder: str
    snapshots: Sequence[Snapshot]

    @property
    def last(self) -> Snapshot:
        """The snapshot that its name means."""
        return self.snapshots[0]


@dataclass(frozen=True)
class DatasetsView(View):
    """The page."""

    datasets: Sequence[Dataset]
    splits: Sequence[str] = SPLITS


def read(source: Source) -> DatasetsView:
    """Return the page on datasets."""
    reads = source.reads
    for read_part in (parts.manifests, parts.heads, parts.exports, parts.snapshot_erasures):
        reads.start(read_part)
    manifests, heads, exported, erasures = (
        parts.manifests(reads), parts.heads(reads), parts.exports(reads), parts.snapshot_erasures(reads)
    )  # fmt: skip
    by_name: dict[str, list[Manifest]] = {}
    for each in manifests.value:
        by_name.setdefault(each.dataset, []).append(each)
    datasets = [
        _dataset(name, own, heads.value, exported.value, erasures.value) for name, own in sorted(by_name.items())
    ]
    commands = [source.command("dataset", "list")]
    return DatasetsView([manifests, heads, exported, erasures], commands, datasets)


def _dataset(
    name: str,
    manifests: Sequence[Manifest],
    heads: Sequence[HeadSummary],
    exported: Sequence[Export],
    erasures: Sequence[SnapshotErasure],
) -> Dataset:
    snapshots = [
        Snapshot(
            manifest,
            erased_rows([each for each in erasures if each.snapshot_id == manifest.snapshot_id]),
            _heads(heads, manifest.snapshot_id),
            [each for each in exported if each.snapshot_id == manifest.snapshot_id],
        )
        for manifest in manifests
    ]
    spec: Mapping[str, Any] = manifests[0].spec.get("spec", manifests[0].spec)
    return Dataset(name, str(spec.get("stream", "")), str(spec.get("encoder", "")), snapshots)


def _heads(heads: Sequence[HeadSummary], snapshot_id: str) -> list[tuple[str, Sequence[int]]]:
    found = [(head.head, [each.version for each in head.versions if each.snapshot_id == snapshot_id]) for head in heads]
    return [(name, versions) for name, versions in found if versions]


def _parameters(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in parameters.items())
