"""Grants: those of the plan must equal terraform/access.yaml, and some must never exist."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from terraform.checks.plan import Resource

FILE = Path("terraform/access.yaml")
_GRANTEES = (
    ("worker", r"serviceAccount:\w+-w-[\w-]+@"),
    ("encoder", r"serviceAccount:\w+-encoder@"),
    ("classifier", r"serviceAccount:\w+-classifier@"),
    ("orchestrator", r"serviceAccount:\w+-orchestrator@"),
    ("launcher", r"serviceAccount:delivery@"),
    ("builder", r"(serviceAccount:)?builder@"),
    ("publisher", r"serviceAccount:(shop|helpdesk)@"),
    ("scientist", r"(group:)?data-scientists@"),
    ("auditor", r"(group:)?privacy-office@"),
    ("log delivery", r"group:cloud-storage-analytics@google\.com|(serviceAccount:)?google_logging_project_sink/"),
)
"""The roles of the accounts and groups in example.tfvars and of the accounts that Terraform creates."""
_TARGETS = {
    "google_project_iam_member": "{project}",
    "google_pubsub_topic_iam_member": "topic",
    "google_pubsub_subscription_iam_member": "subscription",
    "google_storage_bucket_iam_member": "bucket {bucket}",
    "google_secret_manager_secret_iam_member": "pseudonym key",
    "google_kms_crypto_key_iam_member": "key {crypto_key_id}",
    "google_service_account_iam_member": "account {service_account_id}",
    "google_artifact_registry_repository_iam_member": "image",
    "google_cloud_run_v2_service_iam_member": "service {name}",
    "google_bigquery_table_iam_member": "table {table_id}",
    "google_bigquery_dataset_access": "dataset {dataset_id}",
    "google_logging_log_view_iam_member": "log view {name}",
    "google_data_catalog_policy_tag_iam_member": "tag {policy_tag}",
}
_ABBREVIATIONS = (
    (r"^acme-production$", "production project"),
    (r"^acme-embeddings$", "warehouse project"),
    (r"^acme-audit$", "audit project"),
    (r"acme-uploads", "claim checks"),
    (r"acme-production-rawless-(?:photo-upload-|support-message-)?", ""),
    (r"google_\w+/([\w-]+)/\w+", r"\1"),
    (r"rawless[-_](?!w-)", ""),
    (r"projects/[^ ]*-w-[^ ]*|[\w/-]*-w-[^ ]+", "worker"),
)
_SERVICE_AGENTS = "module.keys.google_kms_crypto_key_iam_member.agent_uses_key"
_TOO_WIDE = re.compile(r"roles/(owner|editor|viewer)$|^OWNER$|[aA]dmin$")
_ADMIN_ALLOWED = {("worker", "roles/storage.objectAdmin", "bucket temp")}
_NEVER_SCIENTIST = re.compile(
    r"production|events|subjects|audit|encoder|pseudonym|identifiers|topic|subscription|service|bucket|key|account"
)


class Grant(NamedTuple):
    """A role that is granted to somebody on a resource."""

    grantee: str
    role: str
    target: str


def violations(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Grants that are not listed or not granted, and grants that are forbidden even if the file lists them."""
    granted = set(_grants(resources))
    allowed = _allowed(yaml.safe_load((tree / FILE).read_text(encoding="utf-8")))
    for grantee, role, target in sorted(granted - allowed):
        yield f"{grantee} is granted {role} on {target}, which {FILE} does not allow"
    for grantee, role, target in sorted(allowed - granted):
        yield f"{FILE} lists {role} on {target} for {grantee}, but no resource grants it"
    for grant in sorted(granted):
        if why := _why_forbidden(grant):
            yield f"{grant.grantee} must not have {grant.role} on {grant.target}: {why}"
    for resource in resources:
        if resource.type == "google_service_account_key" or resource.type.endswith(("_iam_policy", "_iam_binding")):
            yield f"{resource.address} is forbidden: account keys get copied, and policies remove other grants"


def _why_forbidden(grant: Grant) -> str | None:
    if grant.grantee in ("allUsers", "allAuthenticatedUsers"):
        return "nothing may be public"
    if grant.grantee == "scientist" and _NEVER_SCIENTIST.search(grant.target):
        return "a scientist may only read snapshots"
    if grant.grantee.startswith(("user:", "group:", "scientist", "auditor")) and grant.target == "production project":
        return "no person may have a role where raw content is"
    if _TOO_WIDE.search(grant.role) and grant not in _ADMIN_ALLOWED:
        return "the role is wider than any task requires"
    return None


def _grants(resources: Sequence[Resource]) -> Iterator[Grant]:
    for resource in resources:
        target = _TARGETS.get(resource.type)
        if target is None and resource.type.endswith("_iam_member"):
            target = resource.type
        if target is None or resource.values.get("routine"):
            continue
        values = resource.values
        member = str(values.get("member") or values.get("user_by_email") or values.get("group_by_email"))
        if resource.block == _SERVICE_AGENTS:  # some are known only after the services are enabled
            member = "agent"
        yield Grant(_grantee(member), _abbreviate(str(values["role"])), _abbreviate(target.format(**values)))


def _grantee(member: str) -> str:
    return next((name for name, pattern in _GRANTEES if re.match(pattern, member)), member)


def _abbreviate(text: str) -> str:
    for pattern, short in _ABBREVIATIONS:
        text = re.sub(pattern, short, text)
    return text


def _allowed(access: dict[str, Any]) -> set[Grant]:
    return {
        Grant(grantee, role, target)
        for grantee, roles in access.items()
        for role, targets in roles.items()
        for target in targets
    }
