"""Render the job that a job file would start, offline: with the template launcher's options and Beam's own client."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.transforms.environments import DockerEnvironment
from google.cloud.dataflow_v1beta3.types import FlexTemplateRuntimeEnvironment, Job, LaunchFlexTemplateRequest

from encoders.catalogue import lookup
from pipelines import graph_check, options
from pipelines.ingest import Ingest
from rawless.errors import UserError
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from terraform.checks import job_files
from terraform.checks.plan import Resource

_COMMAND_PARAMETERS = ("stream", "source", "warehouse", "device")
"""Parameters of the command, as opposed to options of Beam."""
_FIELDS = {
    "sdk_container_image": "sdk_container_image",
    "machine_type": "machine_type",
    "disk_size_gb": "disk_size_gb",
    "num_workers": "num_workers",
    "max_workers": "max_num_workers",
    "temp_location": "temp_location",
    "staging_location": "staging_location",
    "service_account_email": "service_account_email",
    "subnetwork": "subnetwork",
    "kms_key_name": "dataflow_kms_key",
}
"""The Beam option for each field of the request's environment whose value the option takes as it is.

The launcher cannot be run here. That it uses the names of Beam's Python SDK is described in
https://cloud.google.com/dataflow/docs/reference/pipeline-options, and visible in the jobs that it starts: they report
their options in snake case (magic-modules#14038).
"""
_ALGORITHMS = {"AUTOSCALING_ALGORITHM_NONE": "NONE", "AUTOSCALING_ALGORITHM_BASIC": "THROUGHPUT_BASED"}
"""The option's only values; Beam's client turns them into those of the API again (apiclient.Environment)."""
_OF_THE_LAUNCHER = {"launcher_machine_type"}
"""Fields that concern the launcher's own machine, not the job."""


def arguments(request: LaunchFlexTemplateRequest) -> list[str]:
    """The arguments that the template launcher passes to the command.

    Raises UserError for a field whose option is not known, and for an option that the parameters repeat, which Dataflow
    refuses (terraform-provider-google#14679).
    """
    launch = request.launch_parameter
    flags = {"project": request.project_id, "region": request.location, "job_name": launch.job_name}
    for field, value in _set_fields(launch.environment).items():
        flags |= _flags(field, value)
    given = {name: value for name, value in launch.parameters.items() if name not in _COMMAND_PARAMETERS}
    if twice := sorted(set(given) & set(flags)):
        raise UserError(f"The option {twice[0]} is in the environment and among the parameters; remove the parameter.")
    flags |= given
    return [
        "--runner=DataflowRunner",
        *(f"--{name}" if value is None else f"--{name}={value}" for name, value in flags.items()),
    ]


def _flags(field: str, value: Any) -> dict[str, Any]:
    """The options of Beam for a field of the environment, with None for an option that has no value."""
    if field in _FIELDS:
        return {_FIELDS[field]: value}
    if field == "autoscaling_algorithm" and value in _ALGORITHMS:
        return {field: _ALGORITHMS[value]}
    if field == "additional_experiments":
        return {"experiments": ",".join(value)}
    if field == "additional_user_labels":
        return {"labels": json.dumps(value, sort_keys=True)}
    if (field, value) == ("ip_configuration", "WORKER_IP_PRIVATE"):
        return {"no_use_public_ips": None}
    if (field, value) == ("enable_streaming_engine", True):
        return {"enable_streaming_engine": None}
    if field in _OF_THE_LAUNCHER:
        return {}
    raise UserError(f"It is not known which option of Beam {field}: {value} becomes; add it to request.py.")


def _set_fields(environment: FlexTemplateRuntimeEnvironment) -> dict[str, Any]:
    """The fields that have a value, with names of enumerations."""
    fields: dict[str, Any] = FlexTemplateRuntimeEnvironment.to_dict(
        environment, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    return fields


def render(request: LaunchFlexTemplateRequest) -> Job:
    """Return the job that would be created. Raises UserError for an option that the command would refuse.

    Google's class parses it once more from JSON, the form in which it would be sent.
    """
    parsed = options.parse(arguments(request), streaming=True)
    image = apiclient.get_container_image_from_options(parsed)
    environment = DockerEnvironment.from_container_image(image)  # as Beam's runner for Dataflow does
    proto = _pipeline(request).to_runner_api(default_environment=environment)
    wrapped = apiclient.Environment([], parsed, "8", "gs://staged/pipeline.pb", proto)
    job = apiclient.Job(parsed, proto)
    job.proto.environment = wrapped.proto
    rendered: Job = Job.from_json(job.json(), ignore_unknown_fields=False)
    return rendered


def _pipeline(request: LaunchFlexTemplateRequest) -> beam.Pipeline:
    """The real graph of a job, with made-up names of subscription and tables.

    The options name no runner, because with DataflowRunner Beam would look up the buckets in Cloud Storage.
    """
    subscription = request.launch_parameter.parameters["source"].removeprefix("pubsub:")
    config = WarehouseConfig(project=request.project_id, events="e", snapshots="s", builds="b", subjects="u", audit="a")
    stream = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))
    ingest = Ingest(stream, Subscription(subscription), (lookup("minilm@1.0.0"),), KeySource(), Warehouse(config))
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(["--streaming"]))
    ingest.build(pipeline)
    graph_check.check(pipeline)
    return pipeline


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """The violations in each job file and in the job that it would start."""
    for file in job_files.job_files(resources):
        yield from (f"{file.address}: {violation}" for violation in _file_violations(file, resources))


