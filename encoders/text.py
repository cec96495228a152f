"""Text encoders: any Hugging Face encoder, from UTF-8 bytes to a vector."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from encoders import huggingface
from encoders.batch_encoder import BatchEncoder
from encoders.batcher import Budget
from encoders.runtimes import Inputs
from encoders.runtimes.eager import Eager
from encoders.text_spec import TextSpec
from rawless.content import ImageLimits
from rawless.privacy import Reason, Rejected

BUDGET = Budget(cost=256, run_cost=8, places=1_024, wait_seconds=0.002)
"""In padded tokens. On a CPU larger batches are hardly faster, and small bundles would be padded more for them."""
CUDA_BUDGET = Budget(cost=32_768, run_cost=8_192, places=4_096, wait_seconds=0.02)
_EXAMPLES = ((3, 12), (1, 5), (2, 160))
"""Texts and tokens of the batches that runtimes are compared on."""


@dataclass(frozen=True, slots=True, repr=False)
class _Tokens:
    ids: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    truncated: bool


class TextEncoder(BatchEncoder[_Tokens]):
    """Decoding, checks, tokenizing, the model, pooling and normalisation under one name. Items are UTF-8 texts."""

    def __init__(self, spec: TextSpec, device: torch.device) -> None:
        tokenizer, network = huggingface.load(spec)
        self._pad = tokenizer.pad_token_id or 0
        # Set once, not at each call, between which another thread's would come.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.enable_truncation(spec.preprocessing.max_tokens)
        self._tokenizer.no_padding()
        self._cuda = device.type == "cuda"
        self._preprocessing = spec.preprocessing
        super().__init__(spec, Eager(network, device), CUDA_BUDGET if self._cuda else BUDGET)

    def _prepare(self, content: bytes, limits: ImageLimits) -> _Tokens:
        text = _checked_text(content)
        if self._preprocessing.normalisation != "none":
            text = unicodedata.normalize(self._preprocessing.normalisation, text)
        (found,) = self._tokenizer.encode_batch_fast([text])  # unlike encode, it lets other threads go on
        if all(found.special_tokens_mask):  # zero-width characters alone, say
            raise Rejected(Reason.EMPTY_TEXT)
        ids, types = np.array(found.ids, np.int64), np.array(found.type_ids, np.int64)
        return _Tokens(ids, types, bool(found.overflowing))

    def _cost(self, prepared: _Tokens) -> int:
        return prepared.ids.size

    def _cut(self, prepared: _Tokens) -> bool:
        return prepared.truncated

    def inputs(self, batch: Sequence[_Tokens]) -> Inputs:
        """Ids, types and mask, each of shape (batch, width of the longest)."""
        shape = len(batch), max(each.ids.size for each in batch)
        ids, types, mask = (torch.full(shape, fill, pin_memory=self._cuda) for fill in (self._pad, 0, 0))
        views = ids.numpy(), types.numpy(), mask.numpy()
        for row, each in enumerate(batch):
            for view, values in zip(views, (each.ids, each.types, 1), strict=True):
                view[row, : each.ids.size] = values
        return ids, types, mask

    def _examples(self) -> list[Inputs]:
        """Batches of tokens from the whole vocabulary, the first text of each shorter than the others."""
        numbers = np.random.default_rng(0)
        longest = self._preprocessing.max_tokens
        return [
            self.inputs([self._example(numbers, min(width, longest) // (1 if row else 2)) for row in range(count)])
            for count, width in _EXAMPLES
        ]

    def _example(self, numbers: np.random.Generator, width: int) -> _Tokens:
        ids = numbers.integers(0, self._tokenizer.get_vocab_size(), width)
        return _Tokens(ids, np.zeros_like(ids), truncated=False)


def _checked_text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    if "\0" in text:
        raise Rejected(Reason.FORBIDDEN_CHARACTERS)
    if not text.strip():
        raise Rejected(Reason.EMPTY_TEXT)
    return text
