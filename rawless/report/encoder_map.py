"""Draw how two encoders place the same events: both maps, with lines between neighbours that moved apart.

The drawing contains positions on a plane and nothing of an event, neither its id nor its person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from rawless.lifecycle.encoder_comparison import EncoderComparison
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.lifecycle.space_measures import rotation_between
from rawless.report.chart import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Chart, escape_html, figure, templates
from rawless.report.document import template, write_document
from rawless.report.projection import project
from rawless.report.svg import opening, text

MAX_POINTS = 1_500
MAX_LINES = 60
FAR = (0.5, 99.5)
"""Percentiles of coordinates beyond which points are drawn at the border."""
_SCALE = (PURPLE, BLUE, SKY, GREEN, ORANGE)
"""Colours of points from the left to the right of the first map."""
_WIDTH, _HEIGHT, _MARGIN, _TOP = 1_100, 620, 24, 84
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Maps:
    """Both maps by one projection, at one scale and turned so that they can be compared."""

    projection: str
    first: Array
    """Of shape (points, 2)."""
    second: Array
    lines: Sequence[tuple[int, int]]
    """Points that are nearest neighbours by the first encoder, and moved apart by the second."""
    colours: Sequence[str]


def maps(found: EncoderComparison, vectors: PairedVectors) -> list[Maps]:
    """Return the maps of a sample of the events by each projection."""
    pairs = list(dict.fromkeys(tuple(sorted((each.event, each.neighbour))) for each in found.space.moved))[:MAX_LINES]
    ends = {end for pair in pairs for end in pair}
    shown = sorted({*ends, *range(min(len(vectors), MAX_POINTS))})
    places = {event: place for place, event in enumerate(shown)}
    lines = [(places[one], places[other]) for one, other in pairs]
    sides = [project(side[shown].astype(np.float64)) for side in (vectors.first, vectors.second)]
    drawn = []
    for one, other in zip(*sides, strict=True):
        first, second = _standard(one.positions), _standard(other.positions)
        second = second @ rotation_between(second.astype(np.float32), first.astype(np.float32))
        drawn.append(Maps(one.name, first, second, lines, _colours(first[:, 0])))
    return drawn


def _standard(positions: Array) -> Array:
    """Return positions around zero with a mean square of one, and those far away from all others at the border."""
    low, high = np.percentile(positions, FAR, axis=0)
    centred: Array = np.clip(positions, low, high)
    centred -= centred.mean(0)
    centred /= max(float(np.sqrt((centred**2).mean())), 1e-12)
    return centred


def _colours(values: Array) -> list[str]:
    """Return a colour for each value by its rank."""
    ranks = np.argsort(np.argsort(values)) / max(len(values), 1)
    return [_SCALE[int(rank * len(_SCALE))] for rank in ranks]


def write(found: EncoderComparison, vectors: PairedVectors, path: Path) -> None:
    """Write the drawing as a page or as SVG, by the file's suffix, readable by its owner only. Raises UserError."""
    drawn = maps(found, vectors)
    write_document(path, svg(found, drawn[0]) if path.suffix == ".svg" else render(found, drawn))


def render(found: EncoderComparison, drawn: Sequence[Maps]) -> str:
    """Return the comparison with both maps as HTML."""
    return template("encoder_map.html.j2").render(
        found=found, charts=[chart(found, each) for each in drawn], templates=templates(),
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )  # fmt: skip


def chart(found: EncoderComparison, drawn: Maps) -> Chart:
    """Return both maps side by side."""
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    limits = [1.05 * float(np.abs(side).max()) for side in (drawn.first, drawn.second)]
    axes: dict[str, Any] = {}
    for n, (low, high, limit) in enumerate(((0, 0.49, limits[0]), (0.51, 1, limits[1])), 1):
        axes[f"xaxis{n}"] = bare | {"domain": [low, high], "range": [-limit, limit], "anchor": f"y{n}"}
        axes[f"yaxis{n}"] = bare | {"range": [-limit, limit], "anchor": f"x{n}", "scaleanchor": f"x{n}"}
    titles = [
        {"text": escape_html(name), "x": x, "y": 1, "xref": "paper", "yref": "paper", "showarrow": False,
         "yanchor": "bottom"}
        for name, x in ((found.first.ref, 0.245), (found.second.ref, 0.755))
    ]  # fmt: skip
    traces: list[Any] = []
    for n, positions in enumerate((drawn.first, drawn.second), 1):
        points = positions.round(3)
        marker = {"size": 5, "opacity": 0.7, "color": list(drawn.colours)}
        traces.append(
            go.Scatter(x=points[:, 0].tolist(), y=points[:, 1].tolist(), mode="markers", marker=marker,
                         hoverinfo="skip", showlegend=False, xaxis=f"x{n}", yaxis=f"y{n}")
        )  # fmt: skip
        x, y = ([point for one, other in drawn.lines for point in (points[one, axis], points[other, axis], None)]
                for axis in (0, 1))  # fmt: skip
        traces.append(
            go.Scatter(x=x, y=y, mode="lines", line={"color": VERMILION, "width": 1}, hoverinfo="skip",
                       showlegend=False, xaxis=f"x{n}", yaxis=f"y{n}")
        )  # fmt: skip
    names = f"{found.first.ref} and {found.second.ref}"
    return Chart(
        f"maps-{drawn.projection.lower()}", f"Both maps by {drawn.projection}",
        f"Two scatter plots of the same {len(drawn.first):,} events by {names}.",
        "Each point is an event, at its place by either encoder, in the colour of its place in the left map. The right "
        "map is turned, reflected and scaled so that it is nearest to the left one. A line joins an event and its "
        f"nearest neighbour by {found.first.ref}, for those from which {found.second.ref} moved it away most. Points "
        "far away from all others are at the border.",
        "Colours that stay together, so that the spaces agree; long lines in the right map that go from one group to "
        "another, which are neighbours that search would no longer find.",
        figure(traces, 560, annotations=titles, margin={"l": 8, "r": 8, "t": 32, "b": 8}, **axes),
    )  # fmt: skip


def svg(found: EncoderComparison, drawn: Maps) -> str:
    """Return both maps as SVG, which needs no script."""
    panel = (_WIDTH - 3 * _MARGIN) / 2
    room = min(panel, _HEIGHT - _TOP - _MARGIN) / 2.1
    title = f"{found.first.ref} and {found.second.ref}: the same events, by {drawn.projection}"
    parts = [
        opening(title, _WIDTH, _HEIGHT),
        text(_MARGIN, 28, title, 16),
        text(
            _MARGIN, 48, "Colours are places in the left map. Lines join nearest neighbours there that moved away most."
        ),
    ]
    for n, (name, positions) in enumerate(((found.first.ref, drawn.first), (found.second.ref, drawn.second))):
        centre = np.array([_MARGIN + panel / 2 + n * (panel + _MARGIN), _TOP + (_HEIGHT - _TOP - _MARGIN) / 2])
        places = (centre + room / np.abs(positions).max() * positions * [1, -1]).round(1).tolist()
        parts.append(text(centre[0] - panel / 2, _TOP - 12, name, 14))
        parts += [
            f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}" fill-opacity=".7"/>'
            for (x, y), colour in zip(places, drawn.colours, strict=True)
        ]
        parts += [
            '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="1"/>'.format(
                *places[one], *places[other], VERMILION
            )
            for one, other in drawn.lines
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
