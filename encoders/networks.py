"""Torch modules that the networks of several families are built of. Imports neither torchvision nor transformers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


class ImageNetwork(nn.Module):
    """Normalised pixels of shape (batch, 3, crop, crop) to vectors of shape (batch, dimension)."""

    def __init__(
        self,
        body: nn.Module,
        pool: Callable[[Any], torch.Tensor],
        *,
        l2_normalise: bool,
        runs_whole_model: bool = False,
    ) -> None:
        """`pool` makes vectors of shape (batch, dimension) of the output of `body`.

        `runs_whole_model` says that other layers and poolings are read from the same output; see `Readings`.
        """
        super().__init__()
        self.body = body
        self.runs_whole_model = runs_whole_model
        self._pool = pool
        self._l2_normalise = l2_normalise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooled output of the body, of length one where `l2_normalise` is true."""
        return self.read(self.run(images), images)

    def run(self, images: torch.Tensor) -> Any:
        """Return the output of the body."""
        return self.body(images.contiguous(memory_format=torch.channels_last))

    def read(self, output: Any, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the vectors of an output of the body."""
        vectors = self._pool(output).float()
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
        self.body = transformer
        self._pool = pool
        self._layer = layer
        self._has_types = has_types
        self._dense = dense
        self._dimension = dimension
        self._l2_normalise = l2_normalise

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the vectors of the pooled states of the layer, of length one where `l2_normalise` is true."""
        return self.read(self.run(ids, types, mask), ids, types, mask)

    def run(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> Any:
        """Return the output of the transformer, with its hidden states if an inner layer is read."""
        extra = {"token_type_ids": types} if self._has_types else {}
        return self.body(input_ids=ids, attention_mask=mask, output_hidden_states=self._layer != -1, **extra)

    def read(self, output: Any, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the vectors of an output of the transformer for these inputs."""
        states = output.last_hidden_state if self._layer == -1 else output.hidden_states[self._layer]
        vectors = self._dense(self._pool(states, inputs[-1]))[:, : self._dimension].float()
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors


class Readings(nn.Module):
    """Networks of one model that differ in what they read of its output: the model runs once for all."""

    def __init__(self, networks: "Sequence[TokenNetwork | ImageNetwork]", runs: int) -> None:
        """`runs` is the number of the network whose model is kept; one that reads an inner layer, if any does."""
        super().__init__()
        self._runs = networks[runs]
        self._networks = nn.ModuleList(networks)
        for network in networks:
            network.body = self._runs.body

    def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the vectors of each network."""
        output = self._runs.run(*inputs)
        return [network.read(output, *inputs) for network in self._networks]  # type: ignore[operator]
