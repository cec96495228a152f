"""The map of a snapshot's embeddings: rows, their places in each projection, and layers that colour them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from rawless.datasets.snapshots import Manifest
from rawless.heads.artefact import HeadManifest
from rawless.heads.evaluation import Evaluation
from rawless.report.chart import GREY, PALETTE, SKY, SPLIT_COLOURS, SYMBOLS, VERMILION, Chart, figure, plain
from rawless.report.projection import Points

Judged = tuple[HeadManifest, Evaluation]
MOST_GROUPS = 14
"""Labels with a colour and symbol of their own; the rarer ones share grey."""
OTHERS = "others"
WRONG, RIGHT, MAYBE, UNJUDGED = "wrong", "right", "right, or not listed", "not in test"


@dataclass(frozen=True)
class Group:
    """Points that look alike: how, and which."""

    name: str
    places: Sequence[int]
    marker: dict[str, Any]
    is_named: bool = True


@dataclass(frozen=True)
class Colouring:
    """What the map is coloured by, and the groups that this makes."""

    name: str
    groups: tuple[Group, ...]


def embedding_map(snapshot: Manifest, points: Points, judged: Sequence[Judged]) -> Chart | None:
    """None for a snapshot without rows. Heads that were trained on another snapshot say nothing here."""
    if not len(points):
        return None
    fitting = [each for each in judged if each[0].snapshot_id == snapshot.snapshot_id and each[1].confusion]
    traces = [
        _layer(colouring, group) for colouring in _colourings(snapshot, points, fitting) for group in colouring.groups
    ]
    rows = {
        "hover": _hover(points, fitting),
        "places": {each.name: each.places.T.round(3).tolist() for each in points.projections},
    }
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    legend = {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top", "itemsizing": "constant"}
    made = figure(traces, 620, xaxis=bare, yaxis=bare, legend=legend, hovermode="closest", dragmode="zoom", meta=rows)
    drawn = f"{len(points):,} of {points.there:,} rows" if len(points) < points.there else f"all {len(points):,} rows"
    return Chart(
        "map", "Map of the embeddings", f"Scatter plot of {drawn}, placed by their embeddings and coloured by group.",
        "Each point is a row; rows with like embeddings lie near each other. Hover or tap for its id, label and "
        "split, and for what the heads say of it.",
        "Groups of one colour, which a head can tell; points of one colour inside another, which may be mislabelled; "
        "a split that lies apart from the others.",
        made,
    )  # fmt: skip


def _layer(colouring: Colouring, group: Group) -> Any:
    """Without places and texts, which the page fills in from the rows that it names."""
    return go.Scatter(
        mode="markers", name=plain(group.name), marker=group.marker, hovertemplate="%{text}<extra></extra>",
        showlegend=group.is_named, visible=False, meta={"colour": colouring.name, "rows": list(group.places)},
    )  # fmt: skip


def _hover(points: Points, judged: Sequence[Judged]) -> list[str]:
    lines = [
        [f"<b>{plain(each)}</b>", f"label: {plain(_said(label))}", f"split: {plain(split)}"]
        for each, label, split in zip(points.ids, points.labels, points.splits, strict=True)
    ]
    for manifest, evaluation in judged:
        predicted = {each.event_id: each.predicted for each in evaluation.mistakes}
        for place, outcome in enumerate(_outcomes(points, evaluation)):
            label = predicted.get(points.ids[place], points.labels[place])
            if outcome in (WRONG, RIGHT):
                lines[place].append(plain(f"{manifest.head}@{manifest.version} says: {label} ({outcome})"))
    return ["<br>".join(each) for each in lines]


def _said(label: Any) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def _outcomes(points: Points, evaluation: Evaluation) -> list[str]:
    """Of each point; a head's list of mistakes may be cut, and then what is not on it may be one."""
    listed = {each.event_id for each in evaluation.mistakes}
    mistakes = sum(count for n, row in enumerate(evaluation.confusion) for m, count in enumerate(row) if n != m)
    otherwise = RIGHT if mistakes == len(listed) else MAYBE
    return [
        UNJUDGED if split != "test" else WRONG if each in listed else otherwise
        for each, split in zip(points.ids, points.splits, strict=True)
    ]


def _colourings(snapshot: Manifest, points: Points, judged: Sequence[Judged]) -> Iterator[Colouring]:
    if snapshot.is_number:
        yield Colouring("label", (_scale(points),))
    else:
        yield _by("label", points.labels, _ranked(points.labels, snapshot.classes))
    yield _by("split", points.splits, {name: {"color": colour} for name, colour in SPLIT_COLOURS.items()})
    for manifest, evaluation in judged:
        yield _by(f"errors of {manifest.head}@{manifest.version}", _outcomes(points, evaluation), _ERRORS)
    yield _by("encoder", points.encoders, _ranked(points.encoders, ()))


_ERRORS: dict[str, dict[str, Any]] = {  # what is drawn later lies on top
    UNJUDGED: {"color": GREY, "opacity": 0.25, "size": 5},
    RIGHT: {"color": SKY},
    MAYBE: {"color": SKY},
    WRONG: {"color": VERMILION, "symbol": "x", "size": 10},
}


def _by(name: str, values: Sequence[str], looks: dict[str, dict[str, Any]]) -> Colouring:
    """Groups in the order of their looks; values without one are the others."""
    kinds = [value if value in looks else OTHERS for value in values]
    counted = Counter(kinds)
    groups = [
        Group(f"{kind} ({counted[kind]:,})", [n for n, each in enumerate(kinds) if each == kind], _marker(look))
        for kind, look in ({OTHERS: {"color": GREY, "opacity": 0.4}} | looks).items()
        if counted[kind]
    ]
    return Colouring(name, tuple(groups))


def _ranked(values: Sequence[str], order: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Looks for the most frequent values, in the given order."""
    frequent = [value for value, _ in Counter(values).most_common(MOST_GROUPS)]
    rank: Callable[[str], tuple[int, str]] = lambda value: (order.index(value) if value in order else len(order), value)  # noqa: E731
    return {
        value: {"color": PALETTE[n % len(PALETTE)], "symbol": SYMBOLS[(n // len(PALETTE)) % len(SYMBOLS)]}
        for n, value in enumerate(sorted(frequent, key=rank))
    }


def _scale(points: Points) -> Group:
    bar = {"title": {"text": "label"}, "thickness": 12, "outlinewidth": 0}
    marker = {"color": list(points.labels), "colorscale": "Cividis", "showscale": True, "colorbar": bar}
    return Group("label", range(len(points)), _marker(marker), is_named=False)


def _marker(look: dict[str, Any]) -> dict[str, Any]:
    return {"size": 7, "opacity": 0.8, "line": {"width": 0.5, "color": "rgba(128,128,128,.6)"}} | look
