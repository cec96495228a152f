"""`Defence`: what is done to the vectors of an encoder so that they reveal less, as part of its identity.

`encoders.defended_network` computes the steps that need the vector alone, `encoders.release` those at release. See
docs/privacy/defences.md and docs/decisions/0025.
"""

from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rawless.config import FrozenModel

MAX_DIMENSION = 32_768


class Projection(FrozenModel):
    """A random projection: a matrix of independent normal numbers, of a variance that keeps the length on average."""

    dimension: int = Field(ge=1, le=MAX_DIMENSION)
    seed: int = Field(ge=0, lt=2**63)
    """Not a secret: whoever knows it can undo the projection as far as `dimension` allows."""


class LearnedProjection(FrozenModel):
    """An affine map that was learned: `weight` and `bias` of a safetensors file beside those of the weights."""

    file: str = Field(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """None for a file whose digest is not known yet."""
    dimension: int = Field(ge=1, le=MAX_DIMENSION)


class Noise(FrozenModel):
    """Gaussian noise on each component."""

    sigma: float = Field(gt=1e-6, le=1e6)
    """The standard deviation."""


class Quantisation(FrozenModel):
    """Rounding to 2^bits - 1 equidistant values between the largest magnitude of a vector and its negative.

    With one bit the sign remains, and the mean of all magnitudes.
    """

    bits: int = Field(ge=1, le=16)


class Defence(FrozenModel):
    """The steps, in the order in which they are applied. Those that are absent are not."""

    full_dimension: int = Field(ge=1, le=MAX_DIMENSION)
    """The number of components that the encoder has without the defence."""
    truncate: int | None = Field(default=None, ge=1, le=MAX_DIMENSION)
    """How many of the first components remain."""
    project: Projection | None = None
    learned: LearnedProjection | None = None
    clip: float | None = Field(default=None, gt=0, le=1e6)
    """The largest length: a longer vector is shortened to it."""
    noise: Noise | None = None
    quantise: Quantisation | None = None

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if all(getattr(self, name) is None for name in Defence.model_fields if name != "full_dimension"):
            raise ValueError("name at least one step, or write none")
        if self.truncate is not None and self.truncate >= self.full_dimension:
            raise ValueError(f"truncate must be less than full_dimension, but {self.truncate} is not")
        left = self.truncate or self.full_dimension
        if self.project:
            if self.project.dimension > left:
                raise ValueError(f"project.dimension is {self.project.dimension}, but there are {left} components")
            left = self.project.dimension
        if self.learned and self.learned.dimension > left:
            raise ValueError(f"learned.dimension is {self.learned.dimension}, but there are {left} components")
        if self.noise and self.clip is None:
            raise ValueError("noise needs clip: without a largest length, noise of no size hides a vector")
        return self

    @model_serializer(mode="wrap")
    def _without_absent_steps(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that a kind of step that is added later does not change the fingerprints of those that lack it.
        return {name: value for name, value in serialise(self).items() if value is not None}

    @property
    def dimension(self) -> int:
        """The number of components that remain."""
        if self.learned:
            return self.learned.dimension
        return self.project.dimension if self.project else self.truncate or self.full_dimension
