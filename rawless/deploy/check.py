"""Everything about a deployment that can be known without a cloud, from its variables and its Terraform files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rawless.config import check as check_fields
from rawless.config import parse_mapping
from rawless.deploy import configuration, quotas
from rawless.deploy.job_file import JobFile, parse_job_file
from rawless.deploy.plan import read_plan
from rawless.doctor.finding import Finding
from rawless.errors import UserError
from rawless.warehouse.config import WarehouseConfig

_JOBS = "jobs/"
_WAREHOUSE = "warehouse.yaml"


def check_deployment(folder: Path, variables: Path, bootstrap: Path, quota_files: Sequence[Path]) -> list[Finding]:
    """Check the plan of a folder of Terraform files with files of variables, and the files that it would write.

    Raises UserError for what is no mistake of the deployment but of the command: files that are missing or of another
    kind.
    """
    described = [quotas.read(file) for file in quota_files]
    planned = read_plan(folder, variables, bootstrap)
    findings = list(planned.findings)
    if not planned.objects:  # Terraform refused the files
        return findings
    jobs: list[JobFile] = []
    findings += _check_job_files(planned.objects, jobs)
    findings += configuration.check(planned.objects)
    if described and jobs:
        findings += quotas.check(described, jobs, _warehouse(planned.objects))
    return findings


def _check_job_files(objects: Mapping[str, str], jobs: list[JobFile]) -> Iterator[Finding]:
    """Check each job file, and append those that are valid to `jobs`."""
    for name in sorted(name for name in objects if name.startswith(_JOBS)):
        try:
            job = parse_job_file(objects[name].encode(), name)
        except UserError as error:
            yield Finding("job file", False, str(error))
        else:
            jobs.append(job)
            yield Finding("job file", True, f"{name} is a request that Google's class accepts, {job.request_id}")


def _warehouse(objects: Mapping[str, str]) -> WarehouseConfig:
    where = f"The warehouse file {_WAREHOUSE}"
    return check_fields(parse_mapping(objects[_WAREHOUSE], where=where), WarehouseConfig, where=where)
