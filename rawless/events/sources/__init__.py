"""Sources of events: a source is cut into shards, and a shard is read into deliveries.

Shards hold places, never content, so they may travel through a shuffle; deliveries may not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.sources.files import FilesSource
from rawless.events.sources.jsonl import JsonlSource
from rawless.events.sources.pubsub import Subscription, check_name
from rawless.events.stream import Stream

_BATCH = "jsonl:PATH, files:GLOB"
_PUBSUB = "pubsub:projects/P/subscriptions/S"


class Source(Protocol):
    """A bounded source."""

    def check(self) -> None:
        """Raise UserError when the source cannot be read at all, before anything starts."""

    def shards(self) -> Iterator[Any]:
        """The parts that can be read apart from each other."""

    def read(self, shard: Any) -> Iterator[Delivery]:
        """The deliveries of one part, in order."""


def open_source(text: str, stream: Stream, metadata: Path | None = None) -> Source | Subscription:
    """The source that `--source` names, with the `--metadata` of files.

    Raises UserError for a kind that is unknown, or a place that is not there; of a subscription only the name is held
    against the rules.
    """
    kind, _, place = text.partition(":")
    if kind != "pubsub":
        return open_batch(text, stream, metadata)
    if metadata is not None:
        raise UserError("--metadata is for files: sources alone; a message says all of its event itself.")
    return Subscription(check_name(place, "subscriptions", "--source"))


def open_batch(text: str, stream: Stream, metadata: Path | None = None, max_bytes: int | None = None) -> Source:
    """Like `open_source`, for bounded sources alone; payloads are read up to `max_bytes`, or the stream's limit."""
    kind, colon, place = text.partition(":")
    if kind not in ("jsonl", "files") or not colon or not place:
        raise UserError(f"--source is {text!r}, but must be one of: {_BATCH}, {_PUBSUB}.")
    make = _jsonl if kind == "jsonl" else _files
    source = make(place, stream, metadata, max_bytes or stream.max_bytes)
    source.check()
    return source


def _jsonl(place: str, _: Stream, metadata: Path | None, max_bytes: int) -> Source:
    if metadata is not None:
        raise UserError("--metadata is for files: sources alone; a line of JSON says all of its event itself.")
    return JsonlSource(str(Path(place).absolute()), max_bytes)


def _files(place: str, stream: Stream, metadata: Path | None, max_bytes: int) -> Source:
    if place.startswith("gs://"):
        raise UserError(
            "files: reads local files; for objects, name them in JSON lines, as in "
            '{"uri": "gs://bucket/name", …}, and their prefix in the stream\'s uri_prefixes.'
        )
    if metadata is None:
        raise UserError(
            "files: needs --metadata FILE.csv, with the columns file, event_id, occurred_at, subject_id and the "
            "stream's attributes."
        )
    return FilesSource(str(Path(place).absolute()), str(metadata.absolute()), stream.stream, max_bytes, stream.subject)
