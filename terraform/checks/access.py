"""Who is granted what: every grant of the plan stands in terraform/access.yaml, and some stand nowhere."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from terraform.checks.plan import Resource

FILE = Path("terraform/access.yaml")
_WHO = (
    ("worker", r"serviceAccount:\w+-w-[\w-]+@"),
    ("encoder", r"serviceAccount:\w+-encoder@"),
    ("classifier", r"serviceAccount:\w+-classifier@"),
    ("orchestrator", r"serviceAccount:\w+-orchestrator@"),
    ("launcher", r"serviceAccount:delivery@"),
    ("builder", r"(serviceAccount:)?builder@"),
    ("publisher", r"serviceAccount:(shop|helpdesk)@"),
    ("scientist", r"(group:)?data-scientists@"),
    ("auditor", r"(group:)?privacy-office@"),
    ("log delivery", r"group:cloud-storage-analytics@google\.com|google_logging_project_sink/"),
)
"""Whom the accounts and groups of example.tfvars stand for, and those that are made."""
_WHERE = {
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
    "google_data_catalog_policy_tag_iam_member": "tag {policy_tag}",
}
_SHORT = (
    (r"^acme-production$", "production project"),
    (r"^acme-embeddings$", "warehouse project"),
    (r"acme-uploads", "claim checks"),
    (r"acme-production-rawless-(?:photo-upload-|support-message-)?", ""),
    (r"google_\w+/([\w-]+)/\w+", r"\1"),
    (r"rawless[-_](?!w-)", ""),
    (r"projects/[^ ]*-w-[^ ]*|[\w/-]*-w-[^ ]+", "worker"),
)
_AGENTS = "module.keys.google_kms_crypto_key_iam_member.agent_uses_key"
_TOO_WIDE = re.compile(r"roles/(owner|editor|viewer)$|^OWNER$|[aA]dmin$")
_ADMIN_ALLOWED = {("worker", "roles/storage.objectAdmin", "bucket temp")}
_NEVER_SCIENTIST = re.compile(
    r"production|events|subjects|audit|encoder|pseudonym|identifiers|topic|subscription|service|bucket|key|account"
)


class Grant(NamedTuple):
    """A role of somebody somewhere."""

    who: str
    role: str
    where: str


def faults(tree: Path, resources: Sequence[Resource]) -> Iterator[str]:
    """Grants that are not allowed or not made, and what must never be granted, whatever the file says."""
    granted = set(_grants(resources))
    allowed = _allowed(yaml.safe_load((tree / FILE).read_text(encoding="utf-8")))
    for who, role, where in sorted(granted - allowed):
        yield f"{who} is granted {role} on {where}, which {FILE} does not allow"
    for who, role, where in sorted(allowed - granted):
        yield f"{FILE} gives {who} {role} on {where}, but no resource grants it"
    for grant in sorted(granted):
        if why := _never(grant):
            yield f"{grant.who} must not have {grant.role} on {grant.where}: {why}"
    for resource in resources:
        if resource.type == "google_service_account_key" or resource.type.endswith(("_iam_policy", "_iam_binding")):
            yield f"{resource.address} must not be: an account's key gets copied, a policy drops others' grants"


def _never(grant: Grant) -> str | None:
    if grant.who in ("allUsers", "allAuthenticatedUsers"):
        return "nothing is public"
    if grant.who == "scientist" and _NEVER_SCIENTIST.search(grant.where):
        return "a scientist sees snapshots alone"
    if grant.who.startswith(("user:", "group:", "scientist", "auditor")) and grant.where == "production project":
        return "no person is where raw content is"
    if _TOO_WIDE.search(grant.role) and grant not in _ADMIN_ALLOWED:
        return "the role is wider than any task here"
    return None


def _grants(resources: Sequence[Resource]) -> Iterator[Grant]:
    for resource in resources:
        place = _WHERE.get(resource.type)
        if place is None and resource.type.endswith("_iam_member"):
            place = resource.type
        if place is None or resource.values.get("routine"):
            continue
        values = resource.values
        member = str(values.get("member") or values.get("user_by_email") or values.get("group_by_email"))
        if resource.place == _AGENTS:  # some are known only when the services are switched on
            member = "agent"
        yield Grant(_who(member), _shortened(str(values["role"])), _shortened(place.format(**values)))


def _who(member: str) -> str:
    return next((name for name, pattern in _WHO if re.match(pattern, member)), member)


def _shortened(text: str) -> str:
    for pattern, short in _SHORT:
        text = re.sub(pattern, short, text)
    return text


def _allowed(access: dict[str, Any]) -> set[Grant]:
    return {
        Grant(who, role, where) for who, roles in access.items() for role, places in roles.items() for where in places
    }
