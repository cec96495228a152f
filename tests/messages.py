"""Messages of a subscription on the local Pub/Sub."""

from collections.abc import Mapping
from typing import Any

from rawless.events.sources.pubsub import Subscription
from tests.conftest import event, topic_of


def publish(subscription: Subscription, *events: Mapping[str, Any]) -> None:
    """Publish events whose fields are attributes and whose text is the payload."""
    messages = []
    for fields in events:
        whole = event(**fields)
        data = str(whole.pop("text", "")).encode()
        messages.append({"data": data, "attributes": {**whole.pop("attributes", {}), **whole}})
    with subscription.pubsub.publisher() as client:
        for start in range(0, len(messages), 1000):
            client.publish(request={"topic": topic_of(subscription), "messages": messages[start : start + 1000]})


def waiting(subscription: Subscription) -> int:
    """Return the number of messages that are neither leased nor acknowledged, and lease them."""
    count = 0
    with subscription.pubsub.subscriber() as client:
        while answer := client.pull(subscription=subscription.name, max_messages=1000).received_messages:
            count += len(answer)
    return count
