"""The network of a text tower, and the model of one that takes texts of one width only."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from encoders.family import Inputs
from encoders.text_model import TextModel


class TextTowerNetwork(nn.Module):
    """Ids, types and mask of tokens, each of shape (batch, width), to vectors of shape (batch, dimension)."""

    def __init__(self, tower: nn.Module, output: str, *, has_mask: bool, l2_normalise: bool) -> None:
        """`output` is the name of the tower's output that is the vector; `has_mask` says whether it takes a mask."""
        super().__init__()
        self._tower = tower
        self._output = output
        self._has_mask = has_mask
        self._l2_normalise = l2_normalise

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the tower's vectors, of length one where `l2_normalise` is true."""
        vectors: torch.Tensor = getattr(
            self._tower(input_ids=ids, attention_mask=mask if self._has_mask else None), self._output
        )
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors


class FixedWidthTextModel(TextModel):
    """A text model whose network reads texts of `max_tokens` tokens only, the missing ones padding."""

    def cost(self, prepared: Any) -> int:
        """See `Model.cost`: the number of tokens with padding."""
        return self._preprocessing.max_tokens

    def inputs(self, batch: Sequence[Any]) -> Inputs:
        """See `Model.inputs`: ids, types and mask, each of shape (batch, max_tokens)."""
        ids, types, mask = super().inputs(batch)
        missing = (0, self._preprocessing.max_tokens - ids.shape[1])
        fills = zip((ids, types, mask), (self._pad, 0, 0), strict=True)
        return tuple(nn.functional.pad(values, missing, value=fill) for values, fill in fills)
