"""Charts: a plotly figure with its title and explanations, and the helpers to make them."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito, 'Color Universal Design' (2008): distinguishable with any kind of colour vision. Their black is left
# out, since it is invisible on a dark page; yellow comes last, since it is faint on white. Grey is for no group.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, YELLOW = "#56B4E9", "#CC79A7", "#8A8F98", "#F0E442"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
_LONGEST_TICK = 24


@dataclass(frozen=True)
class Chart:
    """A figure with its title and explanations."""

    key: str
    """The id of the element that it is drawn into."""
    title: str
    alt_text: str
    """A description for people who cannot see the chart."""
    shows: str
    """One or two sentences on what the chart shows."""
    look_for: str
    """One or two sentences on what to look for."""
    figure: dict[str, Any]
    """The plotly figure, as JSON types."""

    @property
    def height(self) -> int:
        """The height in pixels, which the page reserves before the chart is drawn."""
        return int(self.figure["layout"]["height"])


def figure(traces: Sequence[Any], height: int, **layout: Any) -> dict[str, Any]:
    """Return a plotly figure as JSON types, without a template: the page applies one for light or dark."""
    base = {"template": "none", "height": height, "dragmode": False, "margin": {"l": 8, "r": 16, "t": 12, "b": 8}}
    plotted: dict[str, Any] = json.loads(str(go.Figure(list(traces), base | layout).to_json()))
    del plotted["layout"]["template"]
    return plotted


def escape_html(text: str) -> str:
    """Escape text for plotly, which interprets some HTML in any text."""
    return html.escape(text, quote=False)


def tick_label(text: str) -> str:
    """Return an escaped axis label, shortened in the middle so that narrow screens have room."""
    half = _LONGEST_TICK // 2
    return escape_html(text if len(text) <= _LONGEST_TICK else f"{text[: half - 1]}…{text[-half:]}")


def rows_axis(labels: Sequence[str], **fields: Any) -> dict[str, Any]:
    """Return a vertical axis with one row per label, the first on top; equal labels get separate rows."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": [tick_label(label) for label in labels]}
    return (
        ticks
        | {"range": [len(labels) - 0.4, -0.6]}
        | {"showgrid": False, "zeroline": False, "fixedrange": True}
        | fields
    )


def legend_above() -> dict[str, Any]:
    """Return a horizontal legend above the chart."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"}


def templates() -> dict[str, Any]:
    """Return the plotly templates for the light and the dark page."""
    return {
        "light": _template("#334155", "#e2e8f0", "#ffffff", ("#eef2f7", BLUE)),
        "dark": _template("#cbd5e1", "#334155", "#1e293b", ("#26344a", SKY)),
    }


def _template(text: str, grid: str, card: str, heat: tuple[str, str]) -> dict[str, Any]:
    axis = {
        "gridcolor": grid,
        "zerolinecolor": grid,
        "linecolor": grid,
        "automargin": True,
        "tickangle": 0,
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    layout = {
        "font": {"color": text, "size": 13, "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": PALETTE,
        "xaxis": axis,
        "yaxis": axis,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": text, "activecolor": BLUE},
        "hoverlabel": {"bgcolor": card, "bordercolor": grid, "font": {"color": text}, "align": "left"},
    }
    return {"layout": layout, "data": {"heatmap": [{"colorscale": [[0, heat[0]], [1, heat[1]]]}]}}
