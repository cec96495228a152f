"""`EncoderSpec`: weights and everything else that decides a vector, with a fingerprint over it.

The fields that all encoders have; `encoders.families` has the spec classes of the families.
"""

import base64
import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from encoders.adapter import Adapter
from encoders.defence import Defence, LearnedProjection
from encoders.precision import LOWEST_TOLERANCE, Precision
from rawless.config import FrozenModel
from rawless.content import Modality, PartModality
from rawless.errors import UserError

Vector = npt.NDArray[np.float32]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$")]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
FileName = Annotated[str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
"""A name in the folder of the weights, or one folder deeper."""
Files = dict[FileName, Digest | None]
"""File names and their sha256; None for a file whose digest is not known yet."""


class Added:
    """Marks a field that was added to specs when some were sealed.

    While it has its default, it is not part of the identity, so that the fingerprints of earlier specs stay.
    """


class Weights(FrozenModel):
    """The files of the weights, and where they come from."""

    source: str
    """A kind of source and a location, as in `hf:OWNER/NAME`."""
    files: Files = Field(min_length=1)

    @property
    def kind(self) -> str:
        """The kind of the source, which precedes the first colon."""
        return self.source.partition(":")[0]

    @property
    def location(self) -> str:
        """The part of the source after the first colon."""
        return self.source.partition(":")[2]


class Probe(FrozenModel):
    """A tiny built-in input, and the vector that the encoder must produce for it."""

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
        """Return the probe of an input and the vector that was computed for it."""
        return cls(input=text, vector=base64.b64encode(vector.astype("<f4").tobytes()).decode())


def _unpack(text: str) -> Vector:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)


def _defence_kind(value: Any) -> str:
    return "<steps>" if isinstance(value, Mapping | Defence) else "<none>"


