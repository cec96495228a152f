"""Torch modules that the networks of several families are built of. Imports neither torchvision nor transformers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class ImageNetwork(nn.Module):
    """Normalised pixels of shape (batch, 3, crop, crop) to vectors of shape (batch, dimension)."""

    def __init__(self, body: nn.Module, pool: Callable[[Any], torch.Tensor], *, l2_normalise: bool) -> None:
        """`pool` makes vectors of shape (batch, dimension) of the output of `body`."""
        super().__init__()
        self._body = body
        self._pool = pool
        self._l2_normalise = l2_normalise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooled output of the body, of length one where `l2_normalise` is true."""
        vectors = self._pool(self._body(images.contiguous(memory_format=torch.channels_last))).float()
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors


class TokenNetwork(nn.Module):
    """Ids, types and mask of tokens, each of shape (batch, width), to vectors of shape (batch, dimension)."""

    def __init__(
        self,
        transformer: nn.Module,
        pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        layer: int,
        has_types: bool,
        dense: nn.Module,
        dimension: int,
        l2_normalise: bool,
    ) -> None:
        """`pool` makes vectors of the hidden states, of shape (batch, width, dimension), and the mask.

        `layer` is the hidden state that is pooled; `has_types` says whether the transformer takes token types; `dense`
        maps pooled vectors, of which the first `dimension` components are kept.
        """
        super().__init__()
        self._transformer = transformer
        self._pool = pool
        self._layer = layer
        self._has_types = has_types
        self._dense = dense
        self._dimension = dimension
        self._l2_normalise = l2_normalise

    @property
    def transformer(self) -> nn.Module:
        """The network without what follows it."""
        return self._transformer

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the vectors of the pooled states of the layer, of length one where `l2_normalise` is true."""
        extra = {"token_type_ids": types} if self._has_types else {}
        is_inner_layer = self._layer != -1
        output = self._transformer(input_ids=ids, attention_mask=mask, output_hidden_states=is_inner_layer, **extra)
        states = output.hidden_states[self._layer] if is_inner_layer else output.last_hidden_state
        vectors = self._dense(self._pool(states, mask))[:, : self._dimension].float()
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors
