"""Service perimeters and names: who may cross, from where, what they may call, and which names resolve."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from terraform.checks.plan import Resource

_LEVEL = re.compile(r"accessPolicies/\d+/accessLevels/[A-Za-z]\w*")
_MANAGED = "the pipeline manages its resources, which contain no messages, rows or objects"
_QUERIES = "queries, read sessions and tables of a build; roles decide which rows, and no rule lets a result out"
EVERY_METHOD = {
    **{
        ("Delivery pipeline", f"{service}.googleapis.com"): _MANAGED
        for service in ("artifactregistry", "cloudkms", "compute", "dataflow", "logging", "monitoring", "run")
    },
    **{
        (title, "bigquery.googleapis.com"): _QUERIES
        for title in ("Dataset builders and subject mappers", "Data scientists", "Auditors", "Administrators")
    },
    ("Auditors", "logging.googleapis.com"): "the view of the records is their only role there",
    ("Audit logs", "logging.googleapis.com"): "Google names no method of a sink; the role is to write to one bucket",
}
"""The rules that allow every method of a service, each with the reason."""
READS: dict[str, set[str]] = {
    "google.storage.objects.get": {"Break-glass", "Claim checks", "Delivery pipeline", "GPU driver"},
    "google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion": {"Pseudonym key for the subject map"},
    "Subscriber.Pull": set(),
    "Subscriber.StreamingPull": set(),
    "Subscriber.CreateSnapshot": set(),
    "Subscriber.Seek": set(),
    "bigquery.jobs.create": {"Classifier", "Snapshots for the classifier"},
    "bigquery.tables.updateData": {"Audit logs"},
}
"""Methods that return content or can carry it, and the only rules that may allow them by name."""
ANYBODY: dict[str, tuple[str, set[str]]] = {
    "Installer of the GPU driver": (
        "Google's registry pulls an image of gcr.io for nobody that a rule could name",
        {"artifactregistry.googleapis.com/DockerRead"},
    ),
}
"""The rules that name no identity, each with the reason and the only methods that it may allow."""
RESOLVED = {"googleapis.com.", "pkg.dev.", "gcr.io.", "run.app.", "internal."}
"""Google's restricted APIs, and the machines of the network and their metadata server."""


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Rules with an unnamed origin, identity or method, methods that a rule must not allow, and names that resolve."""
    for perimeter in resources:
        if perimeter.type == "google_access_context_manager_service_perimeter":
            if not perimeter.values["status"]:
                yield f"{perimeter.address} is not enforced"
            (status,) = perimeter.values["status"] or perimeter.values["spec"]
            for rule in status["ingress_policies"]:
                yield from _origin_violations(perimeter, rule)
            for rule in status["ingress_policies"]:
                yield from _rule_violations(perimeter, rule, "ingress")
            for rule in status["egress_policies"]:
                yield from _rule_violations(perimeter, rule, "egress")

    for network in resources:
        if network.type == "google_compute_network":
            yield from _name_violations(network, resources)


def _name_violations(network: Resource, resources: Sequence[Resource]) -> Iterator[str]:
    def attached(type_: str) -> list[dict[str, Any]]:
        of_type = [resource.values for resource in resources if resource.type == type_]
        return [v for v in of_type if network.values["id"] in {entry["network_url"] for entry in v["networks"]}]

    policies = {values["response_policy_name"] for values in attached("google_dns_response_policy")}
    rules = [r.values for r in resources if r.type == "google_dns_response_policy_rule"]
    rules = [rule for rule in rules if rule["response_policy"] in policies]
    if not any(rule["dns_name"] == "*." and rule["local_data"] for rule in rules):
        yield f"{network.address} resolves names of the internet"
    for rule in rules:
        if rule["dns_name"] != "*." and rule["dns_name"].removeprefix("*.") not in RESOLVED:
            yield f"{network.address} resolves {rule['dns_name']}"
    if not any(values["enable_logging"] for values in attached("google_dns_policy")):
        yield f"{network.address} does not log which names are asked for"


def _origin_violations(perimeter: Resource, rule: dict[str, Any]) -> Iterator[str]:
    sources = rule["ingress_from"][0]["sources"]
    if not sources:
        yield f"{perimeter.address} lets “{rule['title']}” in from anywhere: it names no source"
    for source in sources:
        level = source["access_level"]
        if level is not None and not _LEVEL.fullmatch(level):
            yield f"{perimeter.address} lets “{rule['title']}” in from {level}, which is no access level"


def _rule_violations(perimeter: Resource, rule: dict[str, Any], direction: str) -> Iterator[str]:
    title = rule["title"]
    (origin,) = rule[f"{direction}_from"]
    (target,) = rule[f"{direction}_to"]
    names = {selector["method"] for operation in target["operations"] for selector in operation["method_selectors"]}
    if (origin["identity_type"] or not origin["identities"]) and not names <= ANYBODY.get(title, ("", set()))[1]:
        yield f"{perimeter.address} does not name the identities of “{title}”"
    if not target["operations"] or "*" in target["resources"]:
        yield f"{perimeter.address} allows “{title}” every service or project"
    for operation in target["operations"]:
        service = operation["service_name"]
        names = {selector["method"] or selector["permission"] for selector in operation["method_selectors"]}
        if service == "*" or (("*" in names or not names) and (title, service) not in EVERY_METHOD):
            yield f"{perimeter.address} allows “{title}” every method of {service}"
        for name in sorted(names & READS.keys()):
            if title not in READS[name]:
                yield f"{perimeter.address} allows “{title}” to call {name}"
