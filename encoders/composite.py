"""`CompositeSpec`: an encoder whose vector is that of several others, one after another.

Its parts are whole specs, so that its fingerprint covers each of them, and a change of a part is a change of the whole.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from encoders import catalogue
from encoders.defence import Defence
from encoders.spec import EncoderSpec, Files, Weights, canonical_json
from rawless.config import FrozenModel

V = TypeVar("V")

ARCHITECTURE = "composite"
MAX_PARTS = 8


def _inlined(value: Any) -> EncoderSpec:
    """Return the spec of a part, which a file may also name as a stream does, without its own probe."""
    if isinstance(value, str):
        value = catalogue.lookup(value)
    if isinstance(value, Mapping):
        value = catalogue.parse(value, "The encoder of a part")
    if not isinstance(value, EncoderSpec):
        raise ValueError("a part's encoder is a whole spec, NAME@VERSION of the catalogue, or the path of a spec")
    return value.model_copy(update={"probe": None})


class Part(FrozenModel):
    """One part of a composite: a whole encoder, and what is done to its vector."""

    encoder: Annotated[SerializeAsAny[EncoderSpec], BeforeValidator(_inlined)]
    """Without a probe: that of the whole encoder checks all parts."""
    weight: float = Field(default=1.0, gt=0, le=1_000)
    """The factor of the part's vector, after it was normalised."""
    l2_normalise: bool
    """Whether the part's vector is scaled to length one first."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the part's encoder, which it has by itself too."""
        return hashlib.sha256(canonical_json(self.encoder.identity()).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """Return every field as plain JSON values, the encoder's as its own identity."""
        return {**self.model_dump(mode="json", exclude={"encoder"}), "encoder": self.encoder.identity()}


class _NoWeights(Weights):
    """The weights of a composite: none but those of its parts."""

    source: Literal["parts:"] = "parts:"
    files: Files = Field(default={}, max_length=0)


class CompositeSpec(EncoderSpec):
    """The spec of an encoder of several parts, whose vectors are concatenated in their order."""

    architecture: Literal["composite"]
    weights: _NoWeights = Field(default=_NoWeights(), exclude=True)
    parts: tuple[Part, ...] = Field(min_length=2, max_length=MAX_PARTS)
    l2_normalise: bool
    """Whether the whole vector is scaled to length one, after those of the parts were joined."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for part in self.parts:
            if problem := self._problem(part.encoder):
                raise ValueError(f"the part {part.encoder.ref} {problem}")
        if self.adapter or (isinstance(self.defence, Defence) and self.defence.learned):
            raise ValueError("a composite has no folder for the file of an adapter or of a learned projection")
        sizes = [part.encoder.dimension for part in self.parts]
        if (dimension := self.network_alone().dimension) != sum(sizes):
            raise ValueError(
                f"dimension is {dimension}, but the parts have {' + '.join(map(str, sizes))} = {sum(sizes)} components"
            )
        return self

    def _problem(self, encoder: EncoderSpec) -> str | None:
        """Return what forbids an encoder as a part."""
        if isinstance(encoder, CompositeSpec):
            return "is a composite: name its parts"
        if self.modality not in (encoder.modality, "parts"):
            return f"takes {encoder.modality}, but the composite takes {self.modality}"
        if encoder.defence != "none":
            return "has a defence: compose encoders without, and defend the composite"
        if encoder.queries_of is not None:
            return "encodes queries only"
        if encoder.precision != self.precision:
            return f"has precision {encoder.precision}, but all parts compute in that of the composite"
        return None

    @property
    def files(self) -> Files:
        """See `EncoderSpec.files`: those of each part, below its number from 0."""
        return self.by_part(lambda encoder: encoder.files)

    @property
    def longest_input(self) -> str | None:
        """See `EncoderSpec.longest_input`: the longest of the parts."""
        return max((part.encoder.longest_input or "" for part in self.parts), key=len) or None

    @property
    def needs_cuda(self) -> bool:
        """See `EncoderSpec.needs_cuda`: whether one of the parts does."""
        return any(part.encoder.needs_cuda for part in self.parts)

    def identity(self) -> dict[str, Any]:
        """See `EncoderSpec.identity`: that of each part is in it."""
        return {**super().identity(), "parts": [part.identity() for part in self.parts]}

    def by_part(self, of: Callable[[EncoderSpec], Mapping[str, V]]) -> dict[str, V]:
        """Return what `of` returns by file for each part, each name below the part's number."""
        return {
            f"{number}/{name}": value
            for number, part in enumerate(self.parts)
            for name, value in of(part.encoder).items()
        }

    def with_digests(self, digests: Mapping[str, str]) -> Self:
        """See `EncoderSpec.with_digests`."""
        parts = tuple(
            part.model_copy(update={"encoder": part.encoder.with_digests(_below(digests, number))})
            for number, part in enumerate(self.parts)
        )
        return self.model_copy(update={"parts": parts})


def _below(digests: Mapping[str, str], number: int) -> dict[str, str]:
    prefix = f"{number}/"
    return {name.removeprefix(prefix): each for name, each in digests.items() if name.startswith(prefix)}
