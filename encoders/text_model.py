"""`TextModel`: UTF-8 texts to batches of tokens, for any network that takes the tokens of a Hugging Face tokenizer."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
CUDA_BUDGET = Budget(cost=32_768, run_cost=8_192, capacity=4_096, wait_seconds=0.02, runs=2)
_EXAMPLE_SHAPES = ((3, 12), (1, 5), (2, 160))
"""Texts and tokens of the batches that runtimes are compared on."""
_JOINED = 4
"""More tokens than these after those of a prompt are of a text, however its start is joined to the prompt's end."""


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The tokens of one text."""

    ids: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    is_truncated: bool


class Word(NamedTuple):
    """Where a word is: the characters `start` to `end` of its text, and its places among the tokens."""

    start: int
    end: int
    tokens: tuple[int, ...]


class _Prompt(NamedTuple):
    text: str
    tokens: int


class TextModel(Model[Tokens]):
    """A network of tokens behind decoding, checks and tokenizing. Items are UTF-8 texts."""

    quick_bytes = 2_000
    """See `Model.quick_bytes`."""

    def __init__(
        self,
        tokenizer: Any,
        load_network: Callable[[], torch.nn.Module],
        preprocessing: TextPreprocessing,
        *,
        cuda: bool,
    ) -> None:
        """`tokenizer` is a fast tokenizer of Hugging Face.

        The network maps ids, types and mask of tokens, each of shape (batch, width), to vectors of shape
        (batch, dimension).
        """
        self.load_network = load_network
        self.budget = CUDA_BUDGET if cuda else BUDGET
        self._pad = tokenizer.pad_token_id or 0
        # Truncation and padding are set once: a call that set them would change them for other threads too.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.enable_truncation(preprocessing.max_tokens)
        self._tokenizer.no_padding()
        self._cuda = cuda
        self._preprocessing = preprocessing
        self._document_prompt, self._query_prompt = (
            self._measure(f"preprocessing.prompts.{role}", prompt) for role, prompt in preprocessing.prompts
        )

    def prepare(self, content: bytes, limits: ImageLimits) -> Tokens:
        """See `Model.prepare`: the tokens of a document, after those of its prompt."""
        return self._tokenize(content, self._document_prompt)

    def prepare_query(self, content: bytes, limits: ImageLimits) -> Tokens:
        """See `Model.prepare_query`: the tokens of a query, after those of its prompt."""
        return self._tokenize(content, self._query_prompt)

    def words(self, content: bytes) -> list[Word]:
        """Return the words of a document that the network reads, in order. Raises Rejected.

        Characters are counted in the text after the normalisation of the spec.
        """
        prompt = self._document_prompt.text
        encoding = self._tokenizer.encode(prompt + self._normalised(content))  # the fast call computes no places
        tokens: dict[int, list[int]] = {}
        for place, word in enumerate(encoding.word_ids):
            if word is not None and encoding.offsets[place][1] > len(prompt):
                tokens.setdefault(word, []).append(place)
        spans = [[encoding.offsets[place] for place in places] for places in tokens.values()]
        return [
            Word(max(0, span[0][0] - len(prompt)), span[-1][1] - len(prompt), tuple(places))
            for span, places in zip(spans, tokens.values(), strict=True)
        ]

    def _normalised(self, content: bytes) -> str:
        text, form = _decode(content), self._preprocessing.normalisation
        return text if form == "none" else unicodedata.normalize(form, text)

    def _tokenize(self, content: bytes, prompt: _Prompt) -> Tokens:
        text = self._normalised(content)
        encoding = self._encode(prompt.text + text)
        is_short = len(encoding.ids) <= prompt.tokens + _JOINED
        own = self._encode(text) if prompt.text and is_short else encoding
        if all(own.special_tokens_mask):  # a text of zero-width characters, for example
            raise Rejected(Reason.EMPTY_TEXT)
        ids, types = np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64)
        return Tokens(ids, types, bool(encoding.overflowing))

    def cost(self, prepared: Tokens) -> int:
        """See `Model.cost`: the number of tokens."""
        return prepared.ids.size

    def is_truncated(self, prepared: Tokens) -> bool:
        """See `Model.is_truncated`."""
        return prepared.is_truncated

    def inputs(self, batch: Sequence[Tokens]) -> Inputs:
        """See `Model.inputs`: ids, types and mask, each of shape (batch, width of the longest)."""
        shape = len(batch), max(tokens.ids.size for tokens in batch)
        ids, types, mask = (torch.full(shape, fill, pin_memory=self._cuda) for fill in (self._pad, 0, 0))
        views = ids.numpy(), types.numpy(), mask.numpy()
        for row, tokens in enumerate(batch):
            for view, values in zip(views, (tokens.ids, tokens.types, 1), strict=True):
                view[row, : tokens.ids.size] = values
        return ids, types, mask

    def _encode(self, text: str) -> Any:
        (encoding,) = self._tokenizer.encode_batch_fast([text])  # releases the GIL, which encode does not
        return encoding

    def _measure(self, field: str, text: str) -> _Prompt:
        """Return a prompt with its number of tokens. Raises UserError when it leaves no token to a text."""
        prompt, longest = _Prompt(text, len(self._encode(text).ids)), self._preprocessing.max_tokens
        if text and prompt.tokens >= longest:
            raise UserError(
                f"{field} takes {prompt.tokens} or more of the {longest} tokens of max_tokens: shorten the prompt, or "
                "raise max_tokens."
            )
        return prompt

    def examples(self) -> list[Inputs]:
        """See `Model.examples`: tokens of the whole vocabulary; the first text of a batch is the shortest."""
        generator = np.random.default_rng(0)
        longest = self._preprocessing.max_tokens
        return [
            self.inputs([self._example(generator, min(width, longest) // (1 if row else 2)) for row in range(size)])
            for size, width in _EXAMPLE_SHAPES
        ]

    def _example(self, generator: np.random.Generator, width: int) -> Tokens:
        ids = generator.integers(0, self._tokenizer.get_vocab_size(), width)
        return Tokens(ids, np.zeros_like(ids), is_truncated=False)


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
