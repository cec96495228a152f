"""The stream file: the declaration of one kind of event."""

import math
import random
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    model_validator,
)

from rawless.config import Duration, FrozenModel, read_yaml
from rawless.content import ImageLimits, Modality, PartModality
from rawless.content_parts import overhead
from rawless.errors import UserError
from rawless.events.messages import FIELDS
from rawless.events.objects import explain_bad_prefix
from rawless.events.patterns import draw, explain_bad_pattern, information, matches
from rawless.privacy.subject_ids import Step

MAX_ATTRIBUTE_LENGTH = 32
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_BITS = 512
"""How much information the attributes of one event may carry together."""
MAX_ID_LENGTH = 128
MAX_AGE = timedelta(days=3640)
"""How old an event may be at most when it is parsed, whatever its stream says.

BigQuery's Storage Write API refuses rows for days of more than ten years ago, which it counts as 3,650 days from the
current date. The ten days between are for rows that are written later, by a job that is retried.
"""
_ID_PATTERNS = {
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "ulid": "[0-7][0-9A-HJKMNP-TV-Z]{25}",
}
_EVENT_ID = "{event_id}"
_HTTPS = re.compile(r"https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/")
_REPEATS = (24, 8, 2, 1, 0)
"""How often a part of an id is repeated, until the id is short enough."""
_IMAGE_LIMITS = set(ImageLimits.model_fields)
MAX_BYTES: dict[PartModality, int] = {"text": 1_000_000, "image": 10_000_000}
"""The largest payload, or part of one, unless a stream file says otherwise."""
MAX_PARTS = 8


def _bounded(pattern: str) -> str:
    if problem := explain_bad_pattern(pattern):
        raise ValueError(f"the pattern {problem}")
    return pattern


def _prefix(prefix: str) -> str:
    if problem := explain_bad_prefix(prefix):
        raise ValueError(f"a prefix {problem}")
    return prefix


def _storable(age: timedelta) -> timedelta:
    if age > MAX_AGE:
        raise ValueError(f"it is at most {MAX_AGE.days}d, because BigQuery refuses rows of events of ten years ago")
    return age


