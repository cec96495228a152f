"""Break-glass: a person reads one bucket, for some hours, after another group has approved a justification."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from terraform.checks.plan import Resource

_MAX_SECONDS = 8 * 60 * 60
_ROLE = "roles/storage.objectViewer"
_ONE_BUCKET = re.compile(
    r'resource\.name == "projects/_/buckets/([a-z0-9._-]+)" \|\| '
    r'resource\.name\.startsWith\("projects/_/buckets/\1/"\)'
)


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Entitlements that are wider than one bucket, last too long, or need no approval or justification."""
    for resource in resources:
        if resource.type == "google_privileged_access_manager_entitlement":
            yield from (f"{resource.address} {violation}" for violation in _violations(resource.values))


def _violations(entitlement: dict[str, Any]) -> Iterator[str]:
    if int(entitlement["max_request_duration"].removesuffix("s")) > _MAX_SECONDS:
        yield "lasts for more than 8 hours"
    (justification,) = entitlement["requester_justification_config"]
    if not justification["unstructured"]:
        yield "needs no justification"
    requesters = set(entitlement["eligible_users"][0]["principals"])
    approvers = set(_approvers(entitlement))
    if not approvers or approvers & requesters:
        yield "needs no approval by another group"
    (access,) = entitlement["privileged_access"][0]["gcp_iam_access"]
    for binding in access["role_bindings"]:
        if binding["role"] != _ROLE or not _ONE_BUCKET.fullmatch(binding["condition_expression"] or ""):
            yield f"grants {binding['role']} on more than the objects of one bucket"


def _approvers(entitlement: dict[str, Any]) -> Iterator[str]:
    for workflow in entitlement["approval_workflow"]:
        for approvals in workflow["manual_approvals"]:
            for step in approvals["steps"]:
                for approvers in step["approvers"]:
                    yield from approvers["principals"]
