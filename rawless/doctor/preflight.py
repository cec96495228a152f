"""Run every check of a warehouse and job on Google Cloud, even if another check lacks permission."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rawless.doctor import gate, job_options, keys, quotas, roles, services, tables
from rawless.doctor import google as apis
from rawless.doctor.finding import ME, Finding
from rawless.doctor.google import Denied, Google
from rawless.doctor.requirements import JobRequirements, parse_requirements
from rawless.errors import UserError
from rawless.warehouse.config import load_warehouse_config

_Check = Callable[[Google, JobRequirements], Iterator[Finding]]
_CHECKS: dict[str, tuple[_Check, str]] = {
    "api": (services.check, "roles/serviceusage.serviceUsageViewer"),
    "role": (roles.check, "roles/iam.securityReviewer"),
    "key": (keys.check, "roles/viewer"),
    "quota": (quotas.check, "roles/compute.viewer"),
    "table": (tables.check, "roles/bigquery.metadataViewer"),
    "gate": (gate.check, "roles/bigquery.dataViewer"),
}
"""Each check, and the role that an account needs for it."""


def run_preflight(
    file: Path, arguments: Sequence[str] = (), source: str | None = None, stream: Path | None = None
) -> list[Finding]:
    """Check what the warehouse needs, what a job with these Beam options needs if there are any, and a stream's gate.

    Raises UserError for an invalid file and without credentials, Unavailable if an API does not answer.
    """
    config = load_warehouse_config(file)
    findings: list[Finding] = []
    try:
        job = parse_requirements(config, file, arguments, source)
        findings += job_options.check(job) if arguments else ()
    except UserError as error:  # the warehouse can still be checked
        findings.append(job_options.forbidden_option(error, file, arguments))
        job = parse_requirements(config, file, (), source)
    job = replace(job, stream=stream)
    google = Google(apis.ENDPOINT)
    for name, (check, role) in _CHECKS.items():
        findings += _run_check(name, check, role, google, job)
    return findings


def _run_check(name: str, check: _Check, role: str, google: Google, job: JobRequirements) -> Iterator[Finding]:
    try:
        yield from check(google, job)
    except Denied:
        command = f"gcloud projects add-iam-policy-binding {job.project} --member={ME} --role={role}"
        yield Finding(
            name, False, f"This account lacks the permission to check every {name}: grant it {role}.", command
        )
