"""All checks of a tree's files, on one plan and the plan after its apply."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from terraform.checks import (
    access,
    audit,
    break_glass,
    denials,
    diagrams,
    functions,
    images,
    perimeter,
    plan,
    policies,
    request,
    rights,
    runbooks,
    second_plan,
    services,
    start,
    storage,
    tables,
)
from terraform.checks.plan import REPOSITORY, PlanError, Resource

DIAGRAMS = ("terraform/README.md", "docs/deploy.md")


def violations(tree: Path = REPOSITORY) -> Iterator[str]:
    """Every violation in the files of a tree, one sentence each."""
    yield from functions.violations(tree)
    try:
        resources = plan.make_plans(tree)
    except PlanError as error:
        yield f"Terraform cannot plan the files.\n{error}"
        return
    yield from plan_violations(tree, resources)
    yield from request.violations(resources)
    yield from second_plan.violations(tree)


def plan_violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Every violation in a plan, except in the jobs of its job files, which take seconds to render."""
    yield from tables.violations(tree, resources)
    yield from access.violations(tree, resources)
    yield from denials.violations(tree, resources)
    yield from break_glass.violations(resources)
    yield from images.violations(resources)
    yield from services.violations(resources)
    yield from storage.violations(resources)
    yield from perimeter.violations(resources)
    yield from start.violations(resources)
    yield from rights.violations(tree, resources)
    yield from audit.violations(resources)
    yield from policies.violations(resources)
    yield from runbooks.violations(tree, resources)
    for diagram in DIAGRAMS:
        yield from diagrams.violations(tree / diagram, resources)