class EncoderSpec(FrozenModel):
    """The exact description of a frozen encoder. Every field but the probe is part of its identity."""

    name: Name
    version: Version
    modality: Modality
    architecture: str
    weights: Weights
    l2_normalise: bool
    dimension: int = Field(ge=1, le=32768)
    precision: Precision = "fp32"
    """What the network computes in; vectors are float32 in any case."""
    tolerance: float = Field(gt=0, le=0.1)
    """The largest accepted difference in any component between two computations of one input's vector."""
    defence: Annotated[
        Annotated[Literal["none"], Tag("<none>")] | Annotated[Defence, Tag("<steps>")], Discriminator(_defence_kind)
    ] = "none"
    """What is done to a vector so that it reveals less; `dimension` is that of the vector afterwards."""
    adapter: Annotated[Adapter | None, Added()] = None
    """A map into the space of another encoder, which follows the network; `dimension` is that of the mapped vector."""
    queries_of: Annotated[Digest | None, Added()] = None
    """For a query tower: the fingerprint of the encoder of the documents that its queries search.

    It encodes queries only, see `encoders.query_tower`.
    """
    training_domain: str = Field(min_length=1, max_length=500)
    parent: str | None = Field(default=None, max_length=200)
    """The encoder that this one was retrained from, as name@version."""
    probe: Probe | None = None

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        if self.probe is not None and self.probe.values.shape != (self.dimension,):
            raise ValueError(f"the probe has {self.probe.values.size} values, but dimension is {self.dimension}")
        return self

    @model_validator(mode="after")
    def _adapter_fits(self) -> Self:
        if self.adapter is None:
            return self
        if self.defence != "none":
            raise ValueError("an encoder has a defence or an adapter, not both")
        if self.adapter.dimension != self.dimension:
            raise ValueError(f"dimension is {self.dimension}, but the adapter maps to {self.adapter.dimension}")
        return self

    @model_validator(mode="after")
    def _tolerance_fits(self) -> Self:
        if self.tolerance < (lowest := LOWEST_TOLERANCE[self.precision]):
            raise ValueError(
                f"tolerance is {self.tolerance:g}, but {self.precision} rounds more coarsely: use {lowest:g} or more"
            )
        return self

    @model_validator(mode="after")
    def _defence_fits(self) -> Self:
        if not isinstance(self.defence, Defence):
            return self
        if self.defence.dimension != self.dimension:
            raise ValueError(f"dimension is {self.dimension}, but the defence leaves {self.defence.dimension}")
        return self

    @property
    def ref(self) -> str:
        """The name and version, as in minilm@1.0.0."""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> Files:
        """All files of the encoder, with their digests."""
        learned = {self._learned.file: self._learned.sha256} if self._learned else {}
        adapter = {self.adapter.file: self.adapter.sha256} if self.adapter else {}
        return {**self.weights.files, **learned, **adapter}

    @property
    def sealed(self) -> bool:
        """Whether the spec has all digests and the golden probe."""
        return self.probe is not None and all(self.files.values())

    def identity(self) -> dict[str, Any]:
        """Return every field but the probe, and but those of `Added` that have their default, as plain JSON values.

        The fingerprint is computed from them.
        """
        return _without_added_defaults(self, self.model_dump(mode="json", exclude={"probe"}))

    @property
    def fingerprint(self) -> str:
        """The sha256 of the identity's canonical JSON, in hexadecimal. Raises UserError while the spec is unsealed."""
        if not self.sealed:
            raise UserError(
                f"The encoder {self.ref} is not sealed, so it has no fingerprint: run "
                f"`rawless encoder register {self.ref}` on a machine that has its weights."
            )
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()

    @property
    def space(self) -> str:
        """The digest of the space that the vectors lie in: those of one space may be compared, others never.

        The fingerprint, but for encoders that were trained together. That of a query tower is the fingerprint of its
        documents' encoder, since its vectors may be compared with those and with no others. Raises UserError while the
        spec is unsealed.
        """
        fingerprint = self.fingerprint
        return self.queries_of or fingerprint

    @property
    def probe_input(self) -> str:
        """The input of the probe; while there is no probe, the input that it will have."""
        return self.probe.input if self.probe else self.built_in_probe()

    @property
    def longest_input(self) -> str | None:
        """An input, like the probe's, of the largest size that the encoder takes; None if all items have one size."""
        return None

    @property
    def reads(self) -> Mapping[str, PartModality]:
        """The modality of each named part of an event that the encoder reads, for those of events with parts."""
        return {}

    @property
    def needs_cuda(self) -> bool:
        """Whether only a CUDA device produces the vectors."""
        return False

    def with_digests(self, digests: Mapping[str, str]) -> Self:
        """Return the spec with the digest of every file; `digests` has one for each of `files`."""
        files = {name: digests[name] for name in self.weights.files}
        new: dict[str, Any] = {"weights": self.weights.model_copy(update={"files": files})}
        if isinstance(self.defence, Defence) and (learned := self._learned):
            sealed = learned.model_copy(update={"sha256": digests[learned.file]})
            new["defence"] = self.defence.model_copy(update={"learned": sealed})
        if self.adapter:
            new["adapter"] = self.adapter.model_copy(update={"sha256": digests[self.adapter.file]})
        return self.model_copy(update=new)

    def completes(self, spec: "EncoderSpec") -> bool:
        """Return whether the two differ only in digests that `spec` leaves out."""
        digests = {name: digest or self.files.get(name) or "" for name, digest in spec.files.items()}
        return self.identity() in (spec.identity(), spec.with_digests(digests).identity())

    def network_alone(self) -> Self:
        """Return the spec of the network without defence and adapter, from which it is loaded. It has no identity."""
        if self.adapter:
            return self.model_copy(update={"dimension": self.adapter.full_dimension, "adapter": None})
        if isinstance(self.defence, Defence):
            return self.model_copy(update={"dimension": self.defence.full_dimension, "defence": "none"})
        return self

    @property
    def _learned(self) -> LearnedProjection | None:
        return self.defence.learned if isinstance(self.defence, Defence) else None

    @staticmethod
    @abstractmethod
    def built_in_probe() -> str:
        """Return the input that the probes of the family have."""

    @staticmethod
    @abstractmethod
    def content_of(probe_input: str) -> bytes:
        """Return a probe's input as the raw content that an encoder takes."""


def _without_added_defaults(model: BaseModel, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a model's fields without those of `Added` that have their default."""
    kept = {}
    for name, value in values.items():
        field, part = type(model).model_fields[name], getattr(model, name)
        if any(isinstance(each, Added) for each in field.metadata) and part == field.get_default():
            continue
        kept[name] = _without_added_defaults(part, value) if isinstance(part, BaseModel) else value
    return kept


def canonical_json(value: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no white space, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
