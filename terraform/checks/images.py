"""Images: services run the image without root, and only attested images run at all."""

from collections.abc import Iterator, Sequence

from terraform.checks.job_files import worker_images
from terraform.checks.plan import Resource

SERVICE = "google_cloud_run_v2_service"
POLICY = "google_binary_authorization_policy"
_REQUIRED = ("REQUIRE_ATTESTATION", "ENFORCED_BLOCK_AND_AUDIT_LOG")


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Services that run as root or are exempt from the policy, and policies that admit an image without attestation."""
    root_images = worker_images(resources)
    for service in (resource for resource in resources if resource.type == SERVICE):
        containers = service.values["template"][0]["containers"]
        if any(container["image"] in root_images or container["command"] for container in containers):
            yield f"{service.address} does not run the `service` image as it is, which has no root"
        if [each["use_default"] for each in service.values["binary_authorization"]] != [True]:
            yield f"{service.address} is exempt from Binary Authorization"
    policies = [resource for resource in resources if resource.type == POLICY]
    if not policies:
        yield "No policy of Binary Authorization is in the plan"
    for policy in policies:
        (rule,) = policy.values["default_admission_rule"]
        if (rule["evaluation_mode"], rule["enforcement_mode"]) != _REQUIRED or not rule["require_attestations_by"]:
            yield f"{policy.address} admits images without an attestation"
        if policy.values["admission_whitelist_patterns"]:
            yield f"{policy.address} exempts images"
