"""The events of a run: with markers in every field, valid ones and those that a pipeline must refuse."""

import random
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

from encoders.image_formats.png import chunk
from rawless.audit.canary import images
from rawless.audit.canary.markers import Markers
from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.stream import Stream
from rawless.privacy import Raw

AGE = timedelta(hours=1)
"""How long ago the events claim to have occurred."""
LARGEST = 2_000_000
"""Bytes of an event that is too large for its stream; a stream that accepts more gets none."""
FEWEST_ID_BITS = 40
"""Information of an event id below which a producer's event could have the same one."""
_TRIES = 100
_HUGE = 60_000


@dataclass(frozen=True)
class CanaryEvent:
    """One event, with the fields that a producer would send."""

    fields: Mapping[str, object] = field(repr=False)
    event_id: str | None
    """The id that the pipeline stores with it, or None if it must not store any."""
    is_valid: bool
    """Whether it must be embedded; otherwise it must be rejected."""


@dataclass(frozen=True)
class CanarySource:
    """A bounded source of canaries in memory, which are published from here."""

    is_bounded: ClassVar[Literal[True]] = True

    events: tuple[CanaryEvent, ...] = field(repr=False)

    def check(self) -> None:
        """See `BoundedSource.check`."""

    def reader(self) -> "CanarySource":
        """See `BoundedSource.reader`."""
        return self

    def only_here(self) -> str:
        """See `BoundedSource.only_here`."""
        return "canaries in the memory of this process"

    def shards(self) -> Iterator[int]:
        """See `Reader.shards`."""
        yield from range(len(self.events))

    def read(self, shard: int) -> Iterator[Delivery]:
        """See `Reader.read`."""
        yield Delivery(f"canary-{shard}", Raw(self.events[shard].fields), 0)


def draw_ids(stream: Stream, chance: random.Random) -> Iterator[str]:
    """Yield distinct event ids that a stream allows, without end. Raises UserError if no other is found."""
    drawn: set[str | None] = {None}
    while True:
        tried = (stream.draw_id(chance) for _ in range(_TRIES))
        event_id = next((event_id for event_id in tried if event_id not in drawn), None)
        if event_id is None:
            raise UserError(
                f"Only {len(drawn) - 1} event ids of {stream.stream} could be made from the pattern of event_id: use "
                "a pattern of fixed letters and digits, or uuid."
            )
        drawn.add(event_id)
        yield event_id


