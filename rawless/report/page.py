"""The page of a snapshot and its heads: one HTML file that needs no network and loads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rawless.datasets.snapshots import Manifest, batches
from rawless.datasets.spec import SPLITS
from rawless.errors import UserError
from rawless.files import write_text
from rawless.heads.artefact import HeadManifest
from rawless.heads.evaluation import Evaluation, Mistake, Suspect
from rawless.report import projection, snapshot_charts
from rawless.report.chart import Chart, templates
from rawless.report.head_charts import head_charts
from rawless.report.map_chart import embedding_map
from rawless.report.terms import BASELINES, TERMS, words
from rawless.warehouse.client import Warehouse

SHOWN = 25
"""Mistakes and suspects that are listed."""
_PARTS = Path(__file__).parent


@dataclass(frozen=True)
class HeadSection:
    """What the page tells of a head."""

    key: str
    manifest: HeadManifest
    evaluation: Evaluation
    charts: dict[str, Chart]
    """By the end of their keys."""

    @property
    def name(self) -> str:
        """With its version."""
        return f"{self.manifest.head}@{self.manifest.version}"

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Those that are listed."""
        return self.evaluation.mistakes[:SHOWN]

    @property
    def suspects(self) -> list[Suspect]:
        """Those that are listed: the ones that most neighbours speak against."""
        return sorted(self.evaluation.suspects, key=lambda each: -each.share)[:SHOWN]


def write(
    warehouse: Warehouse, snapshot: Manifest, heads: Sequence[tuple[HeadManifest, Evaluation]], path: Path
) -> None:
    """Write the page of a snapshot, in place of what `path` had, for its owner's eyes (mode 0600). Raises UserError.

    It holds ids, labels, splits and places on a plane; no vectors.
    """
    points = projection.points(snapshot, batches(warehouse, snapshot.snapshot_id))
    _put(path, render(snapshot, points, heads))


def render(snapshot: Manifest, points: projection.Points, heads: Sequence[tuple[HeadManifest, Evaluation]]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(_PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers: dict[str, Any] = {"count": lambda number: f"{number:,}", "words": words}
    environment.filters.update(helpers)
    sections = [_section(f"head-{n}", *each) for n, each in enumerate(heads)]
    return environment.get_template("page.html.j2").render(
        snapshot=snapshot, points=points, heads=sections, splits=SPLITS, plotly=Markup(get_plotlyjs()),  # noqa: S704
        spec=snapshot.spec.get("spec", snapshot.spec), by_split=_by_split(snapshot), templates=templates(),
        counts=snapshot_charts.counts(snapshot), count_rows=_count_rows(snapshot),
        ledger=snapshot_charts.ledger(snapshot), map=embedding_map(snapshot, points, heads),
        terms=TERMS, baselines=BASELINES, seed=projection.SEED,
    )  # fmt: skip


def _section(key: str, manifest: HeadManifest, evaluation: Evaluation) -> HeadSection:
    charts = head_charts(key, f"{manifest.head}@{manifest.version}", evaluation)
    return HeadSection(key, manifest, evaluation, {each.key.removeprefix(f"{key}-"): each for each in charts})


def _by_split(snapshot: Manifest) -> dict[str, int]:
    return {split: sum(each.row_count for each in snapshot.counts if each.split == split) for split in SPLITS}


def _count_rows(snapshot: Manifest) -> list[tuple[str, list[int]]]:
    """A label and its rows by split."""
    table: dict[Any, int] = {(each.split, each.label): each.row_count for each in snapshot.counts}
    return [
        (label or "any number", [table.get((split, label), 0) for split in SPLITS])
        for label in snapshot_charts.labels(snapshot)
    ]


def _put(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise UserError(f"The page {path} cannot be written ({type(error).__name__}): name another file.") from None
