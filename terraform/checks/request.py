"""Render the request that would start a job, offline, with Beam's own client and the options that Terraform passes."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.transforms.environments import DockerEnvironment

from encoders.catalogue import lookup
from pipelines import graph_check, options
from pipelines.ingest import Ingest
from rawless.errors import UserError
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from terraform.checks.plan import Resource

JOB = "google_dataflow_flex_template_job"
_COMMAND_PARAMETERS = ("stream", "source", "warehouse", "device")
"""Parameters of the command, as opposed to options of Beam."""
_FIELDS = {
    "project": "project",
    "region": "region",
    "name": "job_name",
    "sdk_container_image": "sdk_container_image",
    "machine_type": "machine_type",
    "num_workers": "num_workers",
    "max_workers": "max_num_workers",
    "autoscaling_algorithm": "autoscaling_algorithm",
    "temp_location": "temp_location",
    "staging_location": "staging_location",
    "service_account_email": "service_account_email",
    "subnetwork": "subnetwork",
    "kms_key_name": "dataflow_kms_key",
}
"""The Beam option to which Google's template launcher, which cannot be run here, translates each field."""


def arguments(job: Resource) -> list[str]:
    """The arguments that the template launcher passes to the command."""
    values = job.values
    flags_by_name = {option: values[field] for field, option in _FIELDS.items() if values[field] is not None}
    flags_by_name |= {name: value for name, value in values["parameters"].items() if name not in _COMMAND_PARAMETERS}
    flags = [f"--{option}={value}" for option, value in sorted(flags_by_name.items())]
    flags += [f"--experiments={','.join(values['additional_experiments'])}"] if values["additional_experiments"] else []
    flags += ["--no_use_public_ips"] if values["ip_configuration"] == "WORKER_IP_PRIVATE" else []
    flags += ["--enable_streaming_engine"] if values["enable_streaming_engine"] else []
    return ["--runner=DataflowRunner", *flags]


def render(job: Resource) -> Any:
    """Return the environment of the job's request. Raises UserError for an option that the job would refuse."""
    parsed = options.parse(arguments(job), streaming=True)
    image = apiclient.get_container_image_from_options(parsed)
    environment = DockerEnvironment.from_container_image(image)  # as Beam's runner for Dataflow does
    proto = _pipeline(job).to_runner_api(default_environment=environment)
    return apiclient.Environment([], parsed, "8", "gs://staged/pipeline.pb", proto).proto


def _pipeline(job: Resource) -> beam.Pipeline:
    """The real graph of a job, with made-up names of subscription and tables.

    The options name no runner, because with DataflowRunner Beam would look up the buckets in Cloud Storage.
    """
    subscription = job.values["parameters"]["source"].removeprefix("pubsub:")
    config = WarehouseConfig(
        project=job.values["project"], events="e", snapshots="s", builds="b", subjects="u", audit="a"
    )
    stream = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))
    ingest = Ingest(stream, Subscription(subscription), (lookup("minilm@1.0.0"),), KeySource(), Warehouse(config))
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(["--streaming"]))
    ingest.build(pipeline)
    graph_check.check(pipeline)
    return pipeline


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """The violations in the request of each job."""
    for job in (resource for resource in resources if resource.type == JOB):
        try:
            request = render(job)
        except UserError as error:
            yield f"{job.address}: {error}"
        else:
            yield from (f"{job.address}: {violation}" for violation in _violations(job, request))


def _violations(job: Resource, request: Any) -> Iterator[str]:
    (pool,) = request.worker_pools
    values, parameters = job.values, job.values["parameters"]
    yield from _accelerator_violations(parameters["device"], pool.machine_type, list(request.service_options))
    workers = request.sdk_pipeline_options["options"]
    threads = int(parameters["number_of_worker_harness_threads"])
    expected = {
        "its workers run another image": pool.worker_harness_container_image == values["sdk_container_image"],
        "its workers have public addresses": pool.ip_configuration.name == "WORKER_IP_PRIVATE",
        "its workers are not in the subnetwork": bool(pool.subnetwork),
        "it does not run as the stream's worker": "-w-" in request.service_account_email,
        "its code is in the bucket of its temporary files": (
            values["staging_location"].split("/")[2] != values["temp_location"].split("/")[2]
        ),
        "its state is not encrypted with a customer-managed key": bool(request.service_kms_key_name),
        "every vCPU would load the encoder": "no_use_multiple_sdk_containers" in request.experiments,
        # The job disables it too, but a later version of its code might not.
        "exception sampling is on": options.NO_EXCEPTION_SAMPLING in values["additional_experiments"],
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