class Canaries:
    """Makes the events of one run for a stream."""

    def __init__(self, stream: Stream, markers: Markers, ids: Iterator[str] | None = None) -> None:
        """Take the ids of events from `ids`, by default whatever the stream allows."""
        if stream.modality == "parts":
            raise UserError(
                f"The events of {stream.stream} have parts, for which there are no canaries: send canaries to streams "
                "of texts and of images in the same deployment."
            )
        self._stream, self._markers = stream, markers
        self._occurred_at = (datetime.now(UTC) - AGE).isoformat()
        self._ids = ids or draw_ids(stream, markers.chance)

    def events(self) -> tuple[CanaryEvent, ...]:
        """Return all events. Those without an id come first, so that they have passed when the last id arrives."""
        events = [*self._refused_for_fields(), *self._refused_for_payloads(), *self._valid()]
        return tuple(sorted(events, key=lambda event: event.event_id is not None))

    def _valid(self) -> Iterator[CanaryEvent]:
        markers = self._markers
        for place, payload in self._payloads():
            yield self._event(payload, f"with {place}")
        undeclared = {
            f"note_{markers.word('the name of an attribute')}": markers.name("an undeclared attribute"),
            **{name: f"{markers.name('a value that no attribute allows')} ." for name in self._stream.attributes},
        }
        yield self._event(self._payload("an event with attributes"), "with attributes", attributes=undeclared)

    def _refused_for_fields(self) -> Iterator[CanaryEvent]:
        markers = self._markers

        def refused(what: str, event_id: str | None = "", **fields: object) -> CanaryEvent:
            if event_id != "":
                fields["event_id"] = event_id
            return self._event(self._payload(f"an event with {what}"), f"with {what}", is_valid=False, **fields)

        yield refused("a bad id", f"{markers.name('a bad event id')} !")
        yield refused("no id", None)
        yield refused("a bad time", occurred_at=markers.name("a bad time"))
        yield refused("another stream", stream=markers.word("the name of a stream"))
        if self._stream.subject == "required":
            yield refused("no subject", subject_id=None)
        if self._stream.subject != "none":
            yield refused("a bad subject", subject_id=f"{markers.name('a bad subject id')}\x07")

    def _refused_for_payloads(self) -> Iterator[CanaryEvent]:
        markers, stream = self._markers, self._stream
        broken = self._broken_texts() if stream.modality == "text" else self._broken_images()
        if stream.max_bytes <= LARGEST:
            text = self._text("a payload that is too large")
            broken = [*broken, ("too large", text * (stream.max_bytes // len(text) + 1))]
        for what, payload in broken:
            yield self._event(payload, f"with {what}", is_valid=False)
        uri = f"gs://{markers.word('a bucket')}/{markers.word('an object')}.bin"
        yield self._event(None, "with a claim check", is_valid=False, uri=uri)

    def _event(self, payload: bytes | None, what: str, *, is_valid: bool = True, **fields: object) -> CanaryEvent:
        known = None if "event_id" in fields else next(self._ids)
        whole: dict[str, object] = {
            "event_id": known,
            "occurred_at": self._occurred_at,
            "stream": self._stream.stream,
            "subject_id": self._subject(what),
            "payload": payload,
            **fields,
        }
        return CanaryEvent({name: value for name, value in whole.items() if value is not None}, known, is_valid)

    def _subject(self, what: str) -> str:
        place = f"the subject id of an event {what}"
        return f"{self._markers.word(place)}.{self._markers.word(place)}@example.com"

    def _payloads(self) -> Iterator[tuple[str, bytes]]:
        """Yield the payloads that a stream must accept, each with what it contains."""
        if self._stream.modality == "image":
            yield from images.files(self._markers, self._stream.limits.formats, self._stream.max_bytes)
            return
        for place in ("a text", "another text", "a third text"):
            yield place, self._text(place)

    def _payload(self, place: str) -> bytes:
        if self._stream.modality == "text":
            return self._text(place)
        content = images.encode(images.draw(self._markers, place), self._stream.limits.formats[0])
        if len(content) > self._stream.max_bytes:
            raise UserError(
                f"limits.max_bytes of {self._stream.stream} is {self._stream.max_bytes:,}, but a canary's pictures "
                f"have up to {len(content):,} bytes: raise it."
            )
        return content

    def _text(self, place: str) -> bytes:
        """Return a text such as a customer would write, with a marker in each of its facts."""
        markers = self._markers
        text = (
            f"Hello, I am {markers.name(f'a name in {place}')}. My parcel has not come yet. Please call "
            f"{markers.phone(f'a telephone number in {place}')}, or send it to "
            f"{markers.address(f'an address in {place}')}."
        )
        if len(text) > self._stream.max_bytes:
            raise UserError(
                f"limits.max_bytes of {self._stream.stream} is {self._stream.max_bytes:,}, but the texts of a canary "
                f"have up to {len(text):,} bytes: raise it."
            )
        return text.encode()

    def _broken_texts(self) -> list[tuple[str, bytes]]:
        return [
            ("bytes that are no text", b"\xff" + self._text("bytes that are no text")),
            ("a zero byte", self._text("a text with a zero byte") + b"\0"),
            ("UTF-16", b"\xff\xfe" + self._text("a text in UTF-16").decode().encode("utf-16-le")),
        ]

    def _broken_images(self) -> list[tuple[str, bytes]]:
        markers = self._markers
        whole = self._payload("an image that is cut")
        text = self._text("a text instead of an image")
        broken = [
            ("an image that is cut", whole[: len(whole) // 2]),
            ("a text instead of an image", text),
            ("an SVG", f"<svg><text>{markers.name('an SVG')}</text></svg>".encode()),
        ]
        if "png" in self._stream.limits.formats:
            broken.append(("too many pixels", _huge_png(self._text("a PNG of too many pixels"))))
        return broken


def _huge_png(text: bytes) -> bytes:
    """Return a PNG that claims more pixels than any stream allows, with a text."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", _HUGE, _HUGE, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"Comment\0" + text) + pixels + chunk(b"IEND", b"")
