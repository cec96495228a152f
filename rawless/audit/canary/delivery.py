"""Send canaries through a pipeline: one that the audit runs here, or a deployed one that reads a topic."""

import random
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from google.api_core.exceptions import GoogleAPIError

from pipelines.launch import IngestRequest, prepare
from rawless.audit.canary.events import AGE, CanaryEvent, CanarySource
from rawless.audit.canary.machine import Output
from rawless.connect import LOCAL_CONFIG, open_pubsub
from rawless.errors import RawlessError, UserError
from rawless.events.publish import Published, publish
from rawless.events.pubsub import PubSub
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, START_OF_EVENTS

_ARRIVED = FOLDER / "canary_v1" / "arrived.sql"
_UNTIL_IDLE = 1.0
"""Seconds without a message after which the audit's own job ends."""
_POLL_SECONDS = 2.0
_DRAWN = 1_000
"""Ids that are drawn to find some that no event has."""
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass
class Delivery:
    """What became of the events, and what a job that ran here told of it."""

    published: int = 0
    unpublished: int = 0
    embedded: int = 0
    rejected: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: str = field(default="", repr=False)


def unused_ids(warehouse: Warehouse, stream: Stream, chance: random.Random) -> Iterator[str]:
    """Yield event ids of a stream that no event in the warehouse has. Raises UserError if there are too few."""
    drawn = {event_id for _ in range(_DRAWN) if (event_id := stream.draw_id(chance)) is not None}
    unused = drawn - _arrived(warehouse, stream, drawn, START_OF_EVENTS).keys()
    yield from unused
    raise UserError(
        f"The ids of {stream.stream} are so short that {len(unused)} of {len(drawn)} that were drawn belong to no "
        "other event, which are too few for an audit: give the stream longer ids."
    )


def run_job(
    stream: Stream, events: Sequence[CanaryEvent], device: Literal["auto", "cpu", "cuda"], output: Output
) -> Delivery:
    """Publish events to a topic of their own on the local Pub/Sub, and run the ingest job over them.

    Raises what the job raises.
    """
    delivery = Delivery()
    name = f"canary-{secrets.token_hex(8)}"
    topic, subscription = (f"projects/{LOCAL_CONFIG.project}/{kind}/{name}" for kind in ("topics", "subscriptions"))
    pubsub = open_pubsub(None)
    with _own_subscription(pubsub, subscription, topic):
        request = IngestRequest(open_source(f"pubsub:{subscription}", stream), _UNTIL_IDLE, device)
        job = prepare(request, stream)
        with output.captured():
            _publish(events, topic, pubsub, delivery)
            delivery.summary = job.run(lambda result: _keep_metrics(result, delivery))
    return delivery


def publish_to(topic: str, pubsub: PubSub, events: Sequence[CanaryEvent], output: Output) -> Delivery:
    """Publish events to the topic of a deployed pipeline."""
    delivery = Delivery()
    with output.captured():
        _publish(events, topic, pubsub, delivery)
    return delivery


def wait(
    warehouse: Warehouse, stream: Stream, events: Sequence[CanaryEvent], since: datetime, timeout: float,
    delivery: Delivery,
) -> None:  # fmt: skip
    """Wait until every event whose id is stored has been written, and count what became of them.

    Raises RawlessError if that takes too long, and if a valid event was not embedded or an invalid one was.
    """
    expected = {event.event_id for event in events if event.event_id is not None}
    deadline = time.monotonic() + timeout
    while (outcomes := _arrived(warehouse, stream, expected, since - _CLOCK_SKEW)).keys() < expected:
        if time.monotonic() >= deadline:
            missing = len(expected - outcomes.keys())
            raise RawlessError(
                f"{missing} of {len(expected)} canaries did not arrive within {timeout:.0f} seconds, so nothing was "
                "searched: check that a job of the stream runs and reads the topic, or raise --timeout."
            )
        time.sleep(_POLL_SECONDS)  # then the condition is tested again
    delivery.embedded = sum(outcomes.values())
    delivery.rejected = len(outcomes) - delivery.embedded
    wrong = [event for event in events if event.event_id is not None and outcomes[event.event_id] != event.is_valid]
    if wrong:
        refused = sum(event.is_valid for event in wrong)
        raise RawlessError(
            f"The pipeline of {stream.stream} rejected {refused} canaries that it should embed, and embedded "
            f"{len(wrong) - refused} that it should reject: look up their reasons in rejection_v1, and compare the "
            "stream file with that of the job."
        )


def _publish(events: Sequence[CanaryEvent], topic: str, pubsub: PubSub, delivery: Delivery) -> None:
    published = Published()
    publish(CanarySource(tuple(events)), topic, pubsub, published)
    delivery.published, delivery.unpublished = published.messages, sum(published.refused.values())


@contextmanager
def _own_subscription(pubsub: PubSub, subscription: str, topic: str) -> Iterator[None]:
    pubsub.ensure_subscription(subscription, topic)
    try:
        yield
    finally:
        with pubsub.subscriber() as subscriber, pubsub.publisher() as publisher:
            try:
                subscriber.delete_subscription(subscription=subscription)
                publisher.delete_topic(topic=topic)
            except GoogleAPIError:  # the local Pub/Sub forgets both when it stops
                pass


def _keep_metrics(result: Any, delivery: Delivery) -> None:
    delivery.metrics = repr(result.metrics().query())


def _arrived(warehouse: Warehouse, stream: Stream, ids: Collection[str], since: datetime) -> dict[str, bool]:
    """Return for each event with one of these ids that was written since a time whether it was embedded."""
    start_of_events = max(START_OF_EVENTS, since - 2 * AGE) if since > START_OF_EVENTS else since
    values = {"stream": stream.stream, "event_ids": list(ids), "start_at": since, "start_of_events": start_of_events}
    outcomes: dict[str, bool] = {}
    for row in warehouse.query(warehouse.render(_ARRIVED), parameters(values)):
        outcomes[row["event_id"]] = outcomes.get(row["event_id"], False) or row["is_embedded"]
    return outcomes
