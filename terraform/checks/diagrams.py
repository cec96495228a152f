"""The arrows of the Mermaid diagrams, each of which must name an existing Terraform block."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks.plan import Resource

_DIAGRAM = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_ARROW = re.compile(r"^\s*(\w+)\s*-[-.]+>\s*\|\"?([\w.]+)\"?\|\s*(\w+)", re.MULTILINE)
_ANY_ARROW = re.compile(r"^.*-[-.]+>.*$", re.MULTILINE)


def arrows(path: Path) -> list[tuple[str, str, str]]:
    """The arrows in a file's diagrams, as (origin, label, target)."""
    diagrams = _DIAGRAM.findall(path.read_text(encoding="utf-8"))
    return [arrow for diagram in diagrams for arrow in _ARROW.findall(diagram)]


def unlabelled_arrows(path: Path) -> list[str]:
    """The arrows in a file's diagrams that are not labelled with an address."""
    diagrams = _DIAGRAM.findall(path.read_text(encoding="utf-8"))
    return [line.strip() for diagram in diagrams for line in _ANY_ARROW.findall(diagram) if not _ARROW.match(line)]


def violations(path: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Arrows without a resource and, in the complete diagram, cross-project grants without an arrow."""
    blocks = {resource.block for resource in resources}
    labels = {label for _, label, _ in arrows(path)}
    yield from (f"{path.name} shows {label}, which is not in the plan" for label in sorted(labels - blocks))
    yield from (f"{path.name} has an arrow that names no resource: {line}" for line in unlabelled_arrows(path))
    if path.parent.name == "terraform":
        yield from (f"{path.name} does not show {block}" for block in sorted(_cross_project_grants(resources) - labels))


def _cross_project_grants(resources: Sequence[Resource]) -> set[str]:
    """The blocks that grant a role in the warehouse project to an account of the production project."""
    return {
        resource.block
        for resource in resources
        if resource.block.startswith("module.warehouse.")
        if resource.type == "google_bigquery_table_iam_member"
        if "@acme-production." in str(resource.values.get("member"))
    }
