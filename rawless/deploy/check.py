"""Everything about a deployment that can be known without a cloud, from its variables and its Terraform files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rawless.config import check as check_fields
from rawless.config import parse_mapping
from rawless.deploy import configuration, quotas
from rawless.deploy.image import ImageContents, image_contents
from rawless.deploy.job_file import parse_job_file
from rawless.deploy.plan import read_plan
from rawless.doctor.finding import Finding
from rawless.doctor.requirements import JobRequirements
from rawless.errors import UserError
from rawless.warehouse.config import WarehouseConfig

_JOBS = "jobs/"
_WAREHOUSE = "warehouse.yaml"
_LOCK = "requirements.worker.lock"


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
    contents = image_contents(folder.absolute().parent / _LOCK)
    jobs: list[JobRequirements] = []
    findings += _check_job_files(planned.objects, jobs)
    findings += configuration.check(planned.objects, contents)
    findings += check_image(contents, jobs)
    findings += quotas.check(described, jobs) if described else ()
    return findings


def _check_job_files(objects: Mapping[str, str], jobs: list[JobRequirements]) -> Iterator[Finding]:
    """Check each job file, and append what those that are valid require to `jobs`."""
    config = _warehouse(objects)
    for name in sorted(name for name in objects if name.startswith(_JOBS)):
        try:
            job = parse_job_file(objects[name].encode(), name)
            jobs.append(quotas.requirements(job, config))
        except UserError as error:
            yield Finding("job file", False, str(error))
        else:
            yield Finding("job file", True, f"{name} is a request that Google's class accepts, {job.request_id}")


def check_image(contents: ImageContents, jobs: Sequence[JobRequirements]) -> Iterator[Finding]:
    """Check that torch of the lock file can use the GPUs that jobs ask for."""
    torch, cuda = contents.version("torch"), contents.cuda
    if cuda is None and (gpus := sorted({job.gpu for job in jobs if job.gpu})):
        detail = f"Jobs ask for NVIDIA {', '.join(gpus)}, but torch {torch} in {_LOCK} has no CUDA: run `make lock`."
        yield Finding("image", False, detail)
        return
    size = "" if contents.of_unknown_size else f" of {contents.size / 1e9:.1f} GB"
    runtime = f"CUDA {cuda}" if cuda else "no CUDA"
    yield Finding("image", True, f"{len(contents.packages)} packages{size}, torch {torch} with {runtime}")


def _warehouse(objects: Mapping[str, str]) -> WarehouseConfig:
    where = f"The warehouse file {_WAREHOUSE}"
    return check_fields(parse_mapping(objects[_WAREHOUSE], where=where), WarehouseConfig, where=where)
