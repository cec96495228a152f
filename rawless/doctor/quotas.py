"""Check the quotas of Compute Engine that the job needs at its maximum number of workers."""

import re
from collections.abc import Iterator
from typing import Any

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements


def check(google: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check each quota in the region, and over all regions."""
    if not job.region:
        return
    regional = _by_metric(google.get("compute", f"compute/v1/projects/{job.project}/regions/{job.region}"))
    if job.gpu:
        gpus = job.workers * job.gpus_per_worker
        worldwide = _by_metric(google.get("compute", f"compute/v1/projects/{job.project}"))
        yield _check_quota(job, regional, f"NVIDIA_{job.gpu}_GPUS", gpus, job.region)
        yield _check_quota(job, worldwide, "GPUS_ALL_REGIONS", gpus, None)
    if job.machine and (cores := re.search(r"-(\d+)$", job.machine)):
        yield _check_quota(job, regional, "CPUS", job.workers * int(cores[1]), job.region)


def _by_metric(answer: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {quota["metric"]: quota for quota in (answer or {}).get("quotas", ())}


def _check_quota(
    job: JobRequirements, quotas: dict[str, dict[str, Any]], metric: str, needed: int, region: str | None
) -> Finding:
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