def _file_violations(file: Resource, resources: Sequence[Resource]) -> Iterator[str]:
    try:
        request = job_files.parse(file)
        yield from job_files.violations(request, resources)
        yield from _violations(request, render(request))
    except UserError as error:
        yield str(error)


def _violations(request: LaunchFlexTemplateRequest, job: Job) -> Iterator[str]:
    environment = job.environment
    (pool,) = environment.worker_pools
    given, parameters = request.launch_parameter.environment, request.launch_parameter.parameters
    yield from _accelerator_violations(parameters["device"], pool.machine_type, list(environment.service_options))
    workers = environment.sdk_pipeline_options["options"]
    scaling = pool.autoscaling_settings
    threads = int(parameters["number_of_worker_harness_threads"])
    expected = {
        "its workers run another image": pool.worker_harness_container_image == given.sdk_container_image,
        "its workers have public addresses": pool.ip_configuration.name == "WORKER_IP_PRIVATE",
        "its workers are not in the subnetwork": bool(pool.subnetwork),
        "it does not run as the stream's worker": "-w-" in environment.service_account_email,
        "its code is in the bucket of its temporary files": (
            given.staging_location.split("/")[2] != given.temp_location.split("/")[2]
        ),
        "its state is not encrypted with a customer-managed key": bool(environment.service_kms_key_name),
        "it does not scale with the backlog": scaling.algorithm.name == "AUTOSCALING_ALGORITHM_BASIC",
        "its disks and workers are not those of the job file": (
            (pool.disk_size_gb, pool.num_workers, scaling.max_num_workers)
            == (given.disk_size_gb, given.num_workers, given.max_workers)
        ),
        "`rawless job` would not find it by its labels": job.labels == given.additional_user_labels and len(job.labels),
        "every vCPU would load the encoder": "no_use_multiple_sdk_containers" in environment.experiments,
        # The job disables it too, but a later version of its code might not.
        "exception sampling is on": options.NO_EXCEPTION_SAMPLING in given.additional_experiments,
        "it has another number of threads than requested": pool.num_threads_per_worker == threads,
        "a step that hangs would do so for ever": workers["element_processing_timeout_minutes"],
    }
    yield from (violation for violation, is_met in expected.items() if not is_met)


def _accelerator_violations(device: str, machine: str, service_options: list[str]) -> Iterator[str]:
    accelerators = [option for option in service_options if option.startswith("worker_accelerator=")]
    if len(accelerators) != (device == "cuda"):
        yield f"the device {device} and the accelerators {accelerators} do not match"
    if not all(option.endswith(";install-nvidia-driver:5xx") for option in accelerators):
        yield "its workers would get no driver, or one that is too old for torch: install-nvidia-driver:5xx is missing"
    if accelerators and not machine.startswith(("g2-", "n1-")):
        yield f"the machine type {machine} supports no accelerator"
