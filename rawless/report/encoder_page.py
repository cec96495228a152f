"""The report on an encoder, as one HTML page: its lineage, what changed between versions, and its drift."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rawless.errors import UserError
from rawless.lifecycle.drift.measure import measured_rows
from rawless.lifecycle.encoder_comparison import EncoderComparison, compare
from rawless.lifecycle.lineage import Lineage, Service, Version, lineage
from rawless.lifecycle.paired_vectors import paired_vectors
from rawless.report import encoder_map, lineage_chart
from rawless.report.chart import Chart, templates
from rawless.report.document import template, write_document
from rawless.report.drift_charts import Row, drift_charts
from rawless.warehouse.client import Warehouse

MAX_ROWS = 5_000
"""Events on which two versions are compared, unless a caller asks for another number."""


@dataclass(frozen=True)
class Compared:
    """Two versions on the events of a stream that carry both, or the reason why they are not compared."""

    before: str
    after: str
    stream: str
    found: EncoderComparison | None
    charts: tuple[Chart, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Drift:
    """What was measured of the drift of one version in one stream."""

    encoder: str
    stream: str
    rows: Sequence[Row]
    charts: Sequence[Chart]


@dataclass(frozen=True)
class EncoderReport:
    """All that the page says."""

    lineage: Lineage
    compared: tuple[Compared, ...]
    drift: tuple[Drift, ...]


def encoder_report(
    warehouse: Warehouse,
    name: str,
    heads: Path,
    services: Sequence[Service] = (),
    row_limit: int = MAX_ROWS,
    report_progress: Callable[[str], None] = lambda _: None,
) -> EncoderReport:
    """Return the report on the encoder with a name, whose heads are below `heads`. Raises UserError for an unknown one.

    Versions that follow each other are compared on at most `row_limit` events; on none if it is 0.
    """
    report_progress("reading")
    found = lineage(warehouse, name, services, datetime.now(UTC))
    versions = {version.spec.ref: version for version in found.versions}
    compared: list[Compared] = []
    for step in found.steps:
        before, after = versions[step.before], versions[step.after]
        streams = [each.stream for each in before.streams if each.stream in {other.stream for other in after.streams}]
        for stream in streams if row_limit else ():
            report_progress(f"comparing {step.before} and {step.after}")
            compared.append(_compare(warehouse, heads, before, after, stream, row_limit, len(compared)))
    drift = [part for version in found.versions for part in _drift(warehouse, version)]
    return EncoderReport(found, tuple(compared), tuple(drift))


def _compare(
    warehouse: Warehouse, heads: Path, before: Version, after: Version, stream: str, row_limit: int, number: int
) -> Compared:
    first, second = before.spec, after.spec
    try:
        vectors = paired_vectors(warehouse, stream, first, second, row_limit)
        found = compare(warehouse, heads, first, second, vectors)
    except UserError as error:
        return Compared(first.ref, second.ref, stream, None, reason=str(error))
    charts = [encoder_map.chart(found, each) for each in encoder_map.maps(found, vectors)]
    named = tuple(replace(chart, key=f"compared-{number}-{chart.key}") for chart in charts)
    return Compared(first.ref, second.ref, stream, found, named)


def _drift(warehouse: Warehouse, version: Version) -> list[Drift]:
    rows = measured_rows(warehouse, version.spec.fingerprint)
    parts = []
    for stream in sorted({row["stream"] for row in rows}):
        own = [row for row in rows if row["stream"] == stream]
        key = f"drift-{version.spec.fingerprint[:8]}-{stream}"
        parts.append(Drift(version.spec.ref, stream, own, drift_charts(key, own)))
    return parts


def write(report: EncoderReport, path: Path) -> None:
    """Write the page, readable by its owner only (mode 0600). Raises UserError if it cannot be written."""
    write_document(path, render(report))


def render(report: EncoderReport) -> str:
    """Return the page as HTML."""
    return template("encoder.html.j2").render(
        report=report, lineage=report.lineage, drawing=Markup(lineage_chart.draw(report.lineage)),  # noqa: S704
        relations=list(lineage_chart.relations_of(report.lineage)), kind_of=lineage_chart.kind_of,
        steps={step.after: step for step in report.lineage.steps}, templates=templates(),
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )  # fmt: skip
