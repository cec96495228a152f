"""Grants: those of the plan must equal terraform/access.yaml, and some must never exist."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import Resource

FILE = Path("terraform/access.yaml")
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
    "google_data_catalog_taxonomy_iam_member": "taxonomy",
}
_OBJECTS_OF_BUCKET = re.compile(r'resource\.name\.startsWith\("projects/_/buckets/([a-z0-9._-]+)/"\)')
"""A condition by which a role on a project holds for the objects of one bucket."""
_SERVICE_AGENTS = "module.keys.google_kms_crypto_key_iam_member.agent_uses_key"
_WORKER = re.compile(r"serviceAccount:\w+-w-([\w-]+)@")
_STORES_CONTENT = re.compile(r"^(storage|pubsub|secretmanager|cloudkms)\.")
_FORBIDDEN = (
    (r"^(allUsers|allAuthenticatedUsers)$", r"", r"", "nothing may be public"),
    (
        r"^scientist$",
        r"",
        r"production|events|builds|subjects|audit|encoder|pseudonym|identifiers|topic|subscription|service|bucket|key"
        "|account",
        "a scientist may only read snapshots",
    ),
    (r"^scientist$", r"dataEditor|dataOwner|WRITER", r"", "a scientist may append rows, not delete a table"),
    (r"^auditor$", r"dataEditor|dataOwner|WRITER", r"", "the privacy office may append rows, not delete a table"),
    (
        r"^(worker|orchestrator)$",
        r"^(?!row_reader$)",
        r"^table (leakage_audit_v1|waiver_v1)$",
        "what the leakage gate holds back must not open it",
    ),
    (
        r"^(worker|orchestrator|encoder|classifier|scientist)$",
        r"^(?!row_reader$)",
        r"^table stream_pointer_v1$",
        "what follows the pointers must not move them",
    ),
    (
        r"^encoder manager$",
        r"",
        r"production|dataset audit|builds|subjects|pseudonym|bucket|topic|subscription|service|account",
        "who moves a stream to another encoder needs events, snapshots and heads only",
    ),
    (r"^encoder manager$", r"WRITER|dataEditor|dataOwner", r"", "it deletes rows, but no table"),
    (
        r"^(user:|group:|scientist|auditor)",
        r"",
        r"^production project$",
        "no person may have a role where raw content is",
    ),
    (r"^worker$", r"^(?!worker$)", r"^production project$", "it could reach what other streams store"),
    (r"^launcher$", r"", r"^bucket code$", "it could replace the code that workers run"),
    (r"^worker$", r"^(?!staging_reader$)", r"^bucket code$", "it could replace the code that other workers run"),
    (
        r"^(worker|orchestrator|encoder)$",
        r"",
        r"^warehouse project$",
        "it holds raw content, which fits into the text of a query",
    ),
    (r"^builder$", r"", r"^pseudonym key$", "who reads embeddings must not compute pseudonyms"),
    (r"^builder$", r"^(?!READER$)", r"^dataset subjects$", "who reads embeddings must not say whose they are"),
    (
        r"^mapper$",
        r"",
        r"production|events|builds|snapshots|audit|vectors|^table",
        "who reads the pseudonym key must not read embeddings",
    ),
    (
        r"^eraser$",
        r"",
        r"production|vectors|dataset audit|bucket|topic|subscription|service|account",
        "who computes pseudonyms and deletes rows must not see vectors, nor change the audit logs",
    ),
    (r"^eraser$", r"WRITER", r"events|snapshots", "it deletes rows, but no table"),
    (r"", r"roles/(owner|editor|viewer)$|^OWNER$", r"", "the role is wider than any task requires"),
    (r"^(?!deployer$)", r"[aA]dmin$", r"", "the role is wider than any task requires"),
    (
        r"^deployer$",
        r"roles/(storage|pubsub|bigquery|secretmanager|run|dataflow|artifactregistry|iam\.serviceAccount)\.?(?!User$)",
        r"project$",
        "who changes the deployment must read no content, rows or key, and launch nothing",
    ),
    (r"^deployer$", r"", r"^account worker$", "who changes the deployment must not launch code"),
    (r"^custodian$", r"^(?!roles/secretmanager\.secretVersionAdder$)", r"", "it adds the pseudonym key, and no more"),
)
"""Patterns of grantee, role and target, and why no such grant may exist, whatever the file lists."""
_CUSTOM_ROLES = "custom roles"
DENIALS = "denied in the production project, except to"
"""The list that terraform/checks/denials.py checks."""


class Grant(NamedTuple):
    """A role that is granted to somebody on a resource."""

    grantee: str
    role: str
    target: str


def violations(tree: Path, resources: Sequence[Resource], deployment: Deployment = EXAMPLE) -> Iterator[str]:
    """Grants that are not listed or not granted, and grants that are forbidden even if the file lists them.

    Only the example needs every listed grant: another deployment may have neither services nor claim checks.
    """
    access = yaml.safe_load((tree / FILE).read_text(encoding="utf-8"))
    yield from _role_violations(access.pop(_CUSTOM_ROLES), resources, deployment)
    del access[DENIALS]
    granted, allowed = set(_grants(resources, deployment)), _allowed(access)
    for grantee, role, target in sorted(granted - allowed):
        yield f"{grantee} is granted {role} on {target}, which {FILE} does not allow"
    for grantee, role, target in sorted(allowed - granted if deployment is EXAMPLE else ()):
        yield f"{FILE} lists {role} on {target} for {grantee}, but no resource grants it"
    for grant in sorted(granted):
        if why := _why_forbidden(grant):
            yield f"{grant.grantee} must not have {grant.role} on {grant.target}: {why}"
    yield from _stream_violations(resources, deployment)
    for resource in resources:
        if resource.type == "google_service_account_key" or resource.type.endswith(("_iam_policy", "_iam_binding")):
            yield f"{resource.address} is forbidden: account keys get copied, and policies remove other grants"


def _role_violations(
    listed: dict[str, list[str]], resources: Sequence[Resource], deployment: Deployment
) -> Iterator[str]:
    defined = {
        deployment.abbreviate(role.values["role_id"]): sorted(role.values["permissions"])
        for role in resources
        if role.type == "google_project_iam_custom_role"
    }
    for name in sorted(set(defined) | set(listed)):
        if defined.get(name) != sorted(listed.get(name, ())):
            yield f"The custom role {name} has the permissions {defined.get(name)}, but {FILE} lists {listed.get(name)}"
    if {"storage.objects.delete", "storage.objects.update"} & set(defined.get("staging_reader", ())):
        yield "The custom role staging_reader must not replace objects: workers would run what a worker wrote"
    if [permission for permission in defined.get("launcher", ()) if "snapshot" in permission]:
        yield "The custom role launcher must not snapshot jobs: a snapshot contains messages that are in progress"
    if stored := [permission for permission in defined.get("worker", ()) if _STORES_CONTENT.match(permission)]:
        yield f"The custom role worker must not have {', '.join(stored)}: it is granted for all streams at once"


def _stream_violations(resources: Sequence[Resource], deployment: Deployment) -> Iterator[str]:
    """Grants by which the worker of one stream would reach what another stream stores."""
    streams = "|".join(stream.replace("_", "-") for stream in deployment.streams)
    stored = re.compile(rf"(?:^|-){deployment.prefix}-({streams})(?:-temp|-code|-ingest)?$")
    for resource in resources:
        worker = _WORKER.match(str(resource.values.get("member")))
        where = [str(resource.values.get(key, "")) for key in ("bucket", "subscription", "topic")]
        owners = {match[1] for name in where if (match := stored.search(name))}
        if worker and owners - {worker[1]}:
            yield f"{resource.address} lets the worker of {worker[1]} reach another stream"


def _why_forbidden(grant: Grant) -> str | None:
    rules = (why for *patterns, why in _FORBIDDEN if all(map(re.search, patterns, grant)))
    return next(rules, None)


def _grants(resources: Sequence[Resource], deployment: Deployment) -> Iterator[Grant]:
    for resource in resources:
        target = _TARGETS.get(resource.type)
        if target is None and resource.type.endswith("_iam_member"):
            target = resource.type
        if target is None or resource.values.get("routine"):
            continue
        values = resource.values
        conditions = [condition["expression"] for condition in values.get("condition") or ()]
        if conditions and (bucket := _OBJECTS_OF_BUCKET.fullmatch(conditions[0])):
            target = f"bucket {bucket[1]}"
        member = str(values.get("member") or values.get("user_by_email") or values.get("group_by_email"))
        if resource.block == _SERVICE_AGENTS:  # some are known only after the services are enabled
            member = "agent"
        role, where = str(values["role"]), target.format(**values)
        yield Grant(deployment.grantee(member), deployment.abbreviate(role), deployment.abbreviate(where))


def _allowed(access: dict[str, Any]) -> set[Grant]:
    return {
        Grant(grantee, role, target)
        for grantee, roles in access.items()
        for role, targets in roles.items()
        for target in targets
    }
