"""A chart as the page takes it: a figure of plotly's, and the words that go with it."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

# Okabe and Ito, 'Color Universal Design' (2008): told apart with any kind of colour vision. Without their
# black, which a dark page would swallow; yellow comes last, since it is faint on white. Grey is for what is no group.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, YELLOW = "#56B4E9", "#CC79A7", "#8A8F98", "#F0E442"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
_LONGEST_TICK = 24


@dataclass(frozen=True)
class Chart:
    """A figure as JSON's types, and what is told beside it."""

    key: str
    """Of the element that it is drawn into."""
    title: str
    says: str
    """For those who cannot see it."""
    see: str
    """What it shows, in a sentence."""
    look: str
    """What to look for, in a sentence."""
    figure: dict[str, Any]

    @property
    def height(self) -> int:
        """In pixels; held free before it is drawn."""
        return int(self.figure["layout"]["height"])


def figure(traces: Sequence[Any], height: int, **layout: Any) -> dict[str, Any]:
    """A figure in JSON's types, without a template: the page has one for light and one for dark."""
    base = {"template": "none", "height": height, "dragmode": False, "margin": {"l": 8, "r": 16, "t": 12, "b": 8}}
    made: dict[str, Any] = json.loads(str(go.Figure(list(traces), base | layout).to_json()))
    del made["layout"]["template"]
    return made


def plain(text: str) -> str:
    """Text that plotly shows as it is: it reads some HTML in whatever it is given."""
    return html.escape(text, quote=False)


def tick(text: str) -> str:
    """Text beside an axis, its middle left out where a phone would have no room left for the chart."""
    half = _LONGEST_TICK // 2
    return plain(text if len(text) <= _LONGEST_TICK else f"{text[: half - 1]}…{text[-half:]}")


def rows_axis(labels: Sequence[str], **fields: Any) -> dict[str, Any]:
    """A vertical axis with a line for each label, the first on top; equal labels stay apart."""
    places = list(range(len(labels)))
    told = {"tickvals": places, "ticktext": [tick(each) for each in labels], "range": [len(labels) - 0.4, -0.6]}
    return told | {"showgrid": False, "zeroline": False, "fixedrange": True} | fields


def legend_above() -> dict[str, Any]:
    """A legend that takes no width."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"}


def templates() -> dict[str, Any]:
    """What every figure looks like on a light and on a dark page."""
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
