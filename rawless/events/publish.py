"""Publish the events of a bounded source to a Pub/Sub topic, as a producer would."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, types

from rawless.errors import Unavailable, UserError
from rawless.events.messages import MAX_MESSAGE_BYTES, Message, encode_message
from rawless.events.pubsub import PubSub, retry, unavailable
from rawless.events.source import BoundedSource, read_all
from rawless.privacy import Raw, Reason
from rawless.privacy.logs import withheld

RETRY_SECONDS = 60.0
"""For how long a request is retried while Pub/Sub is unavailable or over its quota."""
MAX_BATCH = 500
"""Messages of one request, whose bytes MAX_MESSAGE_BYTES limits."""


@dataclass
class Published:
    """Progress of publishing: messages that Pub/Sub accepted, and events that no message can carry, by reason."""

    messages: int = 0
    bytes: int = 0
    """The sizes of all events that were read, as the source says them."""
    refused: Counter[Reason] = field(default_factory=Counter)


def publish(source: BoundedSource, topic: str, pubsub: PubSub, progress: Published, *, has_parts: bool = False) -> None:
    """Publish every event of a source, and count it in `progress`. `has_parts` says that events of the stream do.

    Raises UserError if the topic does not exist or publishing is not allowed, Unavailable if Pub/Sub does not answer.
    """
    with pubsub.publisher() as client:
        for batch in _batches(source, progress, has_parts=has_parts):
            _send(client, topic, batch)
            progress.messages += len(batch)


def _batches(source: BoundedSource, progress: Published, *, has_parts: bool) -> Iterator[list[Raw[Message]]]:
    batch: list[Raw[Message]] = []
    size = 0
    for delivery in read_all(source):
        progress.bytes += delivery.size
        message = encode_message(delivery, has_parts=has_parts)
        if isinstance(message, Reason):
            progress.refused[message] += 1
            continue
        if batch and (len(batch) >= MAX_BATCH or size + message.reveal().size > MAX_MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.reveal().size
    if batch:
        yield batch


def _send(client: PublisherClient, topic: str, batch: list[Raw[Message]]) -> None:
    failure: UserError | Unavailable | None = None
    try:
        with withheld():
            client.publish(request=_request(topic, batch), retry=retry(RETRY_SECONDS), timeout=30.0)
    except NotFound:
        failure = UserError(f"The topic {topic} does not exist: create it, or name another in --topic.")
    except PermissionDenied:
        failure = UserError(f"This account may not publish to {topic}: grant it the role Pub/Sub Publisher.")
    except (GoogleAPIError, GoogleAuthError) as error:
        failure = unavailable(error)
    if failure is not None:  # outside of the handler: the library's exception may contain the request
        raise failure


def _request(topic: str, batch: list[Raw[Message]]) -> Any:
    messages = [message.reveal() for message in batch]
    return types.PublishRequest(
        topic=topic,
        messages=[types.PubsubMessage(data=message.data, attributes=message.attributes) for message in messages],
    )
