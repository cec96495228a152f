"""Compare what all jobs of a deployment need together with quotas from files, as gcloud prints them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from rawless.config import read_yaml
from rawless.deploy.job_file import JobFile
from rawless.doctor.finding import Finding
from rawless.doctor.quotas import Quotas, by_metric, compare
from rawless.doctor.requirements import JobRequirements, parse_requirements
from rawless.warehouse.config import WarehouseConfig

_REGION, _PROJECT = "compute#region", "compute#project"
"""The kinds of descriptions."""
_ACCELERATOR = "dataflow_service_options"
"""The parameter that asks for an accelerator."""
_OPTIONS = {"machineType": "machine_type", "numWorkers": "num_workers", "maxWorkers": "max_num_workers"}
"""The options of Beam that decide what a job needs, by the fields of a request."""


class _Quota(BaseModel):
    metric: str
    limit: float
    usage: float = 0.0


class Description(BaseModel):
    """What gcloud prints of a region or a project in YAML or JSON, as far as it concerns quotas.

    The commands are `gcloud compute regions describe REGION` and `gcloud compute project-info describe`.
    """

    kind: Literal["compute#region", "compute#project"]
    name: str
    quotas: list[_Quota]


def read(file: Path) -> Description:
    """Return what a file says of a region or a project. Raises UserError, which names the field that is wrong."""
    return read_yaml(file, Description, what="quotas file")


def check(described: Sequence[Description], jobs: Sequence[JobRequirements]) -> Iterator[Finding]:
    """Compare the quotas of regions and projects with what the jobs need at their maximum numbers of workers."""
    regions = {each.name: by_metric(each.model_dump()) for each in described if each.kind == _REGION}
    projects = {each.name: by_metric(each.model_dump()) for each in described if each.kind == _PROJECT}
    places = defaultdict(list)
    for job in jobs:
        places[job.project, str(job.region)].append(job)
    for (project, region), needs in places.items():
        yield from _check_place(project, region, needs, regions, projects)


def requirements(job: JobFile, config: WarehouseConfig) -> JobRequirements:
    """Return what the job of a job file requires of its project. Raises UserError for options that `ingest` refuses."""
    launch = job.request["launchParameter"]
    environment, parameters = launch["environment"], launch.get("parameters", {})
    options = {"project": job.project, "region": job.location}
    options |= {option: environment[field] for field, option in _OPTIONS.items() if field in environment}
    options |= {_ACCELERATOR: parameters[_ACCELERATOR]} if _ACCELERATOR in parameters else {}
    arguments = ["--runner=DataflowRunner", *(f"--{name}={value}" for name, value in options.items())]
    return parse_requirements(config, Path(job.place), arguments, None)


def _check_place(
    project: str,
    region: str,
    needs: Sequence[JobRequirements],
    regions: Mapping[str, Quotas],
    projects: Mapping[str, Quotas],
) -> Iterator[Finding]:
    if region in regions:
        yield from compare(needs, regions[region], projects.get(project))
    else:
        command = f"gcloud compute regions describe {region} --project={project} --format=json"
        yield Finding("quota", False, f"No --quotas file describes the region {region} of {project}.", command)
    if project not in projects and any(job.gpu for job in needs):
        command = f"gcloud compute project-info describe --project={project} --format=json"
        yield Finding(
            "quota", False, f"No --quotas file describes the project {project}, which limits its GPUs.", command
        )
