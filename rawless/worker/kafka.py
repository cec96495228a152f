"""Read a Kafka topic as a member of a consumer group, and commit offsets of messages whose rows are written.

Bundles of a partition may be done in any order, so the offset of the first message that is not done is what librdkafka
commits: every second, when partitions are revoked, and at the end. After a crash messages are read again from there.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events.event import Delivery
from rawless.events.messages import decode_record
from rawless.events.sources.kafka import Topic
from rawless.privacy import Reason, guarded
from rawless.privacy.logs import withheld
from rawless.worker.kafka_settings import load_settings
from rawless.worker.offsets import Offsets
from rawless.worker.reader import MAX_MESSAGES, READ_SECONDS, Bundle, MessageReader

CONNECT_SECONDS = 10.0
MAX_BYTES = 16_000_000
"""After which a bundle is not filled further."""
POLL_SECONDS = 10.0
"""While all threads work, the client is polled this often: a member that does not poll loses its partitions."""
_DEFAULTS = {
    "auto.offset.reset": "earliest",
    "client.id": "rawless",
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": "32768",  # content that waits in this process
    "socket.keepalive.enable": "true",
}
_FIXED = {
    "allow.auto.create.topics": "false",
    "enable.auto.commit": "true",  # of what is stored below, and nothing else
    "enable.auto.offset.store": "false",
    "enable.metrics.push": "false",
    "log_level": "0",
}
_MISTAKES = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.INVALID_GROUP_ID,
    }
)
"""Errors that waiting does not mend."""


@dataclass(eq=False)
class _Partition:
    number: int
    offsets: Offsets = field(default_factory=Offsets)
    position: int | None = None
    """From where messages are read again after a restart, if it is not stored in the client yet."""


class KafkaReader(MessageReader):
    """Reads one topic. The client is used by one thread at a time, since its methods wait for each other."""

    def __init__(self, source: Topic) -> None:
        self._source = source
        self._using = threading.Lock()
        self._lock = threading.Lock()  # may be taken while `_using` is held, never the other way round
        self._partitions: dict[int, _Partition] = {}
        self._kept: list[Any] = []
        self._failure: RawlessError | None = None
        self._lasting: RawlessError | None = None
        """A failure after which messages that are not done could be skipped, so that no more may be read."""
        self._is_assigned = False
        self._polled_at = time.monotonic()
        self._consumer = self._connected()

    def read(self) -> Bundle | None:
        """See `MessageReader.read`."""
        if not self._using.acquire(timeout=READ_SECONDS):
            return None
        try:
            messages = self._messages()
        finally:
            self._using.release()
        if not messages:
            return None
        receipt: dict[_Partition, list[int]] = {}
        for partition, message in messages:
            receipt.setdefault(partition, []).append(message.offset())
        return Bundle([self._delivery(message) for _, message in messages], receipt)

    def is_reading(self) -> bool:
        """See `MessageReader.is_reading`."""
        return self._is_assigned

    def acknowledge(self, bundle: Bundle) -> None:
        """See `MessageReader.acknowledge`. The commit follows the next read within a second."""
        with self._lock:
            for partition, offsets in bundle.receipt.items():
                position = partition.offsets.complete(offsets)
                partition.position = partition.position if position is None else position

    def give_back(self, bundle: Bundle) -> None:
        """See `MessageReader.give_back`. Each partition is read again from its first message that is not done."""
        with self._using, self._lock:
            for partition in bundle.receipt:
                first = partition.offsets.first
                if first is None or not self._is_current(partition):  # revoked, or given back with another bundle
                    continue
                # What other bundles say of messages that are read again does not count any more.
                self._partitions[partition.number] = _Partition(partition.number)
                self._kept = [(owner, message) for owner, message in self._kept if owner is not partition]
                try:
                    self._consumer.seek(TopicPartition(self._source.name, partition.number, first))
                except KafkaException as error:
                    self._lasting = _ended(error.args[0])

    def renew(self) -> None:
        """See `MessageReader.renew`."""
        if time.monotonic() - self._polled_at < POLL_SECONDS or not self._using.acquire(blocking=False):
            return
        try:
            self._store()
            if (taken := self._poll(0.0)) is not None:
                self._kept.append(taken)
        finally:
            self._using.release()

    def close(self) -> None:
        """See `MessageReader.close`. Commits what is done."""
        with self._using, withheld():
            self._store()
            self._consumer.close()  # which may be called again

    def _connected(self) -> Consumer:
        source = self._source
        given = load_settings(source)
        own = {"bootstrap.servers": ",".join(source.brokers), "group.id": source.group, **_FIXED}
        silent = logging.Logger("librdkafka", logging.CRITICAL)
        silent.addHandler(logging.NullHandler())
        refused = ""
        try:
            consumer = Consumer({**_DEFAULTS, **given, **own, "error_cb": self._on_error}, logger=silent)
        except KafkaException as error:
            text = str(error.args[0])
            refused = next((f"the property {name}" for name in given if f'"{name}"' in text), "a property")
        if refused:
            raise UserError(
                f"Kafka's client refuses {refused} in {source.settings}: see librdkafka's CONFIGURATION.md."
            )
        failure = self._subscribed(consumer)
        if failure is not None:
            consumer.close()
            raise failure
        return consumer

    def _subscribed(self, consumer: Consumer) -> RawlessError | None:
        """Subscribe to the topic, and return what is wrong with it."""
        source = self._source
        try:
            with withheld():
                error = consumer.list_topics(source.name, timeout=CONNECT_SECONDS).topics[source.name].error
        except KafkaException as raised:
            consumer.poll(0.0)  # the reason why no broker could be reached is given to `_on_error`
            return self._failure or _as_failure(raised.args[0], source) or _unavailable(raised.args[0])
        if error is not None:
            return _as_failure(error, source) or _unavailable(error)
        callbacks = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_lost}
        consumer.subscribe([source.name], **callbacks)
        return None

    def _messages(self) -> list[tuple[_Partition, Any]]:
        """Return the messages of one bundle, each with the partition that it is of."""
        self._raise_failure()
        self._store()
        messages, size = self._kept[:MAX_MESSAGES], 0
        del self._kept[:MAX_MESSAGES]
        while len(messages) < MAX_MESSAGES and size < MAX_BYTES:
            taken = self._poll(0.0 if messages else READ_SECONDS)
            if taken is None:
                break
            messages.append(taken)
            size += len(taken[1])
        if not messages:
            self._raise_failure()
        return messages

    def _poll(self, seconds: float) -> tuple[_Partition, Any] | None:
        """Return a message, or None if there is none or the client has failed."""
        self._polled_at = time.monotonic()
        with withheld():
            message: Any = self._consumer.poll(seconds)
        self._polled_at = time.monotonic()
        if message is None:
            return None
        if (error := message.error()) is not None:
            self._on_error(error)
            return None
        with self._lock:
            partition = self._partitions.setdefault(message.partition(), _Partition(message.partition()))
            partition.offsets.take(message.offset())
        return partition, message

    def _raise_failure(self) -> None:
        failure, self._failure = self._lasting or self._failure, None
        if failure is not None:
            raise type(failure)(str(failure))

    def _delivery(self, message: Any) -> Delivery:
        message_id = f"{message.partition()}:{message.offset()}"
        headers = guarded(message.headers)  # whose names may not be UTF-8
        if isinstance(headers, Reason):
            return Delivery(message_id, Reason.MALFORMED_EVENT, len(message))
        key = (self._source.key, message.key()) if self._source.key else None
        return decode_record(message_id, message.value(), headers or (), key)

    def _is_current(self, partition: _Partition) -> bool:
        return self._partitions.get(partition.number) is partition

    def _store(self) -> None:
        """Store in the client from where each partition is to be read again, which it commits."""
        with self._lock:
            for partition in self._partitions.values():
                position, partition.position = partition.position, None
                if position is not None:
                    with suppress(KafkaException):  # whoever has it now reads its messages again
                        place = TopicPartition(self._source.name, partition.number, position)
                        self._consumer.store_offsets(offsets=[place])

    def _on_assign(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._is_assigned = True
        self._forget(partitions)

    def _on_revoke(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._store()
        self._forget(partitions)

    def _on_lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Store no more offsets of messages that were read of these partitions until now."""
        with self._lock:
            for each in partitions:
                self._partitions.pop(each.partition, None)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._failure = _unavailable(error)
        else:
            self._failure = _as_failure(error, self._source) or self._failure


def _as_failure(error: KafkaError, source: Topic) -> RawlessError | None:
    """Return an error of the client as one of Rawless, None if the client mends it by itself. Its text is not kept."""
    if error.code() in _MISTAKES:
        return UserError(
            f"The topic {source.name} cannot be read by the group {source.group} ({error.name()}): check that it "
            "exists, that this client may read it, and the file that --kafka-config names."
        )
    return _ended(error) if error.fatal() else None


def _ended(error: KafkaError) -> RawlessError:
    return RawlessError(f"Kafka's client cannot go on ({error.name()}); nothing was lost: run the command again.")


def _unavailable(error: KafkaError) -> Unavailable:
    return Unavailable(f"Kafka did not answer ({error.name()}); run the command again.")
