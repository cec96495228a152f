"""Composites of encoders that each read one named part of an event, such as an image and its caption."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from encoders.composite import ARCHITECTURE, MAX_PARTS, CompositeSpec, Part
from encoders.family import Family, Model
from encoders.image_spec import ImageSpec
from encoders.spec import Probe
from encoders.text_spec import TextSpec
from rawless.content import PartModality
from rawless.content_parts import pack

_TEXT, _FILE = "text", "payload_base64"


class EventPart(Part):
    """One part of a composite, and the part of the event that it reads."""

    reads: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    """The name of the part in the stream file."""


class CompositePartsSpec(CompositeSpec):
    """The spec of a composite whose parts read the named parts of an event."""

    modality: Literal["parts"]
    parts: tuple[EventPart, ...] = Field(min_length=2, max_length=MAX_PARTS)
    missing: Literal["reject", "zeros"]
    """What an event without one of the parts that are read gets: a rejection, or zeros for that part's components. An
    event with none of them is rejected."""

    @field_validator("probe")
    @classmethod
    def _probe_has_parts(cls, probe: Probe | None) -> Probe | None:
        try:
            cls.content_of(probe.input if probe else "{}")
        except (ValueError, TypeError, AttributeError, LookupError):
            raise ValueError("probe.input must be a JSON object of parts, each a text or a file in base64") from None
        return probe

    @model_validator(mode="after")
    def _parts_are_read_alike(self) -> Self:
        for part in self.parts:
            if part.encoder.modality != self.reads[part.reads]:
                raise ValueError(f"{part.reads} is read as an image and as a text; each part is one of them")
        return self

    @property
    def reads(self) -> Mapping[str, PartModality]:
        """See `EncoderSpec.reads`."""
        return {part.reads: part.encoder.modality for part in self.parts if part.encoder.modality != "parts"}

    @property
    def probe_input(self) -> str:
        """See `EncoderSpec.probe_input`: the probes of the parts."""
        return self.probe.input if self.probe else self._input({})

    @property
    def longest_input(self) -> str | None:
        """See `EncoderSpec.longest_input`: the longest text of each part."""
        longest: dict[str, str] = {}
        for part in self.parts:
            longest[part.reads] = max(longest.get(part.reads, ""), part.encoder.longest_input or "", key=len)
        return self._input({name: text for name, text in longest.items() if text}) if any(longest.values()) else None

    def _input(self, texts: Mapping[str, str]) -> str:
        return json.dumps(
            {
                name: {_TEXT: texts.get(name, TextSpec.built_in_probe())}
                if modality == "text"
                else {_FILE: ImageSpec.built_in_probe()}
                for name, modality in self.reads.items()
            },
            ensure_ascii=False,
        )

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`. It depends on the names of the parts; see `probe_input`."""
        raise NotImplementedError

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        parts = json.loads(probe_input)
        return pack(
            {
                name: base64.b64decode(part[_FILE], validate=True) if _FILE in part else part[_TEXT].encode()
                for name, part in parts.items()
            }
        )


def load_model(spec: CompositePartsSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. Raises UserError as the families of its parts do."""
    from encoders.composite_model import load_composite

    return load_composite(spec, cuda=cuda)


FAMILY = Family(
    spec=CompositePartsSpec,
    load_model=load_model,
    weight_sources={},
    architectures=frozenset({ARCHITECTURE}),
)
