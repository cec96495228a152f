"""Kafka: offsets are committed in order after rows are written, whoever has the partitions, and nothing is logged."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events.sources import open_source
from rawless.events.sources.kafka import Topic
from rawless.events.stream import Stream
from rawless.steps.encode import Encode
from rawless.worker import kafka, run
from rawless.worker.kafka import KafkaReader
from rawless.worker.kafka_settings import read_settings
from rawless.worker.offsets import Offsets
from rawless.worker.reader import Bundle
from tests.conftest import event
from tests.kafka import PARTITIONS, Cluster
from tests.worker.conftest import Setting

LIMIT_SECONDS = 60


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> Topic:
    """A topic and a group of its own."""
    name = f"topic-{abs(hash(request.node.name))}"
    cluster.create(name)
    return Topic((cluster.address,), name, name, until_idle=0.3)


@pytest.fixture
def open_reader() -> Iterator[Callable[[Topic], KafkaReader]]:
    """Return a function that opens a reader, which is closed at the end: one that is not never lets a process end."""
    with ExitStack() as readers:

        def make(topic: Topic) -> KafkaReader:
            reader = KafkaReader(topic)
            readers.callback(reader.close)
            return reader

        yield make


def next_bundle(reader: KafkaReader) -> Bundle:
    limit = time.monotonic() + LIMIT_SECONDS
    while (bundle := reader.read()) is None:
        assert time.monotonic() < limit
    return bundle


def ids_of(bundle: Bundle) -> list[str]:
    return [delivery.message_id for delivery in bundle.deliveries]


def test_headers_and_key_are_the_fields_and_what_is_malformed_is_rejected_by_its_place(
    setting: Setting, cluster: Cluster, topic: Topic, logged: Callable[[], list[str]],
    rejected: Callable[[], dict[str, str]], capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    unknown = [("trace", b"\xff\xfe"), ("trace", b"2"), ("channel", b"chat")]
    events = [
        event(event_id="whole", headers=unknown),
        event(event_id=..., key="keyed"),
        event(event_id="twice", key="other"),
        event(event_id="tombstone", text=None),
        event(event_id="torn", headers=[("subject_id", b"\xff")], subject_id=...),
        event(event_id="nothing", headers=[("subject_id", None)], subject_id=...),
        event(event_id="blank", text=" "),
        event(event_id="bytes", text=b"\xff\xfe\xfd"),
    ]
    cluster.send(topic.name, events)

    summary = setting.on(replace(topic, key="event_id")).run()

    assert logged() == ["keyed", "whole"]
    malformed = dict.fromkeys(["2:0", "3:0", "0:1", "1:1"], "malformed_event")
    assert rejected() == {**malformed, "2:1": "empty_text", "3:1": "invalid_utf8"}
    assert summary["read"] == len(events)
    assert summary["dropped_attributes"] == 1
    assert cluster.committed(topic.name, topic.group) == [2] * PARTITIONS
    assert capfd.readouterr().err == ""


@pytest.mark.full
def test_a_bundle_that_fails_is_read_again_and_nothing_after_it_is_committed(
    setting: Setting, cluster: Cluster, topic: Topic, logged: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(kafka, "MAX_MESSAGES", 10)
    failing, finish = iter(range(2)), Encode.finish

    def unavailable_at_first(self: Encode) -> Iterator[Any]:
        yield from finish(self)
        if next(failing, None) is not None:
            raise Unavailable("not now")

    monkeypatch.setattr(Encode, "finish", unavailable_at_first)
    cluster.send(topic.name, [event(event_id=f"e-{number:03d}") for number in range(100)])

    summary = setting.on(topic).run(patience=LIMIT_SECONDS, until_idle=1.0)

    assert logged() == [f"e-{number:03d}" for number in range(100)]
    assert summary["read"] > 100
    assert cluster.committed(topic.name, topic.group) == [25] * PARTITIONS


@pytest.mark.full
def test_a_partition_that_cannot_be_read_again_ends_the_worker(
    setting: Setting, cluster: Cluster, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it went on, it would commit offsets of messages after those that were not written."""

    class Stuck(Consumer):
        def seek(self, *_: Any) -> None:
            raise KafkaException(KafkaError(KafkaError._STATE))

    def fail(_: Encode) -> Iterator[Any]:
        raise Unavailable("not now")
        yield

    monkeypatch.setattr(kafka, "Consumer", Stuck)
    monkeypatch.setattr(Encode, "finish", fail)
    cluster.send(topic.name, [event() for _ in range(8)])

    with pytest.raises(RawlessError, match=r"^Kafka's client cannot go on \(_STATE\); nothing was lost"):
        setting.on(topic).run(patience=LIMIT_SECONDS, until_idle=None)
    assert max(cluster.committed(topic.name, topic.group)) < 0


