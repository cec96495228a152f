"""Text encoders of Hugging Face: any model type, hidden states pooled over the tokens."""

import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, field_validator

from encoders.batcher import Budget
from encoders.family import Family, Inputs, Model
from encoders.spec import Digest, EncoderSpec, FileName, Files, Weights
from encoders.weight_sources import LocalFolder
from encoders.weight_sources.hugging_face import HuggingFaceHub
from rawless.config import FrozenModel
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Reason, Rejected

if TYPE_CHECKING:
    import torch

BUDGET = Budget(cost=256, run_cost=8, capacity=1_024, wait_seconds=0.002)
"""In padded tokens. On a CPU larger batches are hardly faster, and small bundles would be padded more for them."""
CUDA_BUDGET = Budget(cost=32_768, run_cost=8_192, capacity=4_096, wait_seconds=0.02)
_CODE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".msgpack", ".py")
_PROBE = "Zoë paid £3.50 for two CAFÉS at 東京 — wasn't that naïve? 😀 antidisestablishmentarianism"
"""Case, accents, CJK, an emoji, punctuation and a word of many pieces, for which tokenizers differ."""
_EXAMPLE_SHAPES = ((3, 12), (1, 5), (2, 160))
"""Texts and tokens of the batches that runtimes are compared on."""


def _refuse_code(name: str) -> str:
    if name.lower().endswith(_CODE):
        raise ValueError(f"{name} could run code when it is loaded; use .safetensors weights")
    return name


SafeFiles = dict[Annotated[FileName, AfterValidator(_refuse_code)], Digest | None]


class TextWeights(Weights):
    """A Hugging Face model, from the hub or a folder."""

    source: str = Field(pattern=r"^(hf:[\w.-]+/[\w.-]+|path:.+)$")
    files: SafeFiles = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _has_safetensors(cls, files: Files) -> Files:
        if not any(name.endswith(".safetensors") for name in files):
            raise ValueError("name at least one .safetensors file")
        return files


class TextPreprocessing(FrozenModel):
    """From text to token ids."""

    tokenizer: SafeFiles = Field(min_length=1)
    max_tokens: int = Field(ge=4, le=8192)
    """Including special tokens; a longer text is cut off at the end and reported as `truncated`."""
    normalisation: Literal["none", "NFC", "NFKC"] = "none"
    """Unicode normalisation before the tokenizer, in addition to the tokenizer's own."""


class TextSpec(EncoderSpec):
    """The spec of a Hugging Face text encoder."""

    modality: Literal["text"]
    architecture: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    """The `model_type` of the Hugging Face configuration."""
    weights: TextWeights
    preprocessing: TextPreprocessing
    layer: int = Field(default=-1, ge=-200, le=200)
    """The hidden state that is pooled: 0 is the embedding layer's, -1 the last one."""
    pooling: Literal["mean", "cls", "max"]

    @property
    def files(self) -> Files:
        """See `EncoderSpec.files`: the weights and the tokenizer."""
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


@dataclass(frozen=True, slots=True, repr=False)
class _Tokens:
    ids: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    is_truncated: bool


