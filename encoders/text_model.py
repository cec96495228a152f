"""`TextModel`: UTF-8 texts to batches of tokens, for any network that takes the tokens of a Hugging Face tokenizer."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from encoders.batcher import Budget
from encoders.family import Inputs, Model
from encoders.text_spec import TextPreprocessing
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Reason, Rejected

BUDGET = Budget(cost=256, run_cost=8, capacity=1_024, wait_seconds=0.002)
"""In padded tokens. On a CPU larger batches are hardly faster, and small bundles would be padded more for them."""
CUDA_BUDGET = Budget(cost=32_768, run_cost=8_192, capacity=4_096, wait_seconds=0.02)
_EXAMPLE_SHAPES = ((3, 12), (1, 5), (2, 160))
"""Texts and tokens of the batches that runtimes are compared on."""


@dataclass(frozen=True, slots=True, repr=False)
class _Tokens:
    ids: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    is_truncated: bool


class TextModel(Model[_Tokens]):
    """A network of tokens behind decoding, checks and tokenizing. Items are UTF-8 texts."""

    def __init__(
        self, tokenizer: Any, network: torch.nn.Module, preprocessing: TextPreprocessing, *, cuda: bool
    ) -> None:
        """`tokenizer` is a fast tokenizer of Hugging Face.

        `network` maps ids, types and mask of tokens, each of shape (batch, width), to vectors of shape
        (batch, dimension).
        """
        self.network = network
        self.budget = CUDA_BUDGET if cuda else BUDGET
        self._pad = tokenizer.pad_token_id or 0
        # Truncation and padding are set once: a call that set them would change them for other threads too.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.enable_truncation(preprocessing.max_tokens)
        self._tokenizer.no_padding()
        self._cuda = cuda
        self._preprocessing = preprocessing
        self._check_prompts()

    def prepare(self, content: bytes, limits: ImageLimits) -> _Tokens:
        """See `Model.prepare`: the tokens of a document, after those of its prompt."""
        return self._tokenize(content, self._preprocessing.prompts.document)

    def prepare_query(self, content: bytes, limits: ImageLimits) -> _Tokens:
        """See `Model.prepare_query`: the tokens of a query, after those of its prompt."""
        return self._tokenize(content, self._preprocessing.prompts.query)

    def _tokenize(self, content: bytes, prompt: str) -> _Tokens:
        text = _decode(content)
        if self._preprocessing.normalisation != "none":
            text = unicodedata.normalize(self._preprocessing.normalisation, text)
        # Both release the GIL, which encode does not; only the slower one says which characters a token is of.
        encode_batch = self._tokenizer.encode_batch if prompt else self._tokenizer.encode_batch_fast
        (encoding,) = encode_batch([prompt + text])
        if _is_empty(encoding, prompt):  # a text of zero-width characters, for example
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
        shape = len(batch), max(tokens.ids.size for tokens in batch)
        ids, types, mask = (torch.full(shape, fill, pin_memory=self._cuda) for fill in (self._pad, 0, 0))
        views = ids.numpy(), types.numpy(), mask.numpy()
        for row, tokens in enumerate(batch):
            for view, values in zip(views, (tokens.ids, tokens.types, 1), strict=True):
                view[row, : tokens.ids.size] = values
        return ids, types, mask

    def _check_prompts(self) -> None:
        """Raise UserError for a prompt that leaves no token to the text."""
        longest = self._preprocessing.max_tokens
        for role, prompt in self._preprocessing.prompts:
            if prompt and (tokens := len(self._tokenizer.encode(prompt + "a").ids)) >= longest:
                raise UserError(
                    f"preprocessing.prompts.{role} takes {tokens} or more of the {longest} tokens of max_tokens: "
                    "shorten the prompt, or raise max_tokens."
                )

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


def _is_empty(encoding: Any, prompt: str) -> bool:
    """Return whether no token is of the text that follows the prompt."""
    if not prompt:
        return all(encoding.special_tokens_mask)
    tokens = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    return all(is_special or end <= len(prompt) for (_, end), is_special in tokens)


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
