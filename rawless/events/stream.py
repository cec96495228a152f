"""A stream: one kind of event, as its YAML file declares it."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    model_validator,
)

from rawless.config import Duration, FrozenModel, read_yaml
from rawless.content import ImageLimits, Modality
from rawless.errors import UserError
from rawless.events.messages import FIELDS
from rawless.events.objects import fault_of_prefix
from rawless.events.patterns import fault_of, matches

MAX_ATTRIBUTE_LENGTH = 32
MAX_ID_LENGTH = 128
_ID_PATTERNS = {
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "ulid": "[0-7][0-9A-HJKMNP-TV-Z]{25}",
}
_IMAGE_LIMITS = set(ImageLimits.model_fields)
_MAX_BYTES = {"text": 1_000_000, "image": 10_000_000}


def _bounded(pattern: str) -> str:
    if fault := fault_of(pattern):
        raise ValueError(f"the pattern {fault}")
    return pattern


def _prefix(prefix: str) -> str:
    if fault := fault_of_prefix(prefix):
        raise ValueError(f"a prefix {fault}")
    return prefix


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Pattern = Annotated[str, AfterValidator(_bounded)]


class IdPattern(FrozenModel):
    """Event ids by a regular expression that the whole id must match."""

    pattern: Pattern


class Enumerated(FrozenModel):
    """An attribute whose value is one of a list."""

    enum: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(min_length=1, max_length=1000)

    def allows(self, value: str) -> bool:
        """Whether the whole value may be kept."""
        return value in self.enum


class Matched(FrozenModel):
    """An attribute whose whole value matches a bounded pattern."""

    pattern: Pattern
    max_length: int = Field(default=MAX_ATTRIBUTE_LENGTH, ge=1, le=MAX_ATTRIBUTE_LENGTH)

    def allows(self, value: str) -> bool:
        """Whether the whole value may be kept."""
        return len(value) <= self.max_length and matches(self.pattern, value)


def _attribute_kind(value: Any) -> str:
    named = isinstance(value, Enumerated) or (isinstance(value, dict) and "enum" in value)
    return "<enum>" if named else "<pattern>"


def _id_kind(value: Any) -> str:
    return "<name>" if isinstance(value, str) else "<pattern>"


# With a discriminator, a fault is told of the kind that was meant, not of every kind there is.
Attribute = Annotated[
    Annotated[Enumerated, Tag("<enum>")] | Annotated[Matched, Tag("<pattern>")], Discriminator(_attribute_kind)
]
EventId = Annotated[
    Annotated[Literal["uuid", "ulid"], Tag("<name>")] | Annotated[IdPattern, Tag("<pattern>")], Discriminator(_id_kind)
]


class Limits(ImageLimits):
    """Limits on an event. `max_bytes` is of the payload; None means the modality's default."""

    max_bytes: StrictInt | None = Field(default=None, ge=1, le=100_000_000)
    max_age: Duration = timedelta(days=3660)


class Leakage(FrozenModel):
    """The gate on the encoder's last leakage audit."""

    max: dict[Name, Annotated[float, Field(ge=0, le=1)]]
    max_age: Duration


class Stream(FrozenModel):
    """One kind of event: modality, encoders, limits, allowed attributes."""

    stream: Name
    modality: Modality
    encoders: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(min_length=1)
    event_id: EventId = IdPattern(pattern="[A-Za-z0-9_-]{1,64}")
    subject: Literal["required", "optional", "none"] = "required"
    attributes: dict[Name, Attribute] = Field(default_factory=dict)
    limits: Limits = Limits()
    uri_prefixes: tuple[Annotated[str, AfterValidator(_prefix)], ...] = Field(default=(), max_length=100)
    """Where claim checks may point."""
    leakage: Leakage | None = None

    @model_validator(mode="after")
    def _no_encoder_twice(self) -> "Stream":
        if len(set(self.encoders)) != len(self.encoders):
            raise ValueError("encoders: each encoder may be named once")
        return self

    @model_validator(mode="after")
    def _attributes_are_no_fields(self) -> "Stream":
        if taken := sorted(set(self.attributes) & set(FIELDS)):  # a message has one set of names for both
            raise ValueError(f"attributes.{taken[0]} is the name of a field of every event; name it otherwise")
        return self

    @model_validator(mode="after")
    def _picture_limits_are_for_pictures(self) -> "Stream":
        given = sorted(self.limits.model_fields_set & _IMAGE_LIMITS)
        if given and self.modality != "image":
            raise ValueError(f"limits.{given[0]} is for streams of images, and this is one of {self.modality}s")
        return self

    @cached_property
    def max_bytes(self) -> int:
        """The limit on a payload, in bytes."""
        return self.limits.max_bytes or _MAX_BYTES[self.modality]

    def allows_id(self, event_id: str) -> bool:
        """Whether an id is short enough and matches the stream's pattern."""
        pattern = self.event_id.pattern if isinstance(self.event_id, IdPattern) else _ID_PATTERNS[self.event_id]
        return len(event_id) <= MAX_ID_LENGTH and matches(pattern, event_id)

    def check_modality(self, encoder: str, modality: str) -> None:
        """Raise UserError when an encoder takes another kind of content than the stream carries."""
        if modality != self.modality:
            raise UserError(
                f"The stream {self.stream} is {self.modality}, but its encoder {encoder} takes {modality}: "
                "name an encoder of the stream's modality."
            )

    def leakage_warning(self) -> str:
        """The warning about the stream's leakage gate: that there is none, or that it is not yet enforced."""
        if self.leakage is None:
            return f"{self.stream} has no leakage gate: nothing holds its encoders to what their embeddings may leak."
        return f"{self.stream} has a leakage gate, which this version cannot hold yet: `ingest` will refuse the stream."


def load_stream(path: Path) -> Stream:
    """Read and check a stream file. Raises UserError naming field, value and rule."""
    return read_yaml(path, Stream, what="stream file")
