"""Check that the APIs that the warehouse and the job need are enabled."""

from collections.abc import Iterator

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements

_WAREHOUSE = ("bigquery", "bigquerystorage")
_JOB = ("artifactregistry", "cloudkms", "compute", "dataflow", "logging", "monitoring", "pubsub", "storage")


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check each API, once per project."""
    needed = {job.config.project: set(_WAREHOUSE)}
    if job.runs_a_job:
        needed.setdefault(job.project, set()).update(_JOB)
    if job.config.pseudonym_secret:
        needed.setdefault(job.config.pseudonym_secret.split("/")[1], set()).add("secretmanager")
    for project, names in needed.items():
        yield from _check_enabled(google, project, sorted(names))


def _check_enabled(google: Google, project: str, names: list[str]) -> Iterator[Finding]:
    resources = [f"projects/{project}/services/{name}.googleapis.com" for name in names]
    answer = google.get("serviceusage", f"v1/projects/{project}/services:batchGet", names=resources) or {}
    services = answer.get("services", ())
    enabled = {service["config"]["name"] for service in services if service.get("state") == "ENABLED"}
    for name in names:
        api = f"{name}.googleapis.com"
        if api in enabled:
            yield Finding("api", True, f"{api} is enabled in {project}")
        else:
            command = f"gcloud services enable {api} --project={project}"
            yield Finding("api", False, f"The API {api} is disabled in {project}.", command)