@pytest.mark.full
def test_an_error_that_passes_does_not_hide_that_a_partition_cannot_be_read_again(
    cluster: Cluster, topic: Topic, open_reader: Callable[[Topic], KafkaReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(Consumer):
        has_failed = False

        def seek(self, *_: Any) -> None:
            self.has_failed = True
            raise KafkaException(KafkaError(KafkaError._STATE))

        def poll(self, *arguments: Any) -> Any:
            passing = SimpleNamespace(error=lambda: KafkaError(KafkaError._TRANSPORT))
            return passing if self.has_failed else super().poll(*arguments)

    monkeypatch.setattr(kafka, "Consumer", Stuck)
    monkeypatch.setattr(kafka, "POLL_SECONDS", 0.0)
    cluster.send(topic.name, [event()])
    reader = open_reader(topic)
    reader.give_back(next_bundle(reader))

    reader.renew()

    for _ in range(2):  # by whichever thread
        with pytest.raises(RawlessError, match=r"^Kafka's client cannot go on \(_STATE\)"):
            reader.read()


@pytest.mark.full
def test_partitions_that_another_member_takes_over_are_read_again_and_not_committed(
    cluster: Cluster, topic: Topic, tmp_path: Path, open_reader: Callable[[Topic], KafkaReader]
) -> None:
    (file := tmp_path / "kafka.properties").write_text("session.timeout.ms=6000\nheartbeat.interval.ms=500\n")
    topic = replace(topic, settings=file)
    cluster.send(topic.name, [event() for _ in range(PARTITIONS * 3)])
    first = open_reader(topic)
    mine: list[Bundle] = []
    while sum(len(bundle.deliveries) for bundle in mine) < PARTITIONS * 3:
        mine.append(next_bundle(first))
    second = open_reader(topic)
    theirs: list[str] = []
    limit = time.monotonic() + LIMIT_SECONDS
    while len(theirs) < PARTITIONS // 2 * 3:  # the first gives up two partitions only when it polls
        assert first.read() is None
        bundle = second.read()
        theirs += ids_of(bundle) if bundle else []
        assert time.monotonic() < limit

    for bundle in mine:
        first.acknowledge(bundle)
    first.close()

    kept = {int(each.split(":")[0]) for bundle in mine for each in ids_of(bundle)}
    kept -= {int(each.split(":")[0]) for each in theirs}
    assert len(kept) == PARTITIONS // 2
    assert {number for number, offset in enumerate(cluster.committed(topic.name, topic.group)) if offset == 3} == kept


@pytest.mark.full
def test_a_member_whose_threads_all_work_stays_in_its_group(
    cluster: Cluster, topic: Topic, open_reader: Callable[[Topic], KafkaReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(kafka, "MAX_MESSAGES", 1)
    cluster.send(topic.name, [event(event_id=f"e-{number}") for number in range(3)])
    reader = open_reader(topic)
    read = [next_bundle(reader)]

    for _ in range(5):
        reader.renew()  # which polls, and must keep what that returns
    read += [next_bundle(reader), next_bundle(reader)]

    assert sorted(each for bundle in read for each in ids_of(bundle)) == ["0:0", "1:0", "2:0"]


def test_only_what_precedes_the_first_message_in_progress_is_committed() -> None:
    offsets = Offsets()
    for offset in (3, 4, 7, 8, 9):  # a compacted topic has gaps
        offsets.take(offset)

    assert offsets.complete([4, 7]) is None
    assert offsets.first == 3
    assert offsets.complete([3]) == 8
    assert offsets.complete([9]) is None
    assert offsets.complete([8]) == 10
    assert offsets.first is None


def test_a_broker_that_does_not_answer_ends_the_worker_with_a_message(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kafka, "CONNECT_SECONDS", 0.5)

    with pytest.raises(Unavailable, match=r"^Kafka did not answer \(_[A-Z_]+\); run the command again\.$"):
        KafkaReader(replace(topic, brokers=("127.0.0.1:9",)))
    assert capfd.readouterr().err == ""


def test_brokers_elsewhere_are_read_over_an_encrypted_connection_only(topic: Topic, tmp_path: Path) -> None:
    (file := tmp_path / "kafka.properties").write_text("security.protocol=SASL_PLAINTEXT\n")

    for settings in (None, file):
        with pytest.raises(
            UserError, match=r"^The brokers kafka\.example:9092 are on other machines, and messages would"
        ):
            KafkaReader(replace(topic, brokers=("kafka.example:9092",), settings=settings))


def test_a_property_with_a_wrong_value_is_named_without_the_value(topic: Topic, tmp_path: Path) -> None:
    (file := tmp_path / "kafka.properties").write_text("sasl.password=tell-no-one\nsession.timeout.ms=tell-no-one\n")

    with pytest.raises(UserError, match=r"^Kafka's client refuses the property session\.timeout\.ms in ") as raised:
        KafkaReader(replace(topic, settings=file))
    assert "tell-no-one" not in str(raised.value)
    assert raised.value.__context__ is None


def test_properties_are_read_from_a_file(tmp_path: Path) -> None:
    (file := tmp_path / "kafka.properties").write_text(
        "# how to connect\n\nsecurity.protocol = SASL_SSL\nsasl.username=me\nsasl.password=a=b c\n"
        "fetch.wait.max.ms=100\n"
    )

    assert read_settings(file) == {
        "security.protocol": "SASL_SSL", "sasl.username": "me", "sasl.password": "a=b c", "fetch.wait.max.ms": "100",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("debug=all", "gives the property debug, which is refused: the client would log what it receives"),
        ("sasl.kerberos.kinit.cmd=x", "which is refused: it runs a program"),
        ("ssl.engine.location=x", "which is refused: it loads code"),
        ("enable.ssl.certificate.verification=false", "refused: messages could be read on their way"),
        ("enable.auto.commit=true", "refused: offsets are committed after rows are written"),
        ("bootstrap.servers=x:1", "refused: --source names the brokers"),
        ("tell-no-one=1", "gives a property that is not allowed"),
        ("tell-no-one", "is not a property: write NAME=VALUE"),
        ("sasl.username=a\nsasl.username=tell-no-one", ":2 gives sasl.username again"),
    ],
)
def test_other_properties_are_refused(line: str, sentence: str, tmp_path: Path) -> None:
    (file := tmp_path / "kafka.properties").write_text(line)

    with pytest.raises(UserError) as raised:
        read_settings(file)
    assert sentence in str(raised.value)
    assert "tell-no-one" not in str(raised.value)


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("a:9092/t", "must be kafka:BROKERS/TOPIC?group=G"),
        ("a:9092/t?group=g&group=h", "must be kafka:BROKERS/TOPIC?group=G"),
        ("a:9092/t?group=g&x=1", "must be kafka:BROKERS/TOPIC?group=G"),
        ("a:9092/t?group", "must be kafka:BROKERS/TOPIC?group=G"),
        ("a/t?group=g", "must name each as HOST:PORT"),
        ("/t?group=g", "must name each as HOST:PORT"),
        ("a:9092/?group=g", "names the topic ''"),
        ("a:9092/..?group=g", "names the topic '..'"),
        ("a:9092/t?group=", "names the group ''"),
        ("a:9092/t?group=g&key=text", "says that the key is 'text'"),
    ],
)
def test_a_source_that_names_no_topic_is_refused(location: str, sentence: str, stream: Stream) -> None:
    with pytest.raises(UserError) as raised:
        open_source(f"kafka:{location}", stream)
    assert sentence in str(raised.value)


def test_a_source_names_brokers_topic_group_and_key(stream: Stream) -> None:
    source = open_source("kafka:a.example:9092,[::1]:9093/uploads.v1?group=embedders&key=subject_id", stream)

    assert source == Topic(("a.example:9092", "[::1]:9093"), "uploads.v1", "embedders", "subject_id")
    assert isinstance(source, Topic)
    assert source.hosts == ["a.example", "::1"]
