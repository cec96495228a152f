"""The arrows of the drawings: each is labelled with the block of terraform that it is."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks.plan import Resource

_DRAWING = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_ARROW = re.compile(r"^\s*(\w+)\s*-[-.]+>\s*\|\"?([\w.]+)\"?\|\s*(\w+)", re.MULTILINE)
_ANY_ARROW = re.compile(r"^.*-[-.]+>.*$", re.MULTILINE)


def arrows(path: Path) -> list[tuple[str, str, str]]:
    """Of a file's drawings, each arrow: from, the address that it is labelled with, to."""
    return [
        arrow for drawing in _DRAWING.findall(path.read_text(encoding="utf-8")) for arrow in _ARROW.findall(drawing)
    ]


def unlabelled(path: Path) -> list[str]:
    """Arrows that are labelled with no address."""
    drawings = _DRAWING.findall(path.read_text(encoding="utf-8"))
    return [line.strip() for drawing in drawings for line in _ANY_ARROW.findall(drawing) if not _ARROW.match(line)]


def faults(path: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Arrows that are nothing, and grants across the projects' border that are no arrow."""
    places = {each.place for each in resources}
    drawn = {address for _, address, _ in arrows(path)}
    yield from (f"{path.name} draws {address}, which terraform does not make" for address in sorted(drawn - places))
    yield from (f"{path.name} draws an arrow that names no resource: {line}" for line in unlabelled(path))
    if path.parent.name == "terraform":
        yield from (f"{path.name} does not draw {place}" for place in sorted(_crossing(resources) - drawn))


def _crossing(resources: Sequence[Resource]) -> set[str]:
    """Grants on one project's things to another project's accounts."""
    return {
        each.place
        for each in resources
        if each.place.startswith("module.warehouse.") and "@acme-production." in str(each.values.get("member"))
        if each.type == "google_bigquery_table_iam_member"
    }
