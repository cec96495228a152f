"""Policies of the organisation: each project must have every required one, with its value."""

from collections.abc import Iterator, Sequence
from typing import Any

from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import Resource

_ENFORCED = (
    "compute.disableSerialPortAccess",
    "compute.requireOsLogin",
    "iam.automaticIamGrantsForDefaultServiceAccounts",
    "iam.disableServiceAccountKeyCreation",
    "iam.disableServiceAccountKeyUpload",
    "storage.publicAccessPrevention",
    "storage.uniformBucketLevelAccess",
)
_GOOGLE = "C02h8e9nw"
"""Google's own organisation, which delivers the usage logs of the production project's buckets."""
_ENCRYPTED = ("bigquery", "compute", "dataflow", "logging", "pubsub", "run", "secretmanager", "storage")


def violations(resources: Sequence[Resource], deployment: Deployment = EXAMPLE) -> Iterator[str]:
    """Projects in which a policy is missing or differs."""
    planned = {r.values["name"]: _rule(r) for r in resources if r.type == "google_org_policy_policy"}
    raw = {r.values["project"] for r in resources if r.type == "google_pubsub_topic"}
    for project in sorted({r.values["project"] for r in resources if r.type == "google_project_service"}):
        for constraint, expected in _required(project, deployment, has_usage_logs=project in raw).items():
            actual = planned.get(f"projects/{project}/policies/{constraint}")
            if actual is None:
                yield f"{project} has no policy {constraint}"
            elif actual != expected:
                yield f"{project} has the policy {constraint} {actual}, but {expected} is required"


def _required(project: str, deployment: Deployment, *, has_usage_logs: bool) -> dict[str, dict[str, Any]]:
    """The rule of each constraint."""
    return {
        **{constraint: {"enforce": "TRUE"} for constraint in _ENFORCED},
        "compute.vmExternalIpAccess": {"deny_all": "TRUE"},
        "gcp.resourceLocations": {"allowed": [f"in:{deployment.region}-locations"]},
        "gcp.restrictCmekCryptoKeyProjects": {"allowed": [f"projects/{project}"]},
        "gcp.restrictNonCmekServices": {"denied": [f"{service}.googleapis.com" for service in _ENCRYPTED]},
        "iam.allowedPolicyMemberDomains": {
            "allowed": sorted([deployment.customer, *([_GOOGLE] if has_usage_logs else [])])
        },
    }


def _rule(policy: Resource) -> dict[str, Any]:
    (spec,) = policy.values["spec"]
    (rule,) = spec["rules"]
    (values,) = rule["values"] or [{}]
    found = {
        "enforce": rule["enforce"],
        "deny_all": rule["deny_all"],
        "allowed": sorted(values.get("allowed_values") or []),
        "denied": sorted(values.get("denied_values") or []),
    }
    return {name: value for name, value in found.items() if value}
