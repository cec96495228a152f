"""All checks of a tree's files, on one plan."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from terraform.checks import (
    access,
    audit,
    break_glass,
    denials,
    deployment,
    diagrams,
    functions,
    images,
    perimeter,
    plan,
    policies,
    request,
    runbooks,
    storage,
    tables,
)
from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import REPOSITORY, PlanError, Resource

DIAGRAMS = ("terraform/README.md", "docs/deploy.md")


def violations(tree: Path = REPOSITORY) -> Iterator[str]:
    """Every violation in the files of a tree, one sentence each."""
    yield from functions.violations(tree)
    try:
        resources = plan.make_plan(tree)
    except PlanError as error:
        yield f"Terraform cannot plan the files.\n{error}"
        return
    yield from plan_violations(tree, resources)
    yield from request.violations(resources)


def plan_violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Every violation in a plan, except in the requests of the jobs, which take seconds to render."""
    for found in _of_any_deployment(tree, resources, EXAMPLE).values():
        yield from found
    yield from runbooks.violations(tree, resources)
    for diagram in DIAGRAMS:
        yield from diagrams.violations(tree / diagram, resources)


def _of_any_deployment(tree: Path, resources: Sequence[Resource], names: Deployment) -> dict[str, Iterator[str]]:
    """The violations that the plan of any deployment can have, by the subject of their check."""
    return {
        "tables": tables.violations(tree, resources),
        "grants": access.violations(tree, resources, names),
        "denials": denials.violations(tree, resources, names),
        "break-glass": break_glass.violations(resources),
        "images of services": images.violations(resources),
        "storage and keys": storage.violations(resources),
        "perimeters": perimeter.violations(resources),
        "audit logs": audit.violations(resources),
        "policies": policies.violations(resources, names),
    }


def report(tree: Path, file: Path) -> dict[str, Any]:
    """Return what the checks say of the deployment that a file of variables describes, for `rawless deploy check`.

    `checks` are the violations by the subject of their check, `objects` the files that Terraform writes to buckets.
    """
    try:
        planned = plan.plan_with(tree, str(file.absolute()))
    except PlanError as error:
        return {"checks": {"plan": [str(error)]}, "objects": {}}
    resources = planned.resources
    found = _of_any_deployment(tree, resources, deployment.of(planned.variables, resources))
    found |= {"requests of jobs": request.violations(resources)}
    return {
        "checks": {"plan": [], **{subject: list(messages) for subject, messages in found.items()}},
        "objects": {
            resource.values["name"]: resource.values["content"]
            for resource in resources
            if resource.type == "google_storage_bucket_object" and resource.values["content"] is not None
        },
    }
