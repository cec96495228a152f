"""Reading a Pub/Sub subscription in a job: connect to it, read its messages, turn them into deliveries."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as proto

from pipelines.unbounded import MessageRead
from rawless.events.event import Delivery
from rawless.events.messages import decode_message
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream

if TYPE_CHECKING:
    from pipelines.local_pubsub import SubscriptionReader


def _redacted(_: PubsubMessage) -> str:
    return "PubsubMessage(redacted)"


# Beam's own repr shows data and attributes to whatever quotes an element.
PubsubMessage.__repr__ = _redacted


def connect(source: Subscription, stream: Stream, warehouse: Path | None, until_idle: float | None) -> Subscription:
    """Return the subscription that a job reads; see `rawless.connect.connect_subscription`."""
    from rawless.connect import connect_subscription  # which workers do not need

    return replace(connect_subscription(source, stream.stream, warehouse), until_idle=until_idle)


def read_messages(source: Subscription) -> beam.PTransform:
    """Return the transform that reads the messages.

    It has no `id_label`, for which a runner would keep messages to compare them: readers of embedding events see each
    event once anyway.
    """
    return ReadFromPubSub(subscription=source.name, with_attributes=True)


def find_fault(payload: bytes) -> str | None:
    """Return what is wrong with a transform that reads messages, or None."""
    if proto.PubSubReadPayload.FromString(payload).id_attribute:
        return "reads with id_label, which makes a runner keep messages: leave it out."
    return None


def to_delivery(message: PubsubMessage) -> Delivery:
    """Return a message as a delivery."""
    return decode_message(message.message_id, message.data, message.attributes)


def read_locally(source: Subscription) -> "AbstractContextManager[SubscriptionReader]":
    """See `pipelines.local_pubsub.read_locally`."""
    from pipelines.local_pubsub import read_locally  # patches Beam's local runner, so workers do not import it

    return read_locally(source)


READ = MessageRead(
    common_urns.composites.PUBSUB_READ.urn, find_fault, connect, read_messages, to_delivery, read_locally
)
