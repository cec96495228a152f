"""The job file of a stream: the request that launches its job, as Terraform writes it."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.cloud.dataflow_v1beta3 import LaunchFlexTemplateRequest
from google.protobuf import descriptor_pool
from google.protobuf.json_format import Parse, ParseError

from rawless.errors import UserError
from rawless.events.cloud_objects import SCHEME, ObjectNotFound, download, parse_pattern
from rawless.events.objects import UnreadableObject

REQUEST_LABEL = "rawless-request"
"""The label of a job that says by which request it was launched."""
_LABELS = ("app", "stream")
"""The labels by which the jobs of a stream are found."""
_MAX_BYTES = 1 << 20
_JOB_NAME = re.compile(r"[a-z]([-a-z0-9]{0,998}[a-z0-9])?")
"""A name of at most 1,024 characters after `replace` has added a suffix."""
_OF_A_COMMAND = {
    "update": "`rawless job update` sets it",
    "transformNameMappings": "a job of a stream has no state, so `rawless job replace` does the same",
}
"""Fields of a launch that are no part of what a job is, and what is there instead."""
_AT_FIELD = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN_FIELD = re.compile(r'has no field named "([^"]*)"')
_UNKNOWN_VALUE = re.compile(r"Invalid enum value (.*) for enum type ([\w.]+)")
_WHERE_IN_MESSAGE = re.compile(r' at "?LaunchFlexTemplateRequest[\w.\[\]"]*')


@dataclass(frozen=True)
class JobFile:
    """A valid job file."""

    place: str
    """The path or the gs:// address that a user gave."""
    request: dict[str, Any]

    @property
    def project(self) -> str:
        """The project in which the job runs."""
        return str(self.request["projectId"])

    @property
    def location(self) -> str:
        """The region of the job."""
        return str(self.request["location"])

    @property
    def name(self) -> str:
        """The name of the stream's job, to which `replace` adds a suffix."""
        return str(self.request["launchParameter"]["jobName"])

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which the jobs of the stream are found."""
        return {name: self._environment["additionalUserLabels"][name] for name in _LABELS}

    @property
    def stream(self) -> str:
        """The name of the stream."""
        return self.labels["stream"]

    @property
    def template(self) -> str:
        """The address of the template."""
        return str(self.request["launchParameter"]["containerSpecGcsPath"])

    @property
    def account(self) -> str | None:
        """The service account of the workers."""
        return self._environment.get("serviceAccountEmail")

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the request, in hexadecimal digits, whatever the order of its fields and its blanks."""
        canonical = json.dumps(self.request, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def request_id(self) -> str:
        """The value of the label that a job of this request has."""
        return self.digest[:16]

    def replacement_name(self, attempt: int = 1) -> str:
        """Return the name of a job of this request beside others; a later attempt has another."""
        return f"{self.name}-{self.digest[:8]}" + (f"-{attempt}" if attempt > 1 else "")

    def is_name(self, name: str) -> bool:
        """Return whether a job of the stream may have been given this name."""
        return re.fullmatch(rf"{re.escape(self.name)}(-[0-9a-f]{{8}}(-\d+)?)?", name) is not None

    def launch_body(self, name: str, *, update: bool = False) -> dict[str, Any]:
        """Return the body of the request that launches a job of this name, or updates the one that has it."""
        labels = {**self._environment["additionalUserLabels"], REQUEST_LABEL: self.request_id}
        parameter = {**self.request["launchParameter"], "jobName": name}
        parameter["environment"] = {**self._environment, "additionalUserLabels": labels}
        return {"launchParameter": {**parameter, **({"update": True} if update else {})}}

    @property
    def _environment(self) -> dict[str, Any]:
        return dict(self.request["launchParameter"]["environment"])


def read_job_file(place: str) -> JobFile:
    """Return the job file at a path or a gs:// address. Raises UserError, which names the field that is wrong.

    Raises Unavailable if Cloud Storage does not answer.
    """
    return parse_job_file(_download(place) if place.startswith(SCHEME) else _read(place), place)


def parse_job_file(content: bytes, place: str) -> JobFile:
    """Return the job file with this content. Raises UserError, which names the field that is wrong."""
    message = LaunchFlexTemplateRequest.pb(LaunchFlexTemplateRequest())
    try:
        text = content.decode()
        Parse(text, message)
        request = json.loads(text)
    except UnicodeDecodeError:
        raise _wrong(place, "it is not UTF-8 text; write it anew by `terraform apply`") from None
    except ParseError as error:
        raise _wrong(place, _described(str(error))) from None
    _check_enums(message.launch_parameter.environment, place)
    if problem := _problem(request):
        raise _wrong(place, problem)
    return JobFile(place, request)


def _read(place: str) -> bytes:
    try:
        with Path(place).open("rb") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise UserError(
            f"The job file {place} does not exist: check the path, or name one of the addresses that `terraform output "
            "job_files` prints."
        ) from None
    except OSError as error:
        raise UserError(f"The job file {place} cannot be read ({type(error).__name__}): check its access.") from None


def _download(place: str) -> bytes:
    object_of = parse_pattern(place, "The job file")
    try:
        return download(object_of.bucket, object_of.name, f"The job file {place}", end=_MAX_BYTES)
    except ObjectNotFound:
        raise UserError(
            f"The job file {place} does not exist: check the address; `terraform output job_files` prints those that "
            "`terraform apply` has written."
        ) from None
    except UnreadableObject:
        raise UserError(
            f"The job file {place} may not be read: let your account read its bucket (roles/storage.objectViewer), "
            "from inside of the service perimeter."
        ) from None


def _wrong(place: str, problem: str) -> UserError:
    return UserError(f"The job file {place}: {problem}.")


def _described(problem: str) -> str:
    """Return what is wrong by a parse error, with the whole name of the field."""
    path = ".".join(_AT_FIELD.findall(problem))
    rest = _WHERE_IN_MESSAGE.sub("", _AT_FIELD.sub("", problem).split("\n")[0]).rstrip(". ")
    if unknown := _UNKNOWN_FIELD.search(rest):
        field = ".".join(part for part in (path, unknown[1]) if part)
        return f"the field {field} is unknown to Dataflow; remove it or correct its name"
    if value := _UNKNOWN_VALUE.search(rest):
        names = descriptor_pool.Default().FindEnumTypeByName(value[2]).values_by_name
        return f"{path} is {value[1]}, but Dataflow knows only {', '.join(names)}"
    if not path:
        return f"it is no request in JSON ({rest.removeprefix('Failed to load JSON: ')}); write it by `terraform apply`"
    return f"{path} has a value that Dataflow refuses: {rest}"


def _check_enums(environment: Any, place: str) -> None:
    """Raise UserError for a number of an enum that has no name, which Google's parser keeps."""
    for field, value in environment.ListFields():
        if field.enum_type and value not in field.enum_type.values_by_number:
            names = ", ".join(field.enum_type.values_by_name)
            field_name = f"launchParameter.environment.{field.json_name}"
            raise _wrong(place, f"{field_name} is {value}, but Dataflow knows only {names}")


def _problem(request: Any) -> str | None:
    """Return which rule of ours a request breaks that Google's classes can parse."""
    if not isinstance(request, dict):
        return "it is no JSON object; write it by `terraform apply`"
    if request.get("validateOnly"):
        return "validateOnly is true, which would launch nothing; remove it"
    parameter = request.get("launchParameter") or {}
    for field, instead in _OF_A_COMMAND.items():
        if field in parameter:
            return f"launchParameter.{field} is set, but belongs to no job file: {instead}; remove it"
    environment = parameter.get("environment") or {}
    labels = environment.get("additionalUserLabels") or {}
    required = {
        "projectId": request.get("projectId"),
        "location": request.get("location"),
        "launchParameter.jobName": parameter.get("jobName"),
        "launchParameter.containerSpecGcsPath": parameter.get("containerSpecGcsPath"),
        **{f"launchParameter.environment.additionalUserLabels.{name}": labels.get(name) for name in _LABELS},
    }
    if missing := next((field for field, value in required.items() if not value), None):
        return f"the field {missing} is missing; add it"
    if REQUEST_LABEL in labels:
        return f"the label {REQUEST_LABEL} is set, but `rawless job` computes it; remove it"
    if not _JOB_NAME.fullmatch(parameter["jobName"]):
        return (
            f"launchParameter.jobName is {parameter['jobName']!r}, but must be at most 1,000 lower-case letters, "
            "digits and hyphens, begin with a letter and not end with a hyphen"
        )
    return None
