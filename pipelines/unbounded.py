"""How jobs read unbounded sources: one `MessageRead` for each scheme.

A new one also needs the URN of its read transform in `graph_check`, so that its messages count as raw content, and must
not show content in the repr of its messages.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apache_beam as beam

from pipelines import pubsub
from rawless.events.event import Delivery
from rawless.events.source import Source, UnboundedSource
from rawless.events.stream import Stream


class LocalRead(Protocol):
    """A read on this machine."""

    @property
    def idle_seconds(self) -> float:
        """For how long, in total, there was nothing to read."""


@dataclass(frozen=True)
class MessageRead:
    """The parts of a job that depend on the kind of its messages. Each function takes the source first."""

    connect: Callable[[Any, Stream, Path | None, float | None], UnboundedSource]
    """Return the source that a job reads, given the stream, the warehouse file and the idle limit in seconds.

    Raises UserError if it does not exist, Unavailable if its service does not answer.
    """
    read_messages: Callable[[Any], beam.PTransform]
    """Return the transform that reads messages."""
    to_delivery: Callable[[Any], Delivery]
    """Return a message as a delivery. Must not raise because of what the message contains."""
    read_locally: Callable[[Any], AbstractContextManager[LocalRead]]
    """Within the block, jobs of this process can read the source without a service that runs them."""


_READS = {
    "pubsub": MessageRead(pubsub.connect, pubsub.read_messages, pubsub.to_delivery, pubsub.read_locally),
}


def message_read(source: UnboundedSource) -> MessageRead:
    """Return how jobs read a source."""
    return _READS[source.scheme]


@contextmanager
def read_locally(source: Source) -> Iterator[LocalRead | None]:
    """Within the block, jobs of this process can read the source on this machine; None for a bounded one."""
    if source.is_bounded:
        yield None
        return
    with message_read(source).read_locally(source) as read:
        yield read
