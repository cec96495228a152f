"""Sources of events: a source is cut into shards, and a shard is read into deliveries.

Shards hold places, never content, so they may travel through a shuffle; deliveries may not.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from events import jsonl
from events.event import Delivery
from events.jsonl import Shard
from privacy import UserError

__all__ = ["JsonlSource", "Shard", "Source", "open_source"]

_KINDS = "jsonl:PATH"


class Source(Protocol):
    """A bounded source."""

    def check(self) -> None:
        """Raise UserError when the source cannot be read at all, before anything starts."""

    def shards(self) -> Iterator[Shard]:
        """The parts that can be read apart from each other."""

    def read(self, shard: Shard) -> Iterator[Delivery]:
        """The deliveries of one part, in order."""


@dataclass(frozen=True)
class JsonlSource:
    """`jsonl:PATH`: one event a line."""

    path: str
    max_bytes: int
    """The stream's limit on a payload, from which the limit on a line follows."""

    def check(self) -> None:
        """See `Source.check`."""
        path = Path(self.path)
        if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, false for a path that is too long
            raise UserError(f"--source names {self.path}, but there is no such file: check the path.")
        try:
            path.open("rb").close()
        except OSError as error:
            raise UserError(f"--source names {self.path}, but it cannot be read ({type(error).__name__}).") from None

    def shards(self) -> Iterator[Shard]:
        """See `Source.shards`."""
        return jsonl.shards(Path(self.path))

    def read(self, shard: Shard) -> Iterator[Delivery]:
        """See `Source.read`."""
        return jsonl.read(Path(self.path), shard, jsonl.line_limit(self.max_bytes))


def open_source(text: str, max_bytes: int) -> Source:
    """The source that `--source` names. Raises UserError for a kind that is unknown or a place that is not there."""
    kind, colon, place = text.partition(":")
    if kind != "jsonl" or not colon or not place:
        raise UserError(f"--source is {text!r}, but must be one of: {_KINDS}.")
    source = JsonlSource(str(Path(place).absolute()), max_bytes)
    source.check()
    return source
