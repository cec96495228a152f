"""What the checks must know of a deployment's variables: its projects, region, streams, and whose account is whose."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from terraform.checks.plan import Resource

_BUCKET = re.compile(r"gs://([^/]+)/")
_MEMBER = "serviceAccount:"
_ACCOUNTS = {
    "launcher": "launchers",
    "deployer": "deployers",
    "mapper": "subject_mappers",
    "eraser": "erasers",
    "builder": "dataset_builders",
    "encoder manager": "encoder_managers",
    "publisher": "callers",
}
"""The variable that lists the accounts of a role in terraform/access.yaml. Who publishes may also call."""
_GROUPS = {"scientist": "scientists", "auditor": "auditors", "custodian": "custodians"}


@dataclass(frozen=True)
class Deployment:
    """The names in a deployment's variables that the checks look for in its plan."""

    production: str
    warehouse: str
    audit: str
    region: str
    prefix: str
    customer: str
    streams: tuple[str, ...]
    claim_checks: tuple[str, ...]
    """The buckets whose objects events may name."""
    emails: Mapping[str, frozenset[str]]
    """The addresses of each role in terraform/access.yaml."""

    def grantee(self, member: str) -> str:
        """The role of a member in terraform/access.yaml, or the member itself."""
        kind, _, email = member.rpartition(":")
        if match := re.match(rf"{self.prefix}-(w-[\w-]+|encoder|classifier|orchestrator)@", email):
            return "worker" if match[1].startswith("w-") else match[1]
        if email == "cloud-storage-analytics@google.com" or email.startswith("google_logging_project_sink/"):
            return "log delivery"
        if kind in ("", "group", "serviceAccount"):
            return next((role for role, emails in self.emails.items() if email in emails), member)
        return member

    def abbreviate(self, text: str) -> str:
        """A role or target as terraform/access.yaml names it, without the names of this deployment."""
        streams = "|".join(sorted((stream.replace("_", "-") for stream in self.streams), key=len, reverse=True))
        rules = (
            (rf"^{self.production}$", "production project"),
            (rf"^{self.warehouse}$", "warehouse project"),
            (rf"^{self.audit}$", "audit project"),
            *((rf"\b{re.escape(bucket)}$", "claim checks") for bucket in self.claim_checks),
            (rf"{self.production}-{self.prefix}-(?:(?:{streams})-)?", ""),
            (r"google_\w+/([\w-]+)/\w+", r"\1"),
            (rf"(?<!table )\b{self.prefix}[-_](?!w-)", ""),
            (r"projects/[^ ]*-w-[^ ]*|[\w/-]*-w-[^ ]+", "worker"),
            (rf"@{self.production}\.iam\.gserviceaccount\.com$", ""),
        )
        for pattern, short in rules:
            text = re.sub(pattern, short, text)
        return text


def of(variables: Mapping[str, Any], resources: Sequence[Resource]) -> Deployment:
    """Return what the checks must know of a plan that was made with these variables."""
    accounts = {role: frozenset(variables[name]) for role, name in _ACCOUNTS.items()}
    publishers = {member for stream in variables["streams"].values() for member in stream["publishers"]}
    # Anybody else, such as a person or allUsers, stays what it is, and no list of grants has it.
    accounts["publisher"] |= {member.removeprefix(_MEMBER) for member in publishers if member.startswith(_MEMBER)}
    groups = {role: frozenset([variables["groups"][name]]) for role, name in _GROUPS.items()}
    return Deployment(
        production=variables["raw_project"],
        warehouse=variables["warehouse_project"],
        audit=variables["audit_project"],
        region=variables["region"],
        prefix=variables["prefix"],
        customer=variables["customer"],
        streams=tuple(sorted(variables["streams"])),
        claim_checks=tuple(sorted(_claim_checks(resources))),
        emails={**accounts, **groups},
    )


def _claim_checks(resources: Sequence[Resource]) -> set[str]:
    """The buckets that the planned stream files name."""
    files = [
        resource.values["content"]
        for resource in resources
        if resource.type == "google_storage_bucket_object" and resource.values["name"].startswith("streams/")
    ]
    prefixes = [prefix for file in files for prefix in yaml.safe_load(file).get("uri_prefixes", ())]
    return {match[1] for prefix in prefixes if (match := _BUCKET.match(prefix))}


def _account(name: str, project: str) -> frozenset[str]:
    return frozenset([f"{name}@{project}.iam.gserviceaccount.com"])


EXAMPLE = Deployment(
    production="acme-production",
    warehouse="acme-embeddings",
    audit="acme-audit",
    region="europe-west4",
    prefix="rawless",
    customer="C0abc123d",
    streams=("photo_upload", "support_message"),
    claim_checks=("acme-uploads",),
    emails={
        "launcher": _account("delivery", "acme-build"),
        "deployer": _account("terraform", "acme-build"),
        "mapper": _account("mapper", "acme-embeddings"),
        "eraser": _account("eraser", "acme-embeddings"),
        "builder": _account("builder", "acme-embeddings"),
        "encoder manager": _account("ml-engineering", "acme-embeddings"),
        "publisher": _account("shop", "acme-shop") | _account("helpdesk", "acme-shop"),
        "scientist": frozenset(["data-scientists@acme.example"]),
        "auditor": frozenset(["privacy-office@acme.example"]),
        "custodian": frozenset(["key-custodians@acme.example"]),
    },
)
"""The deployment of example.tfvars, with which the files of the repository are checked."""
