"""The job files of a plan, parsed by Google's own class, and the resources that they name."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.cloud.dataflow_v1beta3.types import LaunchFlexTemplateParameter, LaunchFlexTemplateRequest
from google.protobuf.json_format import ParseError

from rawless.errors import UserError
from terraform.checks.plan import Resource

_OBJECT = "google_storage_bucket_object"
_NAME = re.compile(r"jobs/\w+\.json")
_TEMPLATE = Path(__file__).parent.parent / "template" / "metadata.json"


def job_files(resources: Sequence[Resource]) -> list[Resource]:
    """The objects of a plan that `rawless job` reads."""
    return [each for each in resources if each.type == _OBJECT and _NAME.fullmatch(each.values["name"])]


def worker_images(resources: Sequence[Resource]) -> set[str]:
    """The images of the workers, also of job files that `parse` would refuse."""
    contents = [json.loads(each.values["content"]) for each in job_files(resources)]
    return {content["launchParameter"]["environment"].get("sdkContainerImage", "") for content in contents}


def parse(job_file: Resource) -> LaunchFlexTemplateRequest:
    """Return the request in a job file.

    Raises UserError for what Google's API would refuse as not being one: an unknown field, a value of another type, a
    name that an enumeration does not have.
    """
    request: LaunchFlexTemplateRequest
    try:
        request = LaunchFlexTemplateRequest.from_json(job_file.values["content"], ignore_unknown_fields=False)
    except ParseError as error:
        raise UserError(f"The file is no LaunchFlexTemplateRequest: {error}") from None
    return request


def violations(request: LaunchFlexTemplateRequest, resources: Sequence[Resource]) -> Iterator[str]:
    """Names in a request that the plan does not create, and values that Google's API would refuse.

    The template is the only file of a job that Terraform does not write.
    """
    launch = request.launch_parameter
    environment = launch.environment
    created = set(_created(resources))
    yield from (f"it names {name!r}, which the plan does not create" for name in _named(launch) if name not in created)
    yield from _parameter_violations(launch.parameters)
    if not 1 <= environment.num_workers <= environment.max_workers <= 1000:
        yield f"it asks for {environment.num_workers} to {environment.max_workers} workers, but Dataflow has 1 to 1000"
    if not environment.disk_size_gb:
        yield "its workers have Dataflow's default disk, of which the image takes a large part"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", launch.job_name):
        yield f"its name {launch.job_name!r} is none that Dataflow accepts"
    if not _are_labels(environment.additional_user_labels):
        yield "its labels do not have the form that Google accepts"


def _named(launch: LaunchFlexTemplateParameter) -> Iterator[str]:
    environment = launch.environment
    yield from (environment.service_account_email, environment.subnetwork, environment.kms_key_name)
    yield from ("/".join(where.split("/")[:3]) for where in (environment.temp_location, environment.staging_location))
    yield from (launch.parameters.get(name, "") for name in ("stream", "warehouse"))
    yield launch.parameters.get("source", "").removeprefix("pubsub:")


def _parameter_violations(parameters: Mapping[str, str]) -> Iterator[str]:
    """Parameters that the template does not have, and values that its patterns refuse."""
    accepted = {each["name"]: each for each in json.loads(_TEMPLATE.read_text(encoding="utf-8"))["parameters"]}
    for name, value in parameters.items():
        if name not in accepted:
            yield f"the template has no parameter {name}"
        elif not all(re.search(pattern, value) for pattern in accepted[name]["regexes"]):
            yield f"the template's pattern for {name} refuses {value!r}"
    for name in accepted:
        if name not in parameters and not accepted[name].get("isOptional"):
            yield f"the template's parameter {name} is missing"


def _are_labels(labels: Mapping[str, str]) -> bool:
    return all(
        re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) and re.fullmatch(r"[a-z0-9_-]{0,63}", value)
        for key, value in labels.items()
    )


def _created(resources: Sequence[Resource]) -> Iterator[str]:
    """What a job file can name, each in the words in which it does."""
    rings = [each.values for each in resources if each.type == "google_kms_key_ring"]
    for resource in resources:
        values = resource.values
        if resource.type == "google_service_account":
            yield values["email"]
        if resource.type == "google_compute_subnetwork":
            yield f"regions/{values['region']}/subnetworks/{values['name']}"
        if resource.type == "google_storage_bucket":
            yield f"gs://{values['name']}"
        if resource.type == _OBJECT:
            yield f"gs://{values['bucket']}/{values['name']}"
        if resource.type == "google_pubsub_subscription":
            yield f"projects/{values['project']}/subscriptions/{values['name']}"
        if resource.type == "google_kms_crypto_key":
            yield from (
                f"projects/{ring['project']}/locations/{ring['location']}/keyRings/{ring['name']}"
                f"/cryptoKeys/{values['name']}"
                for ring in rings
                if ring["id"] == values["key_ring"]
            )
