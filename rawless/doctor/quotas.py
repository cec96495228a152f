"""Check the quotas of Compute Engine that the job needs at its maximum number of workers."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements

Quotas = Mapping[str, Mapping[str, Any]]
"""Limit and usage by the name of a metric, as Compute Engine describes them."""
_CORES = re.compile(r"-(\d+)(-\d+(-ext)?)?$")
"""In the name of a machine type; that of a custom one ends with its memory in MB."""


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check each quota in the region, and over all regions."""
    if not job.region:
        return
    regional = by_metric(google.get("compute", f"compute/v1/projects/{job.project}/regions/{job.region}"))
    worldwide = by_metric(google.get("compute", f"compute/v1/projects/{job.project}")) if job.gpu else {}
    yield from compare([job], regional, worldwide)


def by_metric(answer: Mapping[str, Any] | None) -> Quotas:
    """Return the quotas in a description of a region or project, by their metric."""
    return {quota["metric"]: quota for quota in (answer or {}).get("quotas", ())}


def compare(jobs: Sequence[JobRequirements], regional: Quotas, worldwide: Quotas | None) -> Iterator[Finding]:
    """Compare quotas with what jobs of one project and region need together.

    None as `worldwide` means that the quotas over all regions are not known, so they are not compared.
    """
    needed = Counter[str]()
    for job in jobs:
        if job.gpu:
            needed[f"NVIDIA_{job.gpu}_GPUS"] += job.workers * job.gpus_per_worker
        if job.machine and (cores := _CORES.search(job.machine)):
            needed[_metric_of_cores(job.machine, regional)] += job.workers * int(cores[1])
    first = jobs[0]
    for metric, count in needed.items():
        yield _check_quota(first, regional, metric, count, first.region)
    if (gpus := sum(job.workers * job.gpus_per_worker for job in jobs)) and worldwide is not None:
        yield _check_quota(first, worldwide, "GPUS_ALL_REGIONS", gpus, None)


def _metric_of_cores(machine: str, regional: Quotas) -> str:
    """The quota that a machine's cores count against: that of its series if there is one, such as N2_CPUS."""
    own = f"{machine.split('-')[0].upper()}_CPUS"
    return own if own in regional else "CPUS"


def _check_quota(job: JobRequirements, quotas: Quotas, metric: str, needed: int, region: str | None) -> Finding:
    quota = quotas.get(metric, {})
    limit, used = int(quota.get("limit", 0)), int(quota.get("usage", 0))
    where = region or "all regions"
    if used + needed <= limit:
        return Finding("quota", True, f"{metric} in {where}: {needed} needed, {limit - used} of {limit} free")
    return Finding(
        "quota",
        False,
        f"The quota {metric} in {where} is {limit} with {used} used, but the job may need {needed} more.",
        _request_command(job, metric, used + needed, region),
    )


def _request_command(job: JobRequirements, metric: str, value: int, region: str | None) -> str:
    name = metric.replace("_", "-") + ("-per-project-region" if region else "-per-project")
    within = f" --dimensions=region={region}" if region else ""
    return (
        f"gcloud beta quotas preferences create --service=compute.googleapis.com --project={job.project} "
        f"--quota-id={name} --preferred-value={value}{within}"
    )
