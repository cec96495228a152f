"""`MessageReader`: how a worker reads messages, keeps those that are in progress, and says that they are done."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rawless.events.event import Delivery

MAX_MESSAGES = 64
"""Messages of a bundle. The encoder batches those of all bundles, and a worker that stops finishes all of them."""
READ_SECONDS = 1.0
"""For how long about a read waits for a first message, and so how soon a worker notices that it should stop."""


@dataclass(frozen=True)
class Bundle:
    """Messages that are processed together."""

    deliveries: Sequence[Delivery]
    receipt: Any = field(repr=False)
    """By what their reader knows them."""


class MessageReader(ABC):
    """Reads the messages of one source. Any number of threads may use it.

    Its methods raise UserError if the source cannot be read, Unavailable if its service does not answer.
    """

    @abstractmethod
    def read(self) -> Bundle | None:
        """Return messages as soon as there are some, or None after a while without any."""

    @abstractmethod
    def is_reading(self) -> bool:
        """Return whether messages would arrive by now if there were some."""

    @abstractmethod
    def acknowledge(self, bundle: Bundle) -> None:
        """Let the messages of a bundle, whose rows are written, not be delivered again."""

    @abstractmethod
    def give_back(self, bundle: Bundle) -> None:
        """Let the messages of a bundle, whose rows may not be written, be delivered again."""

    @abstractmethod
    def renew(self) -> None:
        """Keep the messages in progress; called every few seconds. Raises nothing."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading. Messages in progress are delivered again."""
