"""A drawing of an encoder's lineage as SVG: versions, and from left to right what depends on each of them."""

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from rawless.lifecycle.lineage import Lineage, Version
from rawless.quantities import counted
from rawless.report.svg import GREY, opening, text

COLUMNS = ("encoders", "streams", "datasets", "heads", "services")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito, 'Color Universal Design' (2008): distinguishable with any kind of colour vision."""
_COLUMN, _BOX, _ROW, _HEIGHT, _TOP, _LEFT = 236, 176, 62, 44, 56, 90
_LONGEST = 26
"""Characters of a box's title."""
_BEND = 60


class _Box(NamedTuple):
    x: float
    y: float
    title: str
    detail: str
    colour: str


class _Edge(NamedTuple):
    start: _Box
    end: _Box
    colour: str
    label: str


class _Graph:
    """Boxes by column, each at the next free place from the top, and the edges between them."""

    def __init__(self, lineage: Lineage) -> None:
        self.columns: list[dict[str, _Box]] = [{} for _ in COLUMNS]
        self.edges: list[_Edge] = []
        for number, version in enumerate(lineage.versions):
            self._add(version, _COLOURS[number % len(_COLOURS)])

    def box(self, column: int, key: str, title: str, detail: str, colour: str = GREY) -> _Box:
        """Return the box with this key, which is added where there is none."""
        boxes = self.columns[column]
        return boxes.setdefault(key, _Box(_LEFT + _COLUMN * column, _TOP + _ROW * len(boxes), title, detail, colour))

    def _add(self, version: Version, colour: str) -> None:
        ref = version.spec.ref
        encoder = self.box(0, ref, ref, kind_of(version), colour)
        streams, datasets, heads = {}, {}, {}
        for rows in version.streams:
            role = version.roles.get(rows.stream)
            streams[rows.stream] = self.box(1, rows.stream, rows.stream, "stream")
            label = f"{rows.row_count:,} rows{f', {role}' if role else ''}"
            self.edges.append(_Edge(encoder, streams[rows.stream], colour, label))
        for used in version.datasets:
            box = self.box(2, f"{ref} {used.dataset}", used.dataset, counted(len(used.snapshots), "snapshot"), colour)
            datasets[used.dataset] = box
            self.edges.append(_Edge(streams.get(used.stream, encoder), box, colour, ""))
        for head in version.heads:
            title, detail = f"{head.head}@{head.versions[0]}", counted(len(head.versions), "version")
            heads[head.head] = self.box(3, f"{ref} {head.head}", title, detail, colour)
            starts = [datasets[name] for name in head.datasets if name in datasets] or [encoder]
            self.edges += [_Edge(start, heads[head.head], colour, "") for start in starts]
        for service, called in version.services:
            end = self.box(4, service, service, "service")
            self.edges.append(_Edge(heads.get(called.partition("@")[0], encoder), end, colour, ""))


def draw(lineage: Lineage) -> str:
    """Return the drawing. An edge has the colour of the encoder whose vectors it stands for."""
    graph = _Graph(lineage)
    width = _LEFT + _COLUMN * (len(COLUMNS) - 1) + _BOX + 16
    height = _TOP + _ROW * max(1, *map(len, graph.columns))
    parts = [opening(f"Lineage of {lineage.name}", width, height)]
    parts += [text(_LEFT + _COLUMN * column, 30, name, size=13) for column, name in enumerate(COLUMNS)]
    parts += [_curve(edge) for edge in graph.edges]
    for before, after, relation in lineage.relations:
        parts.append(_relation(graph.columns[0][before], graph.columns[0][after], relation))
    for boxes in graph.columns:
        parts += [_drawn(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def kind_of(version: Version) -> str:
    """Return what an encoder is, in a word or two."""
    spec = version.spec
    if spec.adapter:
        return "adapter"
    if spec.queries_of:
        return "query tower"
    return f"{spec.architecture}, {spec.dimension} components"


def relations_of(lineage: Lineage) -> Iterator[str]:
    """Yield a sentence for each relation between two encoders."""
    sentences = {
        "parent": "{1} was made of {0}.",
        "adapter source": "{1} maps vectors of {0}.",
        "adapter target": "{1} maps into the space of {0}.",
        "documents": "{1} encodes queries for documents of {0}.",
    }
    return (sentences[relation].format(before, after) for before, after, relation in lineage.relations)


def _curve(edge: _Edge) -> str:
    x0, y0, x1, y1 = edge.start.x + _BOX, edge.start.y + _HEIGHT / 2, edge.end.x, edge.end.y + _HEIGHT / 2
    path = f"M{x0} {y0} C{x0 + _BEND} {y0} {x1 - _BEND} {y1} {x1} {y1}"
    title = f"<title>{escape(edge.label)}</title>" if edge.label else ""
    return f'<path d="{path}" fill="none" stroke="{edge.colour}" stroke-width="2" opacity="0.75">{title}</path>'


def _relation(start: _Box, end: _Box, relation: str) -> str:
    """Return a line at the left of two encoders, from the one to the one that was made of it."""
    y0, y1 = start.y + _HEIGHT / 2, end.y + _HEIGHT / 2
    far = _LEFT - min(30 + abs(y1 - y0) / 5, _LEFT - 12)
    path = f"M{_LEFT} {y0} C{far} {y0} {far} {y1} {_LEFT} {y1}"
    return (
        f'<path d="{path}" fill="none" stroke="{GREY}" stroke-dasharray="5 4"><title>{escape(relation)}</title></path>'
        f'<circle cx="{_LEFT}" cy="{y1}" r="3" fill="{GREY}"/>'
    )


def _drawn(box: _Box) -> str:
    title = box.title if len(box.title) <= _LONGEST else f"{box.title[: _LONGEST - 1]}…"
    return (
        f'<g><title>{escape(box.title)}</title><rect x="{box.x}" y="{box.y}" width="{_BOX}" height="{_HEIGHT}" rx="6" '
        f'fill="#fff" stroke="{box.colour}" stroke-width="1.5"/>{text(box.x + 10, box.y + 19, title)}'
        f"{text(box.x + 10, box.y + 35, box.detail, size=11)}</g>"
    )
