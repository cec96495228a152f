"""Check names, messages and subscriptions against the protocol's rules and what this server supports."""

import re
from collections.abc import Sequence
from typing import Any

from rawless.local.pubsub.errors import invalid

MAX_MESSAGES = 1000
MAX_REQUEST = 10_000_000
MAX_ATTRIBUTES = 100
MAX_NAME = 256
MAX_VALUE = 1024
_NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_SECONDS = range(10, 601)
_RETENTION = range(600, 31 * 24 * 3600 + 1)
_TOPIC = {"name", "labels"}
_SUBSCRIPTION = {
    "name", "topic", "labels", "ack_deadline_seconds", "retain_acked_messages", "message_retention_duration", "filter",
    "expiration_policy",
}  # fmt: skip
"""Options that this server supports. Others are refused rather than silently ignored."""


def check_name(name: str, kind: str) -> None:
    """Raise PubSubError unless `name` is a valid name of this kind, "topics" or "subscriptions"."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] != kind:
        raise invalid(f"a name must be projects/PROJECT/{kind}/NAME, with a NAME of 3 to 255 characters")


def check_messages(messages: Sequence[Any]) -> None:
    """Raise PubSubError unless these messages can be published in one request."""
    if not 0 < len(messages) <= MAX_MESSAGES:
        raise invalid(f"a request must contain 1 to {MAX_MESSAGES} messages")
    if sum(message.ByteSize() for message in messages) > MAX_REQUEST:
        raise invalid(f"a request must not exceed {MAX_REQUEST} bytes")
    for message in messages:
        if not message.data and not message.attributes:
            raise invalid("a message must have data or an attribute")
        if message.ordering_key:
            raise invalid("the local Pub/Sub does not support ordering_key")
        _check_attributes(message.attributes)


def _check_attributes(attributes: Any) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise invalid(f"a message must not have more than {MAX_ATTRIBUTES} attributes")
    for name, value in attributes.items():
        if not 0 < len(name.encode()) <= MAX_NAME or name.startswith("goog"):
            raise invalid(f"an attribute's name must have 1 to {MAX_NAME} bytes and not start with goog")
        if len(value.encode()) > MAX_VALUE:
            raise invalid(f"an attribute's value must not exceed {MAX_VALUE} bytes")


def check_topic(config: Any) -> None:
    """Raise PubSubError unless this server supports such a topic."""
    check_name(config.name, "topics")
    _check_options(config, _TOPIC)


def _check_options(config: Any, known: set[str]) -> None:
    for field, value in config.ListFields():
        # Some clients send an empty message for an option that is not set.
        empty = hasattr(value, "ByteSize") and not value.ByteSize()
        if field.name not in known and not empty:
            raise invalid(f"the local Pub/Sub does not support {field.name}")


def check_subscription(config: Any) -> None:
    """Raise PubSubError unless this server supports such a subscription."""
    check_name(config.name, "subscriptions")
    _check_options(config, _SUBSCRIPTION)
    if config.ack_deadline_seconds and config.ack_deadline_seconds not in _SECONDS:
        raise invalid("ack_deadline_seconds must be 10 to 600")
    retention = config.message_retention_duration.seconds
    if retention and retention not in _RETENTION:
        raise invalid("message_retention_duration must be 10 minutes to 31 days")


def check_deadline(seconds: int) -> None:
    """Raise PubSubError unless a message can be leased for that many seconds."""
    if not 0 <= seconds <= _SECONDS[-1]:
        raise invalid("ack_deadline_seconds must be 0 to 600")
