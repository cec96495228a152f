"""Tokenizing in a child process, for `benchmarks.isolation`. Imports little, so that the child starts fast."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from encoders.child.messages import Array


def tokenize(options: bytes, content: bytes, reserve: Callable[[int], None]) -> Sequence[Array]:  # noqa: ARG001
    """Return the tokens of a text, in a child; see `encoders.child.__main__.Task`."""
    (encoding,) = _tokenizer(options).encode_batch_fast([content.decode()])
    return [np.array(encoding.ids, np.int64).view(np.uint8).reshape(1, 1, -1)]


@lru_cache
def _tokenizer(options: bytes) -> Any:
    from tokenizers import Tokenizer

    path, longest = json.loads(options)
    tokenizer = Tokenizer.from_file(path)
    tokenizer.enable_truncation(longest)
    tokenizer.no_padding()
    return tokenizer
