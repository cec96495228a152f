"""Render and write the page of a stream's drift, as one HTML file that loads nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rawless.report.chart import templates
from rawless.report.document import template, write_document
from rawless.report.drift_charts import Row, drift_charts


def write(stream: str, measured: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Write the page of the rows of `drift_v1` by encoder, readable by its owner only. Raises UserError."""
    write_document(path, render(stream, measured))


def render(stream: str, measured: Mapping[str, Sequence[Row]]) -> str:
    """Return the page as HTML."""
    sections = [
        (encoder, rows, drift_charts(f"drift-{number}", rows))
        for number, (encoder, rows) in enumerate(measured.items())
    ]
    return template("drift.html.j2").render(
        stream=stream,
        sections=sections,
        templates=templates(),
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )
