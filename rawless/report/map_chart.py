"""Draw the map of a snapshot's embeddings: one point per row, in several projections and colourings."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rawless.datasets.snapshots import Manifest
from rawless.heads.artefact import HeadManifest
from rawless.heads.evaluation import Evaluation
from rawless.report.chart import (
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    SKY,
    SPLIT_COLOURS,
    SYMBOLS,
    VERMILION,
    Chart,
    escape_html,
    figure,
)
from rawless.report.projection import Points

if TYPE_CHECKING:
    from rawless.heads.head_comparison import HeadComparison

EvaluatedHead = tuple[HeadManifest, Evaluation]
MAX_GROUPS = 14
"""Number of labels with their own colour and symbol; rarer labels share grey."""
MAX_ATTRIBUTES = 12
"""Number of attributes by which the map is coloured."""
OTHERS, MISSING = "others", "not given"
WRONG, RIGHT, UNLISTED, UNTESTED = "wrong", "right", "right, or not listed", "not in test"
UNCHANGED = "the same answer"


@dataclass(frozen=True)
class Group:
    """Points with the same marker."""

    name: str
    rows: Sequence[int]
    """Indexes of the points."""
    marker: dict[str, Any]
    is_named: bool = True


@dataclass(frozen=True)
class Colouring:
    """A way to colour the map, and the groups of points that it produces."""

    name: str
    groups: tuple[Group, ...]


def embedding_map(
    snapshot: Manifest,
    points: Points,
    heads: Sequence[EvaluatedHead],
    comparisons: "Sequence[HeadComparison]" = (),
) -> Chart | None:
    """Return the map, or None for a snapshot without rows. Heads of other snapshots are ignored."""
    if not len(points):
        return None
    own = [
        (manifest, evaluation)
        for manifest, evaluation in heads
        if manifest.snapshot_id == snapshot.snapshot_id and evaluation.confusion
    ]
    colourings = [*_colourings(snapshot, points, own), *(_changes(points, each) for each in comparisons)]
    traces = [_layer(colouring, group) for colouring in colourings for group in colouring.groups]
    rows = {
        "ids": list(points.ids),
        "hover": _hover(points, own),
        "positions": {projection.name: projection.positions.T.round(3).tolist() for projection in points.projections},
    }
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    legend = {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top", "itemsizing": "constant"}
    chart = figure(traces, 620, xaxis=bare, yaxis=bare, legend=legend, hovermode="closest", dragmode="zoom", meta=rows)
    drawn = f"{len(points):,} of {points.total:,} rows" if len(points) < points.total else f"all {len(points):,} rows"
    return Chart(
        "map", "Map of the embeddings", f"Scatter plot of {drawn}, placed by their embeddings and coloured by group.",
        "Each point is a row; rows with similar embeddings are near each other. Hover or tap for its id, label, split, "
        "attributes and predictions.",
        "Groups of one colour, which a head can separate; points of one colour inside another group, which may be "
        "mislabelled; a split that is apart from the others.",
        chart,
    )  # fmt: skip


def _layer(colouring: Colouring, group: Group) -> Any:
    """Return a trace without positions and texts, which the page's script fills in from the rows."""
    return go.Scatter(
        mode="markers", name=escape_html(group.name), marker=group.marker, hovertemplate="%{text}<extra></extra>",
        showlegend=group.is_named, visible=False, meta={"colour": colouring.name, "rows": list(group.rows)},
    )  # fmt: skip


def _hover(points: Points, heads: Sequence[EvaluatedHead]) -> list[str]:
    lines = [
        [f"<b>{escape_html(event_id)}</b>", f"label: {escape_html(_label_text(label))}", f"split: {escape_html(split)}"]
        for event_id, label, split in zip(points.ids, points.labels, points.splits, strict=True)
    ]
    for name in _coloured_attributes(points):
        for row, value in enumerate(points.attributes[name]):
            lines[row].append(escape_html(f"{name}: {MISSING if value is None else value}"))
    for manifest, evaluation in heads:
        predicted = {mistake.event_id: mistake.predicted for mistake in evaluation.mistakes}
        for row, outcome in enumerate(_outcomes(points, evaluation)):
            label = predicted.get(points.ids[row], points.labels[row])
            if outcome in (WRONG, RIGHT):
                lines[row].append(escape_html(f"{manifest.head}@{manifest.version} predicts: {label} ({outcome})"))
    return ["<br>".join(parts) for parts in lines]


def _label_text(label: Any) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def _outcomes(points: Points, evaluation: Evaluation) -> list[str]:
    """Return each point's outcome. If the list of mistakes was cut, an unlisted row may be a mistake, too."""
    listed = {mistake.event_id for mistake in evaluation.mistakes}
    mistakes = sum(count for n, row in enumerate(evaluation.confusion) for m, count in enumerate(row) if n != m)
    otherwise = RIGHT if mistakes == len(listed) else UNLISTED
    return [
        UNTESTED if split != "test" else WRONG if event_id in listed else otherwise
        for event_id, split in zip(points.ids, points.splits, strict=True)
    ]


def _colourings(snapshot: Manifest, points: Points, heads: Sequence[EvaluatedHead]) -> Iterator[Colouring]:
    if snapshot.is_number:
        yield Colouring("label", (_scale(points),))
    else:
        yield _by("label", points.labels, _ranked(points.labels, snapshot.classes))
    yield _by("split", points.splits, {name: {"color": colour} for name, colour in SPLIT_COLOURS.items()})
    for manifest, evaluation in heads:
        yield _by(f"errors of {manifest.head}@{manifest.version}", _outcomes(points, evaluation), _ERRORS)
    if points.clusters:
        names = [cluster.name for cluster in points.clusters.found]
        yield _by("cluster", points.clusters.of_rows, _ranked(points.clusters.of_rows, names))
    for name in _coloured_attributes(points):
        values = [MISSING if value is None else value for value in points.attributes[name]]
        yield _by(f"attribute {name}", values, _ranked(values, ()))
    yield _by("encoder", points.encoders, _ranked(points.encoders, ()))


def _coloured_attributes(points: Points) -> list[str]:
    """Return the attributes by which the map is coloured: the first by name."""
    return sorted(points.attributes)[:MAX_ATTRIBUTES]


def _changes(points: Points, comparison: "HeadComparison") -> Colouring:
    """Return a colouring by what a second head changes on the test rows that were compared."""
    changed = {each.event_id: each.change for each in comparison.changed or ()}
    values = [
        changed.get(event_id, UNCHANGED) if split == "test" else UNTESTED
        for event_id, split in zip(points.ids, points.splits, strict=True)
    ]
    return _by(f"{comparison.first} to {comparison.second}", values, _CHANGES)


_CHANGES: dict[str, dict[str, Any]] = {
    UNTESTED: {"color": GREY, "opacity": 0.25, "size": 5},
    UNCHANGED: {"color": SKY, "opacity": 0.4},
    "still wrong": {"color": ORANGE, "symbol": "square", "size": 8},
    "fixed": {"color": GREEN, "symbol": "diamond", "size": 10},
    "broken": {"color": VERMILION, "symbol": "x", "size": 10},
}


_ERRORS: dict[str, dict[str, Any]] = {  # later groups are drawn on top
    UNTESTED: {"color": GREY, "opacity": 0.25, "size": 5},
    RIGHT: {"color": SKY},
    UNLISTED: {"color": SKY},
    WRONG: {"color": VERMILION, "symbol": "x", "size": 10},
}


def _by(name: str, values: Sequence[str], markers: dict[str, dict[str, Any]]) -> Colouring:
    """Group points by value, in the order of `markers`; values without a marker form the group "others"."""
    kinds = [value if value in markers else OTHERS for value in values]
    counted = Counter(kinds)
    groups = [
        Group(f"{kind} ({counted[kind]:,})", [n for n, other in enumerate(kinds) if other == kind], _marker(marker))
        for kind, marker in ({OTHERS: {"color": GREY, "opacity": 0.4}} | markers).items()
        if counted[kind]
    ]
    return Colouring(name, tuple(groups))


def _ranked(values: Sequence[str], order: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return markers for the most frequent values, in the given order."""
    frequent = [value for value, _ in Counter(values).most_common(MAX_GROUPS)]
    rank: Callable[[str], tuple[int, str]] = lambda value: (order.index(value) if value in order else len(order), value)  # noqa: E731
    return {
        value: {"color": PALETTE[n % len(PALETTE)], "symbol": SYMBOLS[(n // len(PALETTE)) % len(SYMBOLS)]}
        for n, value in enumerate(sorted(frequent, key=rank))
    }


def _scale(points: Points) -> Group:
    bar = {"title": {"text": "label"}, "thickness": 12, "outlinewidth": 0}
    marker = {"color": list(points.labels), "colorscale": "Cividis", "showscale": True, "colorbar": bar}
    return Group("label", range(len(points)), _marker(marker), is_named=False)


def _marker(style: dict[str, Any]) -> dict[str, Any]:
    return {"size": 7, "opacity": 0.8, "line": {"width": 0.5, "color": "rgba(128,128,128,.6)"}} | style
