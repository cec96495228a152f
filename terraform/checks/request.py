"""The request by which a job would start, made offline by Beam's own client out of what terraform passes."""

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
_OWN = ("stream", "source", "warehouse", "device")
"""Parameters that are the command's, and no option of Beam's."""
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
"""The option that the template's launcher makes of a field. Google's launcher does so; it cannot be run here."""


def arguments(job: Resource) -> list[str]:
    """What the template's launcher gives the command of a job."""
    values = job.values
    given = {option: values[field] for field, option in _FIELDS.items() if values[field] is not None}
    given |= {name: value for name, value in values["parameters"].items() if name not in _OWN}
    flags = [f"--{option}={value}" for option, value in sorted(given.items())]
    flags += [f"--experiments={','.join(values['additional_experiments'])}"] if values["additional_experiments"] else []
    flags += ["--no_use_public_ips"] if values["ip_configuration"] == "WORKER_IP_PRIVATE" else []
    flags += ["--enable_streaming_engine"] if values["enable_streaming_engine"] else []
    return ["--runner=DataflowRunner", *flags]


def rendered(job: Resource) -> Any:
    """The environment of the job's request. Raises UserError for an option that the job would refuse."""
    parsed = options.parse(arguments(job), streaming=True)
    image = apiclient.get_container_image_from_options(parsed)
    environment = DockerEnvironment.from_container_image(image)  # as Beam's runner for Dataflow does
    proto = _pipeline(job).to_runner_api(default_environment=environment)
    return apiclient.Environment([], parsed, "8", "gs://staged/pipeline.pb", proto).proto


def _pipeline(job: Resource) -> beam.Pipeline:
    """The real graph of a job; what it reads and writes is names alone.

    Its options name no runner: with Dataflow's, Beam would ask Cloud Storage about the buckets as soon as it is made.
    """
    subscription = job.values["parameters"]["source"].removeprefix("pubsub:")
    config = WarehouseConfig(project=job.values["project"], events="e", snapshots="s", subjects="u", audit="a")
    stream = Stream(stream="message", modality="text", encoders=("minilm@1.0.0",))
    ingest = Ingest(stream, Subscription(subscription), (lookup("minilm@1.0.0"),), KeySource(), Warehouse(config))
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(["--streaming"]))
    ingest.build(pipeline)
    graph_check.check(pipeline)
    return pipeline


def faults(resources: Sequence[Resource]) -> Iterator[str]:
    """What is wrong with the request of each job."""
    for job in (each for each in resources if each.type == JOB):
        try:
            request = rendered(job)
        except UserError as error:
            yield f"{job.address}: {error}"
        else:
            yield from (f"{job.address}: {fault}" for fault in _judged(job, request))


def _judged(job: Resource, request: Any) -> Iterator[str]:
    (pool,) = request.worker_pools
    values, parameters = job.values, job.values["parameters"]
    yield from _accelerated(parameters["device"], pool.machine_type, list(request.service_options))
    threads = int(parameters["number_of_worker_harness_threads"])
    expected = {
        "its workers run another image": pool.worker_harness_container_image == values["sdk_container_image"],
        "its workers have public addresses": pool.ip_configuration.name == "WORKER_IP_PRIVATE",
        "its workers are in a network with a way out": bool(pool.subnetwork),
        "it does not run as the stream's worker": "-w-" in request.service_account_email,
        "its state is encrypted by no key of ours": bool(request.service_kms_key_name),
        "each vCPU would load the encoder": "no_use_multiple_sdk_containers" in request.experiments,
        # The job's own code switches it off too, but an update of the code could forget it.
        "exception sampling is on": options.NO_EXCEPTION_SAMPLING in values["additional_experiments"],
        "its threads are not those that were asked for": pool.num_threads_per_worker == threads,
    }
    yield from (fault for fault, holds in expected.items() if not holds)


def _accelerated(device: str, machine: str, served: list[str]) -> Iterator[str]:
    found = [each for each in served if each.startswith("worker_accelerator=")]
    if len(found) != (device == "cuda") or not all(each.endswith(";install-nvidia-driver") for each in found):
        yield f"a device {device} and the accelerators {found} do not fit"
    if found and not machine.startswith(("g2-", "n1-")):
        yield f"a {machine} takes no accelerator"
