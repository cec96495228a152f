"""The local Pub/Sub, used through Google's own clients."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1 import types as protocol

from rawless.events.pubsub import PubSub
from rawless.local.pubsub.backlog import Demand
from rawless.local.pubsub.broker import Broker
from tests.local.pubsub.conftest import SUBSCRIPTION, TOPIC, Clock

LIMIT_SECONDS = 60


def _pull(subscriber: SubscriberClient, count: int = 100) -> list[Any]:
    return list(subscriber.pull(subscription=SUBSCRIPTION, max_messages=count).received_messages)


def _publish(publisher: PublisherClient, *contents: bytes, **attributes: str) -> list[str]:
    return [publisher.publish(TOPIC, content, **attributes).result() for content in contents]


def test_batched_messages_reach_a_streaming_subscriber_once(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    count = 2000
    seen: Counter[bytes] = Counter()
    done = threading.Event()

    def receive(message: Any) -> None:
        seen[message.data] += 1
        message.ack()
        if len(seen) == count:
            done.set()

    stream = subscriber.subscribe(SUBSCRIPTION, receive, flow_control=types.FlowControl(max_messages=50))
    with ThreadPoolExecutor(4) as pool:
        futures = pool.map(lambda number: publisher.publish(TOPIC, b"%d" % number, part="x"), range(count))
        ids = {future.result() for future in futures}
    assert done.wait(LIMIT_SECONDS)
    stream.cancel()
    stream.result()

    assert len(ids) == count
    assert seen == Counter({b"%d" % number: 1 for number in range(count)})


def test_a_message_is_whole(publisher: PublisherClient, subscriber: SubscriberClient, clock: Clock) -> None:
    (message_id,) = _publish(publisher, b"\x00\xff", event_id="e-1", channel="chat")

    (received,) = _pull(subscriber)
    assert received.message.data == b"\x00\xff"
    assert dict(received.message.attributes) == {"event_id": "e-1", "channel": "chat"}
    assert received.message.message_id == message_id
    assert received.message.publish_time.timestamp() == clock.now


def test_a_rejected_message_is_delivered_again_and_an_acknowledged_one_is_not(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    _publish(publisher, b"done", b"refused")
    seen: Counter[bytes] = Counter()
    twice = threading.Event()

    def receive(message: Any) -> None:
        seen[message.data] += 1
        if message.data == b"refused" and seen[b"refused"] == 1:
            message.nack()
            return
        message.ack_with_response().add_done_callback(lambda _: seen[b"refused"] == 2 and twice.set())

    stream = subscriber.subscribe(SUBSCRIPTION, receive)
    assert twice.wait(LIMIT_SECONDS)
    stream.cancel()
    stream.result()

    assert seen == {b"done": 1, b"refused": 2}
    assert _pull(subscriber) == []


def test_a_stream_gets_no_more_messages_than_its_limit(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    _publish(publisher, *[b"%d" % number for number in range(12)])
    first = protocol.StreamingPullRequest(
        subscription=SUBSCRIPTION, stream_ack_deadline_seconds=60, max_outstanding_messages=5
    )
    closing = threading.Event()

    def requests() -> Any:
        yield first
        closing.wait(LIMIT_SECONDS)

    stream = iter(subscriber.streaming_pull(requests()))
    held = list(next(stream).received_messages)
    others = _pull(subscriber)
    subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[each.ack_id for each in held])
    _publish(publisher, *[b"more %d" % number for number in range(12)])
    again: list[Any] = []
    while len(again) < 5:
        again += next(stream).received_messages
    rest = _pull(subscriber)
    closing.set()

    assert len(held) == 5
    assert len(others) == 7
    assert len(again) == 5
    assert len(rest) == 7


def test_a_message_that_is_not_acknowledged_in_time_is_delivered_again(
    publisher: PublisherClient, subscriber: SubscriberClient, clock: Clock
) -> None:
    _publish(publisher, b"slow")
    (first,) = _pull(subscriber)
    clock.now += 9
    assert _pull(subscriber) == []
    subscriber.modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=[first.ack_id], ack_deadline_seconds=30)
    clock.now += 29
    assert _pull(subscriber) == []
    clock.now += 1

    (second,) = _pull(subscriber)
    subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[first.ack_id])  # too late: the message is another's
    clock.now += 10

    assert second.ack_id != first.ack_id
    assert [each.message.data for each in _pull(subscriber)] == [b"slow"]


def test_a_waiting_pull_is_answered_when_a_message_comes(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_pull_until_some, subscriber)
        _publish(publisher, b"late")
        assert [each.message.data for each in waiting.result(LIMIT_SECONDS)] == [b"late"]


def _pull_until_some(subscriber: SubscriberClient) -> list[Any]:
    while not (found := list(subscriber.pull(subscription=SUBSCRIPTION, max_messages=5).received_messages)):
        pass
    return found


def test_a_filter_selects_messages_with_all_its_attributes(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    name = "projects/local-dev/subscriptions/filtered"
    expression = 'attributes.channel = "chat" AND attributes."the \\"kind\\"" = "a"'
    subscriber.create_subscription(request={"name": name, "topic": TOPIC, "filter": expression})
    _publish(publisher, b"1", channel="chat", **{'the "kind"': "a"})
    _publish(publisher, b"2", channel="chat")
    _publish(publisher, b"3", channel="email", **{'the "kind"': "a"})

    answer = subscriber.pull(subscription=name, max_messages=10)

    assert [each.message.data for each in answer.received_messages] == [b"1"]
    assert len(_pull(subscriber)) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_a_seek_delivers_retained_messages_again(
    kept: bool, publisher: PublisherClient, subscriber: SubscriberClient, clock: Clock
) -> None:
    subscriber.delete_subscription(subscription=SUBSCRIPTION)
    subscriber.create_subscription(
        request={"name": SUBSCRIPTION, "topic": TOPIC, "retain_acked_messages": kept, "ack_deadline_seconds": 60}
    )
    _publish(publisher, b"before")
    clock.now += 10
    _publish(publisher, b"done", b"held")
    taken = {each.message.data: each.ack_id for each in _pull(subscriber)}
    subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=[taken[b"before"], taken[b"done"]])

    moment = datetime.fromtimestamp(clock.now, UTC)
    subscriber.seek(request={"subscription": SUBSCRIPTION, "time": moment})

    assert [each.message.data for each in _pull(subscriber)] == ([b"done", b"held"] if kept else [b"held"])


def test_a_seek_to_now_skips_everything(publisher: PublisherClient, subscriber: SubscriberClient, clock: Clock) -> None:
    _publish(publisher, b"old", b"older")

    moment = datetime.fromtimestamp(clock.now + 1, UTC)
    subscriber.seek(request={"subscription": SUBSCRIPTION, "time": moment})
    clock.now += 1000

    assert _pull(subscriber) == []


def test_topics_and_subscriptions_are_listed_and_deleted(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    publisher.create_topic(name="projects/local-dev/topics/another")
    publisher.create_topic(name="projects/other-dev/topics/elsewhere")

    assert [topic.name for topic in publisher.list_topics(project="projects/local-dev")] == [
        "projects/local-dev/topics/another",
        TOPIC,
    ]
    assert list(publisher.list_topic_subscriptions(topic=TOPIC)) == [SUBSCRIPTION]
    assert [each.name for each in subscriber.list_subscriptions(project="projects/local-dev")] == [SUBSCRIPTION]
    publisher.delete_topic(topic=TOPIC)
    assert subscriber.get_subscription(subscription=SUBSCRIPTION).topic == "_deleted-topic_"
    subscriber.delete_subscription(subscription=SUBSCRIPTION)
    assert list(subscriber.list_subscriptions(project="projects/local-dev")) == []
    with pytest.raises(exceptions.NotFound):
        publisher.get_topic(topic=TOPIC)


def test_a_subscription_that_is_deleted_ends_its_streams(
    publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    stream = subscriber.subscribe(SUBSCRIPTION, lambda message: message.ack())

    subscriber.delete_subscription(subscription=SUBSCRIPTION)

    with pytest.raises(exceptions.NotFound):
        stream.result(LIMIT_SECONDS)


WRONG = {
    "no such topic": lambda p, s: p.publish("projects/local-dev/topics/none", b"x").result(),
    "no such subscription": lambda p, s: s.pull(subscription=f"{SUBSCRIPTION}2", max_messages=1),
    "a topic again": lambda p, s: p.create_topic(name=TOPIC),
    "a subscription again": lambda p, s: s.create_subscription(name=SUBSCRIPTION, topic=TOPIC),
    "a subscription of no topic": lambda p, s: s.create_subscription(name=f"{SUBSCRIPTION}2", topic=f"{TOPIC}2"),
    "a bad topic": lambda p, s: p.create_topic(name="projects/local-dev/topics/a"),
    "a topic of Google's": lambda p, s: p.create_topic(name="projects/local-dev/topics/goog-x"),
    "a bad subscription": lambda p, s: s.create_subscription(name="uploads", topic=TOPIC),
    "an empty message": lambda p, s: p.publish(TOPIC, b"").result(),
    "a long value": lambda p, s: p.publish(TOPIC, b"x", a="x" * 1025).result(),
    "a long name": lambda p, s: p.publish(TOPIC, b"x", **{"x" * 257: "a"}).result(),
    "many attributes": lambda p, s: p.publish(TOPIC, b"x", **{f"a{n}": "" for n in range(101)}).result(),
    "a topic with options": lambda p, s: p.create_topic(
        request={"name": f"{TOPIC}-2", "message_retention_duration": {"seconds": 600}}
    ),
    "no messages": lambda p, s: s.pull(subscription=SUBSCRIPTION, max_messages=0),
    "too long": lambda p, s: s.modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=["x"], ack_deadline_seconds=601),
    "a snapshot": lambda p, s: s.seek(request={"subscription": SUBSCRIPTION, "snapshot": "projects/p/snapshots/s"}),
}
OPTIONS = {
    "enable_message_ordering": True,
    "enable_exactly_once_delivery": True,
    "dead_letter_policy": {"dead_letter_topic": TOPIC},
    "push_config": {"push_endpoint": "https://example.com"},
    "filter": 'hasPrefix(attributes.a, "b")',
    "bigquery_config": {"table": "a.b.c"},
    "retry_policy": {"minimum_backoff": {"seconds": 1}},
    "ack_deadline_seconds": 601,
    "message_retention_duration": {"seconds": 10},
}
ANSWERS = {
    "no such topic": exceptions.NotFound,
    "no such subscription": exceptions.NotFound,
    "a subscription of no topic": exceptions.NotFound,
    "a topic again": exceptions.AlreadyExists,
    "a subscription again": exceptions.AlreadyExists,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_answered_as_google_does(
    name: str, publisher: PublisherClient, subscriber: SubscriberClient
) -> None:
    with pytest.raises(ANSWERS.get(name, exceptions.InvalidArgument)):
        WRONG[name](publisher, subscriber)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_is_not_supported_is_refused(option: str, subscriber: SubscriberClient) -> None:
    request = {"name": f"{SUBSCRIPTION}-2", "topic": TOPIC, option: OPTIONS[option]}

    with pytest.raises(exceptions.InvalidArgument):
        subscriber.create_subscription(request=request)


def test_an_ordering_key_is_refused(publisher: PublisherClient, address: str) -> None:
    messages = [{"data": b"x", "ordering_key": "k"}]

    with PubSub(address).publisher() as client, pytest.raises(exceptions.InvalidArgument):
        client.publish(request={"topic": TOPIC, "messages": messages})


def test_a_method_that_is_not_supported_is_unimplemented(publisher: PublisherClient) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        publisher.list_topic_snapshots(topic=TOPIC)


def test_the_largest_message_is_delivered(
    publisher: PublisherClient, subscriber: SubscriberClient, address: str
) -> None:
    _publish(publisher, b"x" * 9_900_000)

    with PubSub(address).subscriber() as client:
        (received,) = client.pull(subscription=SUBSCRIPTION, max_messages=1).received_messages

    assert received.message.data == b"x" * 9_900_000


def test_publishing_is_refused_while_the_memory_is_full(clock: Clock) -> None:
    broker = Broker(clock, max_bytes=2500)
    broker.create_topic(protocol.Topic.pb()(name=TOPIC))
    broker.create_subscription(protocol.Subscription.pb()(name=SUBSCRIPTION, topic=TOPIC))
    message = protocol.PubsubMessage.pb()

    broker.publish(TOPIC, [message(data=b"x" * 900)])
    with pytest.raises(Exception, match="too many messages are unacknowledged") as refusal:
        broker.publish(TOPIC, [message(data=b"y" * 900)])
    (lease,) = broker.take(SUBSCRIPTION, Demand(10), wait=0)
    broker.acknowledge(SUBSCRIPTION, [lease.ack_id])

    assert refusal.value.code.name == "RESOURCE_EXHAUSTED"  # which Google's client retries
    assert len(broker.publish(TOPIC, [message(data=b"y" * 900)])) == 1


def test_an_internal_error_is_reported_without_content(
    publisher: PublisherClient, broker: Broker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("MARKER")

    monkeypatch.setattr(broker, "publish", fail)

    with pytest.raises(exceptions.InternalServerError) as failure:
        publisher.publish(TOPIC, b"MARKER", retry=None).result()
    assert "ValueError" in str(failure.value)
    assert "MARKER" not in str(failure.value) + "".join(capfd.readouterr())
