"""Storage of content and embeddings: it must be private and encrypted with a customer-managed key."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from terraform.checks.plan import Resource


def _key(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    def look_up(values: Any) -> Any:
        for name in path:
            values = values[0] if isinstance(values, list) and values else values
            values = values.get(name) if isinstance(values, dict) else None
        return values

    return look_up


_KEYS = {
    "google_pubsub_topic": _key("kms_key_name"),
    "google_storage_bucket": _key("encryption", "default_kms_key_name"),
    "google_bigquery_dataset": _key("default_encryption_configuration", "kms_key_name"),
    "google_bigquery_table": _key("encryption_configuration", "kms_key_name"),
    "google_cloud_run_v2_service": _key("template", "encryption_key"),
    "google_secret_manager_secret": _key(
        "replication", "user_managed", "replicas", "customer_managed_encryption", "kms_key_name"
    ),
}


def violations(resources: Sequence[Resource]) -> Iterator[str]:
    """Resources without a customer-managed key, public resources, and wrong retention of raw content."""
    for resource in resources:
        if resource.type == "google_kms_crypto_key" and not _is_in_hsm(resource.values):
            yield f"{resource.address} is kept in software, not in an HSM"
        if resource.type in _KEYS and not _KEYS[resource.type](resource.values):
            yield f"{resource.address} is not encrypted with a customer-managed key"
        if resource.type == "google_storage_bucket":
            yield from _bucket_violations(resource)
        if resource.type == "google_pubsub_subscription":
            yield from _subscription_violations(resource)
        if resource.type == "google_cloud_run_v2_service":
            yield from _service_violations(resource)


def _is_in_hsm(key: Mapping[str, Any]) -> bool:
    return [template["protection_level"] for template in key["version_template"]] == ["HSM"]


def _service_violations(service: Resource) -> Iterator[str]:
    if service.values["ingress"] != "INGRESS_TRAFFIC_INTERNAL_ONLY":
        yield f"{service.address} can be reached from outside of the network"


def _bucket_violations(bucket: Resource) -> Iterator[str]:
    if bucket.values["public_access_prevention"] != "enforced":
        yield f"{bucket.address} could be made public"
    if not bucket.values["uniform_bucket_level_access"]:
        yield f"{bucket.address} allows grants on single objects"
    if bucket.block == "module.raw.google_storage_bucket.temp":
        rules = bucket.values["lifecycle_rule"] or [{"condition": [{"age": None}]}]
        if rules[0]["condition"][0]["age"] != 1:
            yield f"{bucket.address} keeps temporary files for longer than a day"
        if bucket.values["soft_delete_policy"][0]["retention_duration_seconds"] != 0:
            yield f"{bucket.address} keeps deleted objects"


def _subscription_violations(subscription: Resource) -> Iterator[str]:
    if subscription.values["message_retention_duration"] != "604800s":
        yield f"{subscription.address} does not keep unacknowledged messages for 7 days"
    if subscription.values["retain_acked_messages"]:
        yield f"{subscription.address} keeps acknowledged messages"
