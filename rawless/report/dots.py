"""Draw metrics as dots with their intervals."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import plotly.graph_objects as go

from rawless.heads.metrics import Metric
from rawless.report.chart import escape_html
from rawless.report.terms import display_name


def dots(name: str, metrics: Sequence[Metric], positions: Sequence[float], colour: str, symbol: str) -> Any:
    """Return a trace with a dot and a line for each metric, at the given heights; an undefined one is left out."""
    finite = [isfinite(metric.value) for metric in metrics]
    intervals = {
        "type": "data", "symmetric": False, "thickness": 2, "width": 4, "color": colour,
        "array": [metric.high - metric.value if ok else 0 for metric, ok in zip(metrics, finite, strict=True)],
        "arrayminus": [metric.value - metric.low if ok else 0 for metric, ok in zip(metrics, finite, strict=True)],
    }  # fmt: skip
    return go.Scatter(
        name=escape_html(name), mode="markers", y=list(positions), error_x=intervals,
        x=[metric.value if ok else None for metric, ok in zip(metrics, finite, strict=True)],
        marker={"color": colour, "symbol": symbol, "size": 10},
        text=[escape_html(f"{name}: {display_name(metric.name)} {metric}") for metric in metrics],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
