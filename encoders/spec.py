"""`EncoderSpec`: weights and everything around them that decides a vector, with a fingerprint over it.

What all kinds of encoders have in common; each kind's own fields stand in `text_spec` and `image_spec`.
"""

import base64
import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from rawless.config import FrozenModel
from rawless.content import Modality
from rawless.errors import UserError

Vector = npt.NDArray[np.float32]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Files = dict[FileName, Digest | None]
"""File names and their sha256; None while the file has not been seen."""


class Weights(FrozenModel):
    """Where the weights come from and what they are."""

    source: str
    files: Files = Field(min_length=1)


class Probe(FrozenModel):
    """A tiny built-in input and the vector that the encoder must give for it."""

    input: str = Field(min_length=1, max_length=10_000)
    """A text, or a file in base64."""
    vector: str
    """Base64 of little-endian float32."""

    @field_validator("vector")
    @classmethod
    def _is_finite_vector(cls, text: str) -> str:
        if not np.isfinite(_unpack(text)).all():
            raise ValueError("the probe's vector must be finite")
        return text

    @property
    def values(self) -> Vector:
        """The vector, of shape (dimension,)."""
        return _unpack(self.vector)

    @classmethod
    def of(cls, text: str, vector: Vector) -> "Probe":
        """The probe that a vector was computed for."""
        return cls(input=text, vector=base64.b64encode(vector.astype("<f4").tobytes()).decode())


def _unpack(text: str) -> Vector:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)


class EncoderSpec(FrozenModel):
    """A frozen encoder, exactly. Everything but the probe is its identity."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    version: str = Field(pattern=r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$")
    modality: Modality
    weights: Weights
    l2_normalise: bool
    dimension: int = Field(ge=1, le=32768)
    precision: Literal["fp32"] = "fp32"
    tolerance: float = Field(gt=0, le=0.1)
    """Largest difference of any component, between any two ways of encoding the same input."""
    defence: Literal["none"] = "none"
    training_domain: str = Field(min_length=1, max_length=500)
    parent: str | None = Field(default=None, max_length=200)
    """The encoder that this one was retrained from, as name@version."""
    probe: Probe | None = None

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        if self.probe is not None and self.probe.values.shape != (self.dimension,):
            raise ValueError(f"the probe has {self.probe.values.size} values, but dimension is {self.dimension}")
        return self

    @property
    def ref(self) -> str:
        """Name and version, as in minilm@1.0.0."""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> Files:
        """Every file that the encoder is made of, with its digest."""
        return self.weights.files

    @property
    def sealed(self) -> bool:
        """Whether all digests and the golden probe are there."""
        return self.probe is not None and all(self.files.values())

    def identity(self) -> dict[str, Any]:
        """What the fingerprint is over: every field but the probe, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"probe"})

    @property
    def fingerprint(self) -> str:
        """Sha256, in hexadecimal, over the canonical JSON of the identity. Raises UserError while unsealed."""
        if not self.sealed:
            raise UserError(
                f"The encoder {self.ref} is not sealed, so it has no fingerprint: run "
                f"`rawless encoder register {self.ref}` on a machine that has its weights."
            )
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()

    @property
    def probe_input(self) -> str:
        """The input of the probe, or, while there is none, the one that a probe will be made of."""
        return self.probe.input if self.probe else self.built_in_probe()

    def with_digests(self, digests: Mapping[str, str]) -> Self:
        """The same spec with the digest of every file; `digests` has one for each of `files`."""
        files = {name: digests[name] for name in self.weights.files}
        return self.model_copy(update={"weights": self.weights.model_copy(update={"files": files})})

    @staticmethod
    @abstractmethod
    def built_in_probe() -> str:
        """The input that probes of this kind are made of."""

    @staticmethod
    @abstractmethod
    def content_of(probe_input: str) -> bytes:
        """A probe's input as an encoder takes it."""


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no white space, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
