"""All checks of a tree's files, on one plan and the plan after its apply."""

from collections.abc import Iterable, Iterator, Sequence
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
    pages,
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
from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import REPOSITORY, PlanError, Resource

DIAGRAMS = ("terraform/README.md", "docs/deploy.md")


def violations(tree: Path = REPOSITORY) -> Iterator[str]:
    """Every violation in the files of a tree, one sentence each."""
    yield from functions.violations(tree)
    try:
        resources = plan.plan_with(tree).resources
    except PlanError as error:
        yield f"Terraform cannot plan the files.\n{error}"
        return
    yield from plan_violations(tree, resources)
    yield from second_plan.violations(tree)


def plan_violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Every violation in the plan of the example."""
    for _, found in _of_any_deployment(tree, resources, EXAMPLE).values():
        yield from found
    yield from runbooks.violations(tree, resources)
    yield from pages.violations(tree, resources)
    for diagram in DIAGRAMS:
        yield from diagrams.violations(tree / diagram, resources)


def _of_any_deployment(
    tree: Path, resources: Sequence[Resource], names: Deployment
) -> dict[str, tuple[str, Iterator[str]]]:
    """What holds for the plan of any deployment, by the subject of its check, and the violations."""
    return {
        "tables": ("they are those of sql/", tables.violations(tree, resources)),
        "grants": (f"nobody has a role that {access.FILE} does not list", access.violations(tree, resources, names)),
        "denials": (f"they have the exceptions of {access.FILE} only", denials.violations(tree, resources, names)),
        "break-glass": ("one bucket, for some hours, after an approval", break_glass.violations(resources)),
        "rights": ("whoever applies a root has what its resources need", rights.violations(tree, resources, names)),
        "start": ("every name and call of a worker's start is let through", start.violations(resources)),
        "services": ("each is probed where it answers", services.violations(resources)),
        "images": ("services have no root and run attested images only", images.violations(resources)),
        "storage": ("private, and under keys of the customer's in an HSM", storage.violations(resources)),
        "perimeters": ("each rule names who enters, from where and for what", perimeter.violations(resources)),
        "audit logs": ("every call is recorded where nobody can delete it", audit.violations(resources)),
        "policies": ("each project has all that are required", policies.violations(resources, names)),
        "jobs": ("Google's and Beam's own classes accept each request", request.violations(resources)),
    }


def report(tree: Path, file: Path, bootstrap_file: Path) -> dict[str, Any]:
    """Return what the checks say of the deployment that two files of variables describe, for `rawless deploy check`.

    `checks` have a subject, what holds without violations, and the violations; `objects` are the files that Terraform
    would write to buckets.
    """
    files = (str(file.absolute()), str(bootstrap_file.absolute()))
    try:
        planned = plan.plan_with(tree, files)
    except PlanError as error:
        return {"checks": [_result("plan", "", [str(error)])], "objects": {}}
    resources = planned.resources
    found = _of_any_deployment(tree, resources, deployment.of(planned.variables, resources))
    found["second plan"] = ("it is empty", second_plan.violations(tree, files))
    plans = _result("plan", f"Terraform accepts the files and would create {len(resources)} resources", [])
    return {
        "checks": [plans, *(_result(subject, *result) for subject, result in found.items())],
        "objects": {
            resource.values["name"]: resource.values["content"]
            for resource in resources
            if resource.type == "google_storage_bucket_object" and resource.values["content"] is not None
        },
    }


def _result(subject: str, holds: str, violations: Iterable[str]) -> dict[str, Any]:
    return {"check": subject, "holds": holds, "violations": list(violations)}
