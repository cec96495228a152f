"""Every check of a tree's files, of one plan."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks import access, arrows, functions, plan, request, runbooks, storage, tables
from terraform.checks.plan import REPOSITORY, Refused, Resource

DRAWINGS = ("terraform/README.md", "docs/deploy.md")


def faults(tree: Path = REPOSITORY) -> Iterator[str]:
    """What is wrong, in sentences."""
    yield from functions.faults(tree)
    try:
        resources = plan.planned(tree)
    except Refused as error:
        yield f"Terraform refuses the files.\n{error}"
        return
    yield from planned_faults(tree, resources)
    yield from request.faults(resources)


def planned_faults(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """What is wrong with what would be made, but for the requests of the jobs, which take seconds to look at."""
    yield from tables.faults(tree, resources)
    yield from access.faults(tree, resources)
    yield from storage.faults(resources)
    yield from runbooks.faults(tree, resources)
    for drawing in DRAWINGS:
        yield from arrows.faults(tree / drawing, resources)
