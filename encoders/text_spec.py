"""`TextSpec`: the fields that the specs of all text encoders have."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field

from encoders.huggingface_weights import SafeFiles
from encoders.spec import Added, EncoderSpec, Files
from rawless.config import FrozenModel

_PROBE = "Zoë paid £3.50 for two CAFÉS at 東京 — wasn't that naïve? 😀 antidisestablishmentarianism"
"""Case, accents, CJK, an emoji, punctuation and a word of many pieces, for which tokenizers differ."""


_Prompt = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


class Prompts(FrozenModel):
    """What precedes each text, by its role."""

    document: _Prompt = ""
    query: _Prompt = ""


class TextPreprocessing(FrozenModel):
    """From text to token ids."""

    tokenizer: SafeFiles = Field(min_length=1)
    max_tokens: int = Field(ge=4, le=8192)
    """Including special tokens; a longer text is cut off at the end and reported as `truncated`."""
    normalisation: Literal["none", "NFC", "NFKC"] = "none"
    """Unicode normalisation before the tokenizer, in addition to the tokenizer's own."""
    prompts: Annotated[Prompts, Added()] = Prompts()
    """Not part of a text: one of nothing but its prompt is empty."""
    padding: Annotated[Literal["right", "left"], Added()] = "right"
    """The side on which the model's tokenizer pads. No vector depends on it: a text has the one that it has alone."""


class TextSpec(EncoderSpec):
    """The spec of an encoder of UTF-8 texts."""

    modality: Literal["text"]
    preprocessing: TextPreprocessing

    @property
    def files(self) -> Files:
        """See `EncoderSpec.files`: those of every encoder, and the tokenizer."""
        return {**super().files, **self.preprocessing.tokenizer}

    @property
    def longest_input(self) -> str:
        """See `EncoderSpec.longest_input`."""
        return " ".join([self.probe_input] * self.preprocessing.max_tokens)

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
