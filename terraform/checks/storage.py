"""Whatever keeps content or what was made of it: encrypted by a key of ours, and private."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from terraform.checks.plan import Resource


def _key(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    def found(values: Any) -> Any:
        for name in path:
            values = values[0] if isinstance(values, list) and values else values
            values = values.get(name) if isinstance(values, dict) else None
        return values

    return found


_KEYS = {
    "google_pubsub_topic": _key("kms_key_name"),
    "google_storage_bucket": _key("encryption", "default_kms_key_name"),
    "google_dataflow_flex_template_job": _key("kms_key_name"),
    "google_bigquery_dataset": _key("default_encryption_configuration", "kms_key_name"),
    "google_bigquery_table": _key("encryption_configuration", "kms_key_name"),
    "google_cloud_run_v2_service": _key("template", "encryption_key"),
    "google_secret_manager_secret": _key(
        "replication", "user_managed", "replicas", "customer_managed_encryption", "kms_key_name"
    ),
}


def faults(resources: Sequence[Resource]) -> Iterator[str]:
    """What lies under no key of ours, what the public could reach, and what keeps raw content for longer than said."""
    for each in resources:
        if each.type in _KEYS and not _KEYS[each.type](each.values):
            yield f"{each.address} is encrypted by no key of ours"
        if each.type == "google_storage_bucket":
            yield from _open(each)
        if each.type == "google_pubsub_subscription":
            yield from _kept(each)
        if each.type == "google_cloud_run_v2_service" and each.values["ingress"] != "INGRESS_TRAFFIC_INTERNAL_ONLY":
            yield f"{each.address} is reached from outside of the network"


def _open(bucket: Resource) -> Iterator[str]:
    if bucket.values["public_access_prevention"] != "enforced":
        yield f"{bucket.address} could be made public"
    if not bucket.values["uniform_bucket_level_access"]:
        yield f"{bucket.address} has grants on single objects"
    if bucket.place == "module.raw.google_storage_bucket.temp":
        rules = bucket.values["lifecycle_rule"] or [{"condition": [{"age": None}]}]
        if rules[0]["condition"][0]["age"] != 1:
            yield f"{bucket.address} keeps temporary files for longer than a day"
        if bucket.values["soft_delete_policy"][0]["retention_duration_seconds"] != 0:
            yield f"{bucket.address} keeps what was deleted"


def _kept(subscription: Resource) -> Iterator[str]:
    if subscription.values["message_retention_duration"] != "604800s":
        yield f"{subscription.address} does not keep unacknowledged messages for 7 days"
    if subscription.values["retain_acked_messages"]:
        yield f"{subscription.address} keeps acknowledged messages"
