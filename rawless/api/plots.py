"""Charts of the reports as plotly figures, which a notebook draws and which can be changed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rawless.errors import UserError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from rawless.heads.evaluation import Evaluation
    from rawless.report.chart import Chart

HEAD_KEY = "head"
"""With which the keys of a head's charts begin."""
_CLASSES_WITH_COUNTS = 20
"""Classes up to which the cells of a confusion matrix have room for names and counts."""
_TITLE_PIXELS = 48
_PAPER = "#ffffff"
"""The colour behind a chart, whose template is that of the light page."""


def head_figures(name: str, evaluation: "Evaluation") -> Iterator["Chart"]:
    """Yield the charts of a head: its confusion matrix, those of the report, and the curves of its classes."""
    from rawless.report.class_charts import curve_charts
    from rawless.report.head_charts import head_charts

    yield from _confusion(evaluation)
    yield from head_charts(HEAD_KEY, name, evaluation)
    yield from curve_charts(HEAD_KEY, evaluation)


def _confusion(evaluation: "Evaluation") -> Iterator["Chart"]:
    """Yield the confusion matrix as a chart, which in the report is a table."""
    import plotly.graph_objects as go

    from rawless.report.chart import Chart, escape_html, tick_label
    from rawless.report.chart import figure as plotted
    from rawless.report.confusion import confusion_table

    found = confusion_table(evaluation)
    if found is None:
        return
    has_room = len(found.classes) <= _CLASSES_WITH_COUNTS
    cells = [line.cells for line in found.lines]
    heat = go.Heatmap(
        z=[[cell.share if cell else 0.0 for cell in line] for line in cells], zmin=0, zmax=1, showscale=False,
        text=[[f"{cell.rows:,}" if cell and has_room else "" for cell in line] for line in cells],
        customdata=[[escape_html(cell.description) if cell else "" for cell in line] for line in cells],
        texttemplate="%{text}", hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    ticks = {"tickvals": list(range(len(found.classes))), "ticktext": [tick_label(name) for name in found.classes]}
    axis = ticks | {"showgrid": False, "zeroline": False, "showticklabels": has_room, "title": {"text": "label"}}
    described = f"{found.correct:,} of {found.rows:,} test rows are predicted rightly."
    yield Chart(
        f"{HEAD_KEY}-confusion", "Confusion matrix", described, described, "",
        plotted([heat], max(26 * len(found.classes) + 130, 300) if has_room else 560,
                xaxis=axis | {"title": {"text": "predicted"}}, yaxis=axis | {"autorange": "reversed"}),
    )  # fmt: skip


def one_of(charts: Iterable["Chart"], kind: str | None, what: str) -> "go.Figure":
    """Return the figure of the chart whose key is `HEAD_KEY` and `kind`, by default of the most telling one.

    Raises UserError that names the kinds that there are.
    """
    found = {chart.key.removeprefix(f"{HEAD_KEY}-"): chart for chart in charts}
    if not found:
        raise UserError(f"{what} has no evaluation to draw: train it, or evaluate it on a snapshot.")
    chosen = kind or next((name for name in ("confusion", "measures") if name in found), next(iter(found)))
    if chosen not in found:
        raise UserError(f"{what} has no chart {chosen!r}: its charts are {', '.join(found)}.")
    return figure(found[chosen])


def figure(chart: "Chart") -> "go.Figure":
    """Return the figure of a chart with its title."""
    import plotly.graph_objects as go

    from rawless.report.chart import escape_html, templates

    drawn = go.Figure(chart.figure)
    margin = drawn.layout.margin
    drawn.update_layout(
        template=templates()["light"],
        paper_bgcolor=_PAPER,
        plot_bgcolor=_PAPER,
        title={"text": escape_html(chart.title), "x": 0, "xref": "paper", "y": 1, "yanchor": "top", "pad": {"t": 12}},
        height=chart.height + _TITLE_PIXELS,
        margin={"t": (margin.t or 0) + _TITLE_PIXELS},
    )
    return drawn


def map_figure(chart: "Chart", colour: str | None, projection: str | None) -> "go.Figure":
    """Return the map in one projection and colouring, by default the first ones. Raises UserError."""
    drawn = figure(chart)
    rows: dict[str, Any] = drawn.layout.meta
    colours = list(dict.fromkeys(trace.meta["colour"] for trace in drawn.data))
    colour = _chosen(colour, colours, "colouring")
    positions = rows["positions"][_chosen(projection, list(rows["positions"]), "projection")]
    drawn.data = [trace for trace in drawn.data if trace.meta["colour"] == colour]
    for trace in drawn.data:
        own = trace.meta["rows"]
        x, y = ([axis[row] for row in own] for axis in positions)
        trace.update(x=x, y=y, text=[rows["hover"][row] for row in own], visible=True, meta=None)
    drawn.update_layout(meta=None)
    return drawn


def _chosen(name: str | None, names: Sequence[str], what: str) -> str:
    if name is not None and name not in names:
        raise UserError(f"The map has no {what} {name!r}: choose among {', '.join(names)}.")
    return name or names[0]
