"""Deny policies: what they deny, and to whom not, must equal terraform/access.yaml."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import yaml

from terraform.checks import access
from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import Resource

_EVERYBODY = ["principalSet://goog/public:all"]
_ACCOUNT = "principal://iam.googleapis.com/projects/-/serviceAccounts/"


def violations(tree: Path, resources: Sequence[Resource], deployment: Deployment = EXAMPLE) -> Iterator[str]:
    """Permissions that are denied to others than access.yaml says, or not at all."""
    listed = yaml.safe_load((tree / access.FILE).read_text(encoding="utf-8"))[access.DENIALS]
    denied = dict(_denied(resources, deployment))
    for permission in sorted(set(denied) | set(listed)):
        expected = set(listed[permission]) if permission in listed else None
        if denied.get(permission) != expected:
            yield (
                f"{permission} is denied except to {_names(denied.get(permission))}, "
                f"but {access.FILE} says except to {_names(expected)}"
            )


def _denied(resources: Sequence[Resource], deployment: Deployment) -> Iterator[tuple[str, set[str]]]:
    """Each permission that is denied to everybody in the production project, with the exceptions."""
    project = quote(f"/{deployment.production}", safe="")
    for resource in resources:
        if resource.type != "google_iam_deny_policy" or not resource.values["parent"].endswith(project):
            continue
        for rule in (rule for rules in resource.values["rules"] for rule in rules["deny_rule"]):
            if rule["denied_principals"] == _EVERYBODY and not rule["denial_condition"]:
                exceptions = {_grantee(principal, deployment) for principal in rule["exception_principals"] or ()}
                yield from ((permission, exceptions) for permission in rule["denied_permissions"])


def _grantee(principal: str, deployment: Deployment) -> str:
    if principal.endswith("/type/ServiceAgent"):
        return "agent"
    return deployment.grantee(principal.replace(_ACCOUNT, "serviceAccount:"))


def _names(grantees: set[str] | None) -> str:
    return "everybody" if grantees is None else ", ".join(sorted(grantees)) or "nobody"
