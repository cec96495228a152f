"""Check the roles: what this account needs to launch a job, and what the workers' account needs to run it."""

import re
from collections.abc import Iterator
from typing import Any

from rawless.doctor.finding import ME, Finding
from rawless.doctor.google import Denied, Google
from rawless.doctor.requirements import JobRequirements

_LAUNCH = {"dataflow.jobs.create": "roles/dataflow.developer", "compute.machineTypes.get": "roles/compute.viewer"}
_QUERY = {"bigquery.jobs.create": "roles/bigquery.jobUser"}

_WORKER = re.compile(r"roles/dataflow\.worker|projects/[^/]+/roles/[a-z0-9]+_worker")
"""The custom role that Terraform creates, with any prefix, and the one that also gives access to all buckets."""


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check the permissions of this account, and the roles of the workers' account on what it uses."""
    yield from _own_permissions(google, job.config.project, _QUERY)
    if not job.runs_a_job:
        return
    yield from _own_permissions(google, job.project, _LAUNCH)
    if job.account:
        yield _act_as(google, job.account)
        yield from _worker_roles(google, job, f"serviceAccount:{job.account}")


def _own_permissions(google: Google, project: str, needed: dict[str, str]) -> Iterator[Finding]:
    path = f"v1/projects/{project}:testIamPermissions"
    answer = google.post("cloudresourcemanager", path, {"permissions": sorted(needed)}) or {}
    for permission, role in needed.items():
        granted = permission in answer.get("permissions", ())
        detail = f"this account has {permission} in {project}"
        command = f"gcloud projects add-iam-policy-binding {project} --member={ME} --role={role}"
        missing = f"This account lacks {permission} in {project}."
        yield Finding("role", True, detail) if granted else Finding("role", False, missing, command)


def _act_as(google: Google, account: str) -> Finding:
    path = f"v1/projects/-/serviceAccounts/{account}:testIamPermissions"
    answer = google.post("iam", path, {"permissions": ["iam.serviceAccounts.actAs"]})
    if answer is None:
        name, project = account.split("@")[0], account.partition("@")[2].split(".")[0]
        command = f"gcloud iam service-accounts create {name} --project={project}"
        return Finding("role", False, f"The service account {account} does not exist.", command)
    if answer.get("permissions"):
        return Finding("role", True, f"this account may launch as {account}")
    command = (
        f"gcloud iam service-accounts add-iam-policy-binding {account} --member={ME} "
        "--role=roles/iam.serviceAccountUser"
    )
    return Finding("role", False, f"This account may not launch a job as {account}.", command)


def _worker_roles(google: Google, job: JobRequirements, member: str) -> Iterator[Finding]:
    """Check the roles of the workers' account, each on the resource itself or on its project."""
    on_project = google.post("cloudresourcemanager", f"v1/projects/{job.project}:getIamPolicy", {})
    add = f"gcloud projects add-iam-policy-binding {job.project}"
    role = f"projects/{job.project}/roles/rawless_worker"
    yield _binding(role, member, f"the project {job.project}", add, on_project, same=_WORKER)
    if job.subscription:
        own = google.get("pubsub", f"v1/{job.subscription}:getIamPolicy")
        add = f"gcloud pubsub subscriptions add-iam-policy-binding {job.subscription}"
        yield _binding("roles/pubsub.subscriber", member, job.subscription, add, own, on_project)
    if secret := job.config.pseudonym_secret:
        _, project, _, name = secret.split("/")[:4]
        own = _policy(google, "secretmanager", f"v1/projects/{project}/secrets/{name}:getIamPolicy")
        add = f"gcloud secrets add-iam-policy-binding {name} --project={project}"
        yield _binding("roles/secretmanager.secretAccessor", member, f"the secret {name}", add, own, on_project)


def _policy(google: Google, service: str, path: str) -> dict[str, Any] | None:
    """Return an IAM policy, or None if this account may not see it: an account may use a secret without that right."""
    try:
        return google.get(service, path)
    except Denied:
        return None


def _binding(
    role: str,
    member: str,
    what: str,
    add: str,
    *policies: dict[str, Any] | None,
    same: re.Pattern[str] | None = None,
) -> Finding:
    """Look for a role, or for one that `same` matches, and recommend the role if there is none."""
    for policy in policies:
        for binding in (policy or {}).get("bindings", ()):
            granted = binding["role"]
            if member in binding.get("members", ()) and (granted == role or (same and same.fullmatch(granted))):
                return Finding("role", True, f"{member} has {granted} on {what}")
    return Finding("role", False, f"{member} lacks {role} on {what}.", f"{add} --member={member} --role={role}")
