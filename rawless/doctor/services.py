"""The APIs that must be on, in the warehouse's project and in the job's."""

from collections.abc import Iterator

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import Wanted

_WAREHOUSE = ("bigquery", "bigquerystorage")
_JOB = ("artifactregistry", "cloudkms", "compute", "dataflow", "logging", "monitoring", "pubsub", "storage")


def check(google: Google, job: Wanted) -> Iterator[Finding]:
    """Each API, once in each project."""
    needed = {job.config.project: set(_WAREHOUSE)}
    if job.runs_a_job:
        needed.setdefault(job.project, set()).update(_JOB)
    if job.config.pseudonym_secret:
        needed.setdefault(job.config.pseudonym_secret.split("/")[1], set()).add("secretmanager")
    for project, names in needed.items():
        yield from _enabled(google, project, sorted(names))


def _enabled(google: Google, project: str, names: list[str]) -> Iterator[Finding]:
    full = [f"projects/{project}/services/{name}.googleapis.com" for name in names]
    answer = google.get("serviceusage", f"v1/projects/{project}/services:batchGet", names=full) or {}
    on = {each["config"]["name"] for each in answer.get("services", ()) if each.get("state") == "ENABLED"}
    for name in names:
        api = f"{name}.googleapis.com"
        if api in on:
            yield Finding("api", True, f"{api} is on in {project}")
        else:
            command = f"gcloud services enable {api} --project={project}"
            yield Finding("api", False, f"The API {api} is off in {project}.", command)
