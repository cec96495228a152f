"""Render and write the report on a snapshot and its heads, as one HTML file that loads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rawless.datasets.dropped_duplicates import DroppedPair
from rawless.datasets.snapshots import Manifest, batches
from rawless.datasets.spec import SPLITS
from rawless.heads.artefact import HeadManifest
from rawless.heads.class_metrics import MAX_CURVE_POINTS, ClassCurve, ClassMeasures
from rawless.heads.evaluation import Evaluation, Mistake, SuspectedMislabel
from rawless.report import projection, snapshot_charts
from rawless.report.chart import Chart, templates
from rawless.report.class_charts import SHOWN, curve_charts, curve_names
from rawless.report.comparison_chart import comparison_chart
from rawless.report.confusion import ConfusionTable, confusion_table
from rawless.report.document import template, write_document
from rawless.report.head_charts import head_charts
from rawless.report.map_chart import embedding_map
from rawless.report.terms import BASELINES, TERMS, display_name
from rawless.warehouse.client import Warehouse

if TYPE_CHECKING:
    from rawless.heads.head_comparison import ChangedRow, HeadComparison

MAX_LISTED = 25
"""Number of mistakes, of suspects and of changed rows of each kind that are listed."""


@dataclass(frozen=True)
class HeadSection:
    """The section of a report on one head."""

    key: str
    manifest: HeadManifest
    evaluation: Evaluation
    charts: dict[str, Chart]
    """The charts by the last part of their keys, such as `calibration`."""
    curves: Sequence[Chart]
    """The charts of single classes; none without stored curves."""

    @property
    def name(self) -> str:
        """The head's name and version."""
        return f"{self.manifest.head}@{self.manifest.version}"

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The mistakes that are listed."""
        return self.evaluation.mistakes[:MAX_LISTED]

    @property
    def suspects(self) -> tuple[SuspectedMislabel, ...]:
        """The suspects that are listed, the most suspect first."""
        return self.evaluation.suspects[:MAX_LISTED]

    @property
    def classes(self) -> list[tuple[ClassMeasures, ClassCurve | None]]:
        """The classes with their curves, those with the lowest F1 first."""
        curves = {curve.name: curve for curve in self.evaluation.curves}
        return [(each, curves.get(each.name)) for each in self.evaluation.class_measures]

    @property
    def curve_names(self) -> list[str]:
        """The classes whose curves are drawn, in the order of the chart."""
        return curve_names(self.evaluation)

    @property
    def curves_error(self) -> float:
        """By how much stored curves differ from the whole ones at most."""
        return max(curve.error for curve in self.evaluation.curves)

    @property
    def confusion(self) -> ConfusionTable | None:
        """The confusion matrix of a classifier."""
        return confusion_table(self.evaluation)


@dataclass(frozen=True)
class ComparisonSection:
    """The section of a report on two heads."""

    key: str
    found: "HeadComparison"
    chart: Chart | None

    @property
    def listed(self) -> "list[ChangedRow]":
        """The changed rows that are listed, some of each kind."""
        changes = self.found.changed or ()
        of_kind = ([row for row in changes if row.change == kind] for kind in ("fixed", "broken", "still wrong"))
        return [row for rows in of_kind for row in rows[:MAX_LISTED]]


def write(
    warehouse: Warehouse,
    snapshot: Manifest,
    heads: Sequence[tuple[HeadManifest, Evaluation]],
    path: Path,
    comparisons: "Sequence[HeadComparison]" = (),
    duplicates: Sequence[DroppedPair] | None = None,
) -> None:
    """Write the report to `path`, readable by its owner only (mode 0600), and replace an existing file.

    It contains ids, labels, splits and projected positions, but no vectors. Raises UserError if it cannot be written.
    """
    points = projection.points(snapshot, batches(warehouse, snapshot.snapshot_id))
    write_document(path, render(snapshot, points, heads, comparisons, duplicates))


def render(
    snapshot: Manifest,
    points: projection.Points,
    heads: Sequence[tuple[HeadManifest, Evaluation]],
    comparisons: "Sequence[HeadComparison]" = (),
    duplicates: Sequence[DroppedPair] | None = None,
) -> str:
    """Return the report as HTML. `duplicates` are the near duplicates that were left out, if they were searched."""
    compared = [
        ComparisonSection(f"compared-{n}", each, comparison_chart(f"compared-{n}", each))
        for n, each in enumerate(comparisons)
    ]
    sections = [_section(f"head-{n}", *head) for n, head in enumerate(heads)]
    return template("page.html.j2", display_name=display_name).render(
        snapshot=snapshot, points=points, heads=sections, splits=SPLITS, plotly=Markup(get_plotlyjs()),  # noqa: S704
        spec=snapshot.spec.get("spec", snapshot.spec), by_split=_by_split(snapshot), templates=templates(),
        counts=snapshot_charts.counts(snapshot), count_rows=_count_rows(snapshot),
        ledger=snapshot_charts.ledger(snapshot), map=embedding_map(snapshot, points, heads, comparisons),
        compared=compared, curves_shown=SHOWN, curve_points=MAX_CURVE_POINTS, duplicates=duplicates,
        max_listed=MAX_LISTED,
        terms=TERMS, baselines=BASELINES, seed=projection.SEED,
    )  # fmt: skip


def _section(key: str, manifest: HeadManifest, evaluation: Evaluation) -> HeadSection:
    charts = head_charts(key, f"{manifest.head}@{manifest.version}", evaluation)
    by_name = {chart.key.removeprefix(f"{key}-"): chart for chart in charts}
    return HeadSection(key, manifest, evaluation, by_name, list(curve_charts(key, evaluation)))


def _by_split(snapshot: Manifest) -> dict[str, int]:
    return {split: sum(count.row_count for count in snapshot.counts if count.split == split) for split in SPLITS}


def _count_rows(snapshot: Manifest) -> list[tuple[str, list[int]]]:
    """Return each label with its number of rows by split."""
    table: dict[Any, int] = {(count.split, count.label): count.row_count for count in snapshot.counts}
    return [
        (label or "any number", [table.get((split, label), 0) for split in SPLITS])
        for label in snapshot_charts.labels(snapshot)
    ]
