"""`Adapter`: a learned map from the vectors of one encoder into the space of another, as part of its identity.

An encoder with an adapter is `B-from-A`: the network of A, and after it the map into the space of B. Its vectors are
near to those of B, but they are not of B: its space is its own, and whoever uses them as those of B says so. The kinds
are those of Drift-Adapter (Vejendla, EMNLP 2025), and the unrestricted affine map.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rawless.config import FrozenModel

AdapterKind = Literal["orthogonal", "affine", "low_rank_affine", "residual_mlp"]
_Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Adapter(FrozenModel):
    """The map that follows the network of the encoder `source`."""

    kind: AdapterKind
    """How it was learned. Each but `residual_mlp` is one affine map, which SQL can compute."""
    file: str = Field(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$")
    """A file beside those of the weights, with the tensors of the map."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """None for a file whose digest is not known yet."""
    source: _Fingerprint
    """The fingerprint of the encoder whose vectors it takes."""
    target: _Fingerprint
    """The fingerprint of the encoder into whose space it maps."""
    full_dimension: int = Field(ge=1, le=32_768)
    """The number of components of the vectors that it takes."""
    dimension: int = Field(ge=1, le=32_768)
    l2_normalise: bool
    """Whether mapped vectors are scaled to length one, as those of `target` are."""

    @model_validator(mode="after")
    def _maps_into_another(self) -> Self:
        if self.source == self.target:
            raise ValueError("source and target are the same encoder: an adapter maps into the space of another one")
        return self