def _link(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("a URL consists of printable ASCII characters, without spaces and backslashes")
    plain = url.replace(_EVENT_ID, "")
    if _EVENT_ID not in url or "{" in plain or "}" in plain:
        raise ValueError(f"the URL contains the placeholder {_EVENT_ID}, and no other")
    if not _HTTPS.match(url):
        raise ValueError("the URL begins with https:// and a host; it has no user, and the event id follows the host")
    return url


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Pattern = Annotated[str, AfterValidator(_bounded)]


class IdPattern(FrozenModel):
    """A regular expression that the whole event id must match."""

    pattern: Pattern


class Enumerated(FrozenModel):
    """An attribute whose value must be in a list."""

    enum: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(min_length=1, max_length=1000)

    def allows(self, value: str) -> bool:
        """Return whether the value may be stored."""
        return value in self.enum

    @property
    def bits(self) -> float:
        """How much information the attribute can carry; that it may be missing counts as a value."""
        return math.log2(len(set(self.enum)) + 1)


class Matched(FrozenModel):
    """An attribute whose whole value must match a bounded pattern."""

    pattern: Pattern
    max_length: int = Field(default=MAX_ATTRIBUTE_LENGTH, ge=1, le=MAX_ATTRIBUTE_LENGTH)

    def allows(self, value: str) -> bool:
        """Return whether the value may be stored."""
        return len(value) <= self.max_length and matches(self.pattern, value)

    @property
    def bits(self) -> float:
        """An upper bound of the information that the attribute can carry."""
        return math.log2(2 ** information(self.pattern, self.max_length) + 1)


def _attribute_kind(value: Any) -> str:
    is_enum = isinstance(value, Enumerated) or (isinstance(value, dict) and "enum" in value)
    return "<enum>" if is_enum else "<pattern>"


def _id_kind(value: Any) -> str:
    return "<name>" if isinstance(value, str) else "<pattern>"


# With a discriminator, pydantic reports errors for the kind that was meant, not for every kind.
Attribute = Annotated[
    Annotated[Enumerated, Tag("<enum>")] | Annotated[Matched, Tag("<pattern>")], Discriminator(_attribute_kind)
]
EventId = Annotated[
    Annotated[Literal["uuid", "ulid"], Tag("<name>")] | Annotated[IdPattern, Tag("<pattern>")], Discriminator(_id_kind)
]


class Limits(ImageLimits):
    """Limits on an event. `max_bytes` limits the payload; None means the default of the modality."""

    max_bytes: StrictInt | None = Field(default=None, ge=1, le=100_000_000)
    max_age: Annotated[Duration, AfterValidator(_storable)] = MAX_AGE


class PartRule(FrozenModel):
    """One named part of the events of a stream. A file may name its modality alone."""

    modality: PartModality
    max_bytes: StrictInt = Field(ge=1, le=100_000_000)

    @model_validator(mode="before")
    @classmethod
    def _with_limit(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"modality": value}
        if isinstance(value, dict) and value.get("modality") in MAX_BYTES:
            return {"max_bytes": MAX_BYTES[value["modality"]], **value}
        return value


class Leakage(FrozenModel):
    """A gate: the highest values that the last leakage audit of an encoder may have, and its maximum age."""

    max: dict[Name, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)
    max_age: Duration
    min_rows: int = Field(default=1_000, ge=1)
    """How many contents the attacker of an audit must have had: from few, every attack learns little."""


class Unchanged(FrozenModel):
    """Content that is delivered again need not be encoded again while its vector is remembered."""

    remember: StrictInt = Field(ge=1, le=10_000_000)
    """The vectors of how many contents a process remembers for each encoder: those that were asked for last."""


class SourceSystem(FrozenModel):
    """Where a person with the right to see an item finds it by its event id, outside of Rawless."""

    url: Annotated[str, Field(max_length=512), AfterValidator(_link)]

    def link(self, event_id: str) -> str:
        """Return the URL of an event, whose id is percent-encoded."""
        return self.url.replace(_EVENT_ID, quote(event_id, safe=""))


class Stream(FrozenModel):
    """One kind of event: its modality, encoders, limits and allowed attributes."""

    stream: Name
    modality: Modality
    parts: dict[Name, PartRule] = Field(default_factory=dict, max_length=MAX_PARTS)
    """For a stream of the modality `parts`: the parts that its events may have, by name."""
    encoders: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(min_length=1)
    event_id: EventId = "uuid"
    subject: Literal["required", "optional", "none"] = "required"
    subject_form: tuple[Step, ...] = ()
    """The normal form of subject ids; the same for all streams and tables whose persons are joined."""
    attributes: dict[Name, Attribute] = Field(default_factory=dict)
    limits: Limits = Limits()
    uri_prefixes: tuple[Annotated[str, AfterValidator(_prefix)], ...] = Field(default=(), max_length=100)
    """Objects may be read below these prefixes only."""
    leakage: Leakage | None = None
    inspect: SourceSystem | None = None
    """The system to which `rawless inspect` prints links."""
    unchanged: Unchanged | None = None

    @model_validator(mode="after")
    def _encoders_are_distinct(self) -> "Stream":
        if len(set(self.encoders)) != len(self.encoders):
            raise ValueError("encoders: each encoder may be named once")
        return self

    @model_validator(mode="after")
    def _parts_are_for_parts(self) -> "Stream":
        if self.modality == "parts" and not self.parts:
            raise ValueError("parts: name the parts of an event, as in `parts: {photo: image, caption: text}`")
        if self.modality != "parts" and self.parts:
            raise ValueError(f"parts is for streams of the modality parts, but this stream is {self.modality}")
        if self.modality == "parts" and self.limits.max_bytes is not None:
            raise ValueError("limits.max_bytes is for one payload: give each part its own, below parts")
        return self

    @model_validator(mode="after")
    def _attributes_are_not_fields(self) -> "Stream":
        if taken := sorted(set(self.attributes) & set(FIELDS)):  # a message has one set of names for both
            raise ValueError(f"attributes.{taken[0]} is the name of a field of every event; choose another name")
        return self

    @model_validator(mode="after")
    def _attributes_carry_little(self) -> "Stream":
        if len(self.attributes) > MAX_ATTRIBUTES:
            raise ValueError(f"attributes: {len(self.attributes)} are listed, but at most {MAX_ATTRIBUTES} may be")
        if self.attribute_bits > MAX_ATTRIBUTE_BITS:
            raise ValueError(
                f"attributes can carry {self.attribute_bits:,.0f} bits of a payload in each event, but at most "
                f"{MAX_ATTRIBUTE_BITS} may be; use enums, shorter lengths, or fewer attributes"
            )
        return self

    @model_validator(mode="after")
    def _image_limits_are_for_images(self) -> "Stream":
        image_limits = sorted(self.limits.model_fields_set & _IMAGE_LIMITS)
        if image_limits and not self.has_images:
            raise ValueError(f"limits.{image_limits[0]} is for streams of images, but this stream is {self.modality}")
        return self

    @cached_property
    def max_bytes(self) -> int:
        """The largest payload in bytes; of an event with parts, all of them together."""
        if self.modality == "parts":
            return sum(part.max_bytes + overhead(name) for name, part in self.parts.items())
        return self.limits.max_bytes or MAX_BYTES[self.modality]

    @property
    def has_images(self) -> bool:
        """Whether its events carry images."""
        return self.modality == "image" or any(part.modality == "image" for part in self.parts.values())

    @property
    def attribute_bits(self) -> float:
        """An upper bound of the information that the attributes of one event can carry."""
        return sum(attribute.bits for attribute in self.attributes.values())

    @property
    def id_bits(self) -> float:
        """An upper bound of the information that an event id can carry."""
        return information(self._id_pattern, MAX_ID_LENGTH)

    @property
    def _id_pattern(self) -> str:
        return self.event_id.pattern if isinstance(self.event_id, IdPattern) else _ID_PATTERNS[self.event_id]

    def allows_id(self, event_id: str) -> bool:
        """Return whether an id is short enough and matches the stream's pattern."""
        return len(event_id) <= MAX_ID_LENGTH and matches(self._id_pattern, event_id)

    def draw_id(self, chance: random.Random) -> str | None:
        """Return a random event id that the stream allows, or None if none was found."""
        drawn = (draw(self._id_pattern, chance, repeats) for repeats in _REPEATS)
        return next(filter(self.allows_id, drawn), None)

    def check_modality(self, encoder: str, modality: str, reads: Mapping[str, str]) -> None:
        """Raise UserError if the modality of an encoder is not that of the stream.

        `reads` are the parts of an event that the encoder reads, with the modality of each.
        """
        if modality != self.modality:
            raise UserError(
                f"The modality of stream {self.stream} is {self.modality}, but its encoder {encoder} takes {modality}: "
                "choose an encoder of the stream's modality."
            )
        for name, of_part in reads.items():
            if name not in self.parts or self.parts[name].modality != of_part:
                has = f"has one of {self.parts[name].modality}" if name in self.parts else "has none of that name"
                raise UserError(
                    f"The encoder {encoder} reads the part {name}, of {of_part}, but the stream {self.stream} {has}: "
                    "correct parts in the stream file, or choose another encoder."
                )

    def leakage_warning(self) -> str | None:
        """Return the warning that the stream has no leakage gate, None if it has one."""
        if self.leakage is not None:
            return None
        return f"{self.stream} has no leakage gate: nothing limits what the embeddings of its encoders may leak."


def load_stream(path: Path) -> Stream:
    """Read and check a stream file. Raises UserError with the field, value and rule that are wrong."""
    return read_yaml(path, Stream, what="stream file")
