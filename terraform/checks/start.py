"""The start of a worker: every name that it asks for resolves, and every call that it makes is let through."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from apache_beam.runners.dataflow.internal import names

from terraform.checks.plan import Resource

PERIMETER = "google_access_context_manager_service_perimeter"
_RESTRICTED = {f"199.36.153.{number}" for number in range(4, 8)}
"""The addresses of restricted.googleapis.com."""


class Call(NamedTuple):
    """A call that a worker makes when it starts, to a resource of the production project or of another one."""

    host: str
    service: str
    why: str


CALLS = (
    Call("metadata.google.internal", "", "its account's tokens and the job that it belongs to"),
    Call("dataflow.googleapis.com", "dataflow", "work"),
    Call("storage.googleapis.com", "storage", "the job's code, options and files"),
    Call("REGION-docker.pkg.dev", "artifactregistry", "the image of the workers"),
    Call(names.DATAFLOW_CONTAINER_IMAGE_REPOSITORY.split("/")[0], "artifactregistry", "Dataflow's own images"),
    Call("us.gcr.io", "artifactregistry", "the installer of the GPU driver, which is Google's image too"),
    Call("logging.googleapis.com", "logging", "its logs"),
    Call("monitoring.googleapis.com", "monitoring", "its metrics"),
    Call("pubsub.googleapis.com", "pubsub", "messages"),
    Call("secretmanager.googleapis.com", "secretmanager", "the pseudonym key"),
    Call("cloudkms.googleapis.com", "cloudkms", "the key of what it reads and writes"),
    Call("bigquery.googleapis.com", "bigquery", "the registry of encoders"),
    Call("bigquerystorage.googleapis.com", "bigquerystorage", "the rows that it writes"),
    Call("run.app", "run", "one service calls another"),
)
"""What workers call. Google's images at gcr.io/cloud-dataflow may be read through any perimeter, says
https://cloud.google.com/vpc-service-controls/docs/supported-products; those of other projects may not."""
_READS_OBJECTS = {"google.storage.objects.get", "google.storage.objects.list"}
DRIVER = {
    "storage.googleapis.com": _READS_OBJECTS,
    "artifactregistry.googleapis.com": {"artifactregistry.googleapis.com/DockerRead"},
}
"""What a worker with a GPU calls in Google's projects, to install the driver."""


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Calls of a start to which a name, an address, a perimeter's service or a rule of egress is missing."""
    zones = {r.values["dns_name"]: r.values["name"] for r in resources if r.type == "google_dns_managed_zone"}
    addresses = {
        r.values["managed_zone"]: set(r.values["rrdatas"])
        for r in resources
        if r.type == "google_dns_record_set" and r.values["type"] == "A"
    }
    allowed = {r.values["dns_name"] for r in resources if r.type == "google_dns_response_policy_rule"}
    production = [_config(r) for r in resources if r.type == PERIMETER and '"production"' in r.address]
    for call in CALLS:
        domain = f"{'.'.join(call.host.split('.')[-2:])}."
        if call.host.endswith(".internal"):
            domain = "internal."
        elif not addresses.get(zones.get(domain, ""), set()) & _RESTRICTED:
            yield f"A worker cannot reach {call.host} ({call.why}): no zone resolves {domain}"
        if not {domain, f"*.{domain}"} <= allowed | {"internal."}:
            yield f"A worker cannot reach {call.host} ({call.why}): the response policy answers instead of {domain}"
        for perimeter in production:
            if call.service and f"{call.service}.googleapis.com" not in perimeter["restricted_services"]:
                yield f"A worker cannot reach {call.host} ({call.why}): {call.service} is no restricted service"
    for perimeter in production:
        yield from _driver_violations(perimeter, _gpu_workers(resources))
        yield from _claim_check_violations(perimeter)


def _config(perimeter: Resource) -> dict[str, Any]:
    (config,) = perimeter.values["status"] or perimeter.values["spec"]
    return dict(config)


def _gpu_workers(resources: Sequence[Resource]) -> set[str]:
    """The accounts of the streams whose job has an accelerator, as IAM members."""
    accounts = {r.address.split('"')[1]: r.values["member"] for r in resources if r.type == "google_service_account"}
    of_streams = [r for r in resources if r.address.startswith("module.raw[")]
    return {accounts[r.address.split('"')[1]] for r in of_streams if "worker_accelerator" in str(r.values)}


def _driver_violations(perimeter: Mapping[str, Any], workers: set[str]) -> Iterator[str]:
    for service, methods in DRIVER.items():
        for worker in sorted(workers):
            found = {method for rule in perimeter["egress_policies"] for method in _methods(rule, worker, service)}
            if missing := methods - found:
                yield f"{worker} cannot install the GPU driver: no rule of egress allows {', '.join(sorted(missing))}"


def _methods(rule: Mapping[str, Any], worker: str, service: str) -> Iterator[str]:
    """The methods of a service that a rule of egress lets a worker call outside of the warehouse."""
    (origin,), (target,) = rule["egress_from"], rule["egress_to"]
    if worker in (origin["identities"] or ()) or origin["identity_type"] == "ANY_IDENTITY":
        for operation in target["operations"]:
            if operation["service_name"] == service and "driver" in rule["title"]:
                yield from (selector["method"] for selector in operation["method_selectors"])


def _claim_check_violations(perimeter: Mapping[str, Any]) -> Iterator[str]:
    """Rules for claim checks that allow other than reading and listing objects, or anybody but workers."""
    for rule in perimeter["egress_policies"]:
        if rule["title"] == "Claim checks":
            (origin,), (target,) = rule["egress_from"], rule["egress_to"]
            methods = {s["method"] for operation in target["operations"] for s in operation["method_selectors"]}
            if methods != _READS_OBJECTS or not all("-w-" in each for each in origin["identities"]):
                yield f"The rule of egress for claim checks in {target['resources']} allows other than workers to read"
