"""Draw the drift of an encoder over time: every metric relative to its threshold, and each metric for itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from rawless.lifecycle.drift.metrics import METRICS
from rawless.report.chart import BLUE, GREY, VERMILION, Chart, figure, legend_above, rows_axis

Row = Mapping[str, Any]
"""A row of `drift_v1`."""


def drift_charts(key: str, rows: Sequence[Row]) -> list[Chart]:
    """Return the charts of one encoder of one stream, none without rows. Their keys begin with `key`."""
    if not rows:
        return []
    codes = [code for code in METRICS if any(row["metric"] == code for row in rows)]
    return [_overview(key, codes, rows), *(_metric(key, code, rows) for code in codes)]


def _overview(key: str, codes: Sequence[str], rows: Sequence[Row]) -> Chart:
    days = sorted({row["start_at"] for row in rows})
    parts = {(row["metric"], row["start_at"]): row for row in rows}
    alarms = sum(_is_alarm(row) for row in rows)
    cells = [[parts.get((code, day)) for day in days] for code in codes]
    heat = go.Heatmap(
        x=[_day(day) for day in days], y=list(range(len(codes))), xgap=1, ygap=1, zmin=0, zmax=2,
        z=[[None if row is None else _share(row) for row in line] for line in cells],
        colorscale=[[0, "#e2e8f0"], [0.499, BLUE], [0.5, VERMILION], [1, "#7f1d1d"]],
        customdata=[["" if row is None else _words(row) for row in line] for line in cells],
        hovertemplate="%{customdata}<extra></extra>",
        colorbar={"title": {"text": "value / threshold"}, "tickvals": [0, 1, 2], "ticktext": ["0", "1", "2 and more"]},
    )  # fmt: skip
    return Chart(
        f"{key}-overview", "All metrics", f"Heat map: {alarms} of {len(rows)} values are above their thresholds.",
        "Each cell is a metric of one window, as a part of its threshold: blue is below, red is above.",
        "Columns with several red cells, which are a change of the content; a red row, which is one property of it; a "
        "row that becomes darker from day to day.",
        figure([heat], 60 + 34 * len(codes), yaxis=rows_axis(codes), xaxis={"type": "date", "fixedrange": True}),
    )  # fmt: skip


def _metric(key: str, code: str, rows: Sequence[Row]) -> Chart:
    own = sorted((row for row in rows if row["metric"] == code), key=lambda row: row["start_at"])
    days = [_day(row["start_at"]) for row in own]
    alarms = [row for row in own if _is_alarm(row)]
    traces = [
        go.Scatter(name="threshold", x=days, y=[row["threshold"] for row in own], mode="lines", hoverinfo="skip",
                   line={"color": GREY, "width": 1.5, "dash": "dash", "shape": "hvh"}),
        go.Scatter(name="value", x=days, y=[row["value"] for row in own], mode="lines+markers",
                   line={"color": BLUE, "width": 1.5}, text=[_words(row) for row in own],
                   hovertemplate="%{text}<extra></extra>"),
        go.Scatter(name="drift", x=[_day(row["start_at"]) for row in alarms], y=[row["value"] for row in alarms],
                   mode="markers", marker={"color": VERMILION, "symbol": "diamond", "size": 11}, hoverinfo="skip"),
    ]  # fmt: skip
    last = own[-1]
    return Chart(
        f"{key}-{code}", code, f"Line over {len(own)} windows, {len(alarms)} of them above the threshold; the last is "
        f"{last['value']:.3g}, its threshold {last['threshold']:.3g}.",
        f"The {METRICS[code].meaning}, for each window, and the threshold above which it is drift.",
        "Red diamonds; values that approach the threshold over many windows.",
        figure(traces, 260, xaxis={"type": "date", "fixedrange": True},
               yaxis={"rangemode": "tozero", "fixedrange": True}, legend=legend_above()),
    )  # fmt: skip


def _is_alarm(row: Row) -> bool:
    return bool(row["value"] > row["threshold"])


def _share(row: Row) -> float:
    """Return the value as a part of the threshold, at most 2; below 1 unless it is an alarm."""
    share = float(row["value"] / row["threshold"]) if row["threshold"] else 0.0
    return min(2.0, max(1.0, share)) if _is_alarm(row) else min(0.99, share)


def _day(at: Any) -> str:
    return f"{at:%Y-%m-%d}"


def _words(row: Row) -> str:
    return (
        f"{row['metric']}, {_day(row['start_at'])}: {row['value']:.4g}, threshold {row['threshold']:.4g}, "
        f"{row['row_count']:,} rows"
    )