class TextModel(Model[_Tokens]):
    """A transformer behind decoding, checks and tokenizing. Items are UTF-8 texts."""

    def __init__(self, spec: TextSpec, *, cuda: bool) -> None:
        """See `encoders.family.LoadModel`."""
        tokenizer, self.network = load_network(spec)
        self.budget = CUDA_BUDGET if cuda else BUDGET
        self._pad = tokenizer.pad_token_id or 0
        # Truncation and padding are set once: a call that set them would change them for other threads too.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.enable_truncation(spec.preprocessing.max_tokens)
        self._tokenizer.no_padding()
        self._cuda = cuda
        self._preprocessing = spec.preprocessing

    def prepare(self, content: bytes, limits: ImageLimits) -> _Tokens:
        """See `Model.prepare`: the tokens of a text."""
        text = _decode(content)
        if self._preprocessing.normalisation != "none":
            text = unicodedata.normalize(self._preprocessing.normalisation, text)
        (encoding,) = self._tokenizer.encode_batch_fast([text])  # releases the GIL, which encode does not
        if all(encoding.special_tokens_mask):  # a text of zero-width characters, for example
            raise Rejected(Reason.EMPTY_TEXT)
        ids, types = np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64)
        return _Tokens(ids, types, bool(encoding.overflowing))

    def cost(self, prepared: _Tokens) -> int:
        """See `Model.cost`: the number of tokens."""
        return prepared.ids.size

    def is_truncated(self, prepared: _Tokens) -> bool:
        """See `Model.is_truncated`."""
        return prepared.is_truncated

    def inputs(self, batch: Sequence[_Tokens]) -> Inputs:
        """See `Model.inputs`: ids, types and mask, each of shape (batch, width of the longest)."""
        import torch

        shape = len(batch), max(tokens.ids.size for tokens in batch)
        ids, types, mask = (torch.full(shape, fill, pin_memory=self._cuda) for fill in (self._pad, 0, 0))
        views = ids.numpy(), types.numpy(), mask.numpy()
        for row, tokens in enumerate(batch):
            for view, values in zip(views, (tokens.ids, tokens.types, 1), strict=True):
                view[row, : tokens.ids.size] = values
        return ids, types, mask

    def examples(self) -> list[Inputs]:
        """See `Model.examples`: tokens of the whole vocabulary; the first text of a batch is the shortest."""
        generator = np.random.default_rng(0)
        longest = self._preprocessing.max_tokens
        return [
            self.inputs([self._example(generator, min(width, longest) // (1 if row else 2)) for row in range(size)])
            for size, width in _EXAMPLE_SHAPES
        ]

    def _example(self, generator: np.random.Generator, width: int) -> _Tokens:
        ids = generator.integers(0, self._tokenizer.get_vocab_size(), width)
        return _Tokens(ids, np.zeros_like(ids), is_truncated=False)


def _decode(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    if "\0" in text:
        raise Rejected(Reason.FORBIDDEN_CHARACTERS)
    if not text.strip():
        raise Rejected(Reason.EMPTY_TEXT)
    return text


def load_network(spec: TextSpec) -> "tuple[Any, torch.nn.Module]":
    """Return the fast tokenizer and the network of a spec. Raises UserError when its files do not fit its fields."""
    from encoders.networks import TokenNetwork

    tokenizer, transformer, missing_tensors = _load_files(spec)
    # The library initialises missing tensors at random; those of the pooler are not used.
    if missing := sorted(name for name in missing_tensors if not name.startswith("pooler.")):
        raise UserError(
            f"The weights of {spec.ref} lack {missing[0]} and {len(missing) - 1} other tensors: replace the file."
        )
    _check_config(spec, transformer.config, tokenizer.model_max_length)
    network = TokenNetwork(
        transformer,
        partial(_pool, pooling=spec.pooling),
        layer=spec.layer,
        has_types="token_type_ids" in tokenizer.model_input_names,
        l2_normalise=spec.l2_normalise,
    )
    return tokenizer, network.eval()


def _pool(states: "torch.Tensor", mask: "torch.Tensor", *, pooling: str) -> "torch.Tensor":
    """Return hidden states of shape (batch, tokens, dimension) pooled over the tokens of the mask."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    if pooling == "max":
        return states.masked_fill(weight == 0, float("-inf")).max(dim=1).values
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


def _load_files(spec: TextSpec) -> tuple[Any, Any, set[str]]:
    """Return tokenizer, transformer, and the names of tensors that the weights lack."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from encoders import weights

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    source = weights.find(spec)
    # Loaded from a folder of links to the verified files alone, so that other files of the source have no effect.
    with tempfile.TemporaryDirectory(prefix="rawless-encoder-") as folder:
        for name in spec.files:
            (Path(folder) / name).symlink_to(source / name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            transformer, loading = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # noqa: BLE001 - each file format and library has its own errors
            raise UserError(
                f"The files of {spec.ref} in {source} cannot be loaded as a Hugging Face encoder "
                f"({type(error).__name__}): compare weights and preprocessing of the spec with the folder."
            ) from None
    return tokenizer, transformer, loading["missing_keys"]


def _check_config(spec: TextSpec, config: Any, tokenizer_length: int) -> None:
    if config.model_type != spec.architecture:
        raise UserError(
            f"{spec.ref} says architecture {spec.architecture}, but its config.json says {config.model_type}: correct "
            "the spec."
        )
    if config.hidden_size != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but its weights have {config.hidden_size}: correct the spec."
        )
    # Some models reserve positions; their tokenizer knows how many are left for tokens.
    positions = min(getattr(config, "max_position_embeddings", tokenizer_length), tokenizer_length)
    if spec.preprocessing.max_tokens > positions:
        raise UserError(
            f"{spec.ref} says max_tokens {spec.preprocessing.max_tokens}, but its model has {positions} positions: "
            "lower it."
        )
    layers = config.num_hidden_layers
    if not -layers - 1 <= spec.layer <= layers:
        raise UserError(f"{spec.ref} says layer {spec.layer}, but its weights have {layers} layers (0 is the input).")


FAMILY = Family(
    spec=TextSpec,
    load_model=TextModel,
    weight_sources={"hf": HuggingFaceHub(), "path": LocalFolder()},
)
