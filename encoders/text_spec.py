"""`TextSpec`: what decides the vector of a text."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator

from encoders.spec import Digest, EncoderSpec, FileName, Files, Weights
from rawless.config import FrozenModel

_CODE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".msgpack", ".py")
_PROBE = "Zoë paid £3.50 for two CAFÉS at 東京 — wasn't that naïve? 😀 antidisestablishmentarianism"
"""Case, accents, CJK, an emoji, punctuation and a word of many pieces: what tokenizers differ in."""


def _no_code(name: str) -> str:
    if name.lower().endswith(_CODE):
        raise ValueError(f"{name} could run code when it is loaded; use .safetensors weights")
    return name


SafeFiles = dict[Annotated[FileName, AfterValidator(_no_code)], Digest | None]


class TextWeights(Weights):
    """A Hugging Face model, from the hub's caches or a folder."""

    source: str = Field(pattern=r"^(hf:[\w.-]+/[\w.-]+|path:.+)$")
    files: SafeFiles = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _safetensors_only(cls, files: Files) -> Files:
        if not any(name.endswith(".safetensors") for name in files):
            raise ValueError("name at least one .safetensors file")
        return files


class TextPreprocessing(FrozenModel):
    """From text to token ids."""

    tokenizer: SafeFiles = Field(min_length=1)
    max_tokens: int = Field(ge=4, le=8192)
    """Special tokens included; what is longer is cut off at the end and reported as `truncated`."""
    normalisation: Literal["none", "NFC", "NFKC"] = "none"
    """Unicode normalisation before the tokenizer, beside what the tokenizer itself does."""


class TextSpec(EncoderSpec):
    """A Hugging Face text encoder."""

    modality: Literal["text"]
    architecture: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    """The `model_type` of the Hugging Face configuration."""
    weights: TextWeights
    preprocessing: TextPreprocessing
    layer: int = Field(default=-1, ge=-200, le=200)
    """Which hidden state is pooled: 0 is the embedding layer's, -1 the last one."""
    pooling: Literal["mean", "cls", "max"]

    @property
    def files(self) -> Files:
        """See `EncoderSpec.files`: the tokenizer's too."""
        return {**self.weights.files, **self.preprocessing.tokenizer}

    def with_digests(self, digests: Mapping[str, str]) -> Self:
        """See `EncoderSpec.with_digests`."""
        tokenizer = {name: digests[name] for name in self.preprocessing.tokenizer}
        preprocessing = self.preprocessing.model_copy(update={"tokenizer": tokenizer})
        return super().with_digests(digests).model_copy(update={"preprocessing": preprocessing})

    @staticmethod
    def built_in_probe() -> str:
        """See `EncoderSpec.built_in_probe`."""
        return _PROBE

    @staticmethod
    def content_of(probe_input: str) -> bytes:
        """See `EncoderSpec.content_of`."""
        return probe_input.encode()
