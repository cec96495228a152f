"""How jobs read unbounded sources: a module of this package, named like the scheme, defines a `MessageRead` as `READ`.

Such a module must not show content in the repr of its messages. Sources without one are read by `rawless worker` only.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import apache_beam as beam

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.source import Source, UnboundedSource
from rawless.events.sources import SCHEMES
from rawless.events.stream import Stream


class LocalRead(Protocol):
    """A read on this machine."""

    @property
    def idle_seconds(self) -> float:
        """For how long, in total, there was nothing to read."""


@dataclass(frozen=True)
class MessageRead:
    """The parts of a job that depend on the kind of its messages. Each function takes the source first."""

    urn: str
    """The URN of the transform that reads messages. To the graph check, its output is raw content."""
    find_fault: Callable[[bytes], str | None]
    """Return what is wrong with that transform's payload, in words that follow the step's name, or None."""
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


def message_read(scheme: str) -> MessageRead:
    """Return how jobs read the unbounded sources of a scheme. Raises UserError if they do not."""
    if not _is_read(scheme):
        raise UserError(f"--source is a {scheme}: source, which Beam does not read: read it by `rawless worker`.")
    read: MessageRead = import_module(f"pipelines.{scheme}").READ
    return read


def reads_by_urn() -> dict[str, MessageRead]:
    """Return how jobs read each unbounded scheme, by the URN of the transform that reads its messages."""
    reads = (message_read(name) for name, scheme in SCHEMES.items() if not scheme.is_bounded and _is_read(name))
    return {read.urn: read for read in reads}


def _is_read(scheme: str) -> bool:
    return find_spec(f"pipelines.{scheme}") is not None


@contextmanager
def read_locally(source: Source) -> Iterator[LocalRead | None]:
    """Within the block, jobs of this process can read the source on this machine; None for a bounded one."""
    if source.is_bounded:
        yield None
        return
    with message_read(source.scheme).read_locally(source) as read:
        yield read
