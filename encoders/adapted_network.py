"""An adapter as a part of the network: what `encoders.adapter_map` does to vectors, in torch."""

import torch
from torch import nn

from encoders.adapter_map import AdapterMap, read_adapter
from encoders.family import Model
from encoders.spec import EncoderSpec


class AdapterStep(nn.Module):
    """Vectors of shape (batch, full_dimension) to vectors of shape (batch, dimension), computed in fp32."""

    def __init__(self, adapter: AdapterMap) -> None:
        super().__init__()
        self._weight: torch.Tensor
        self._bias: torch.Tensor
        self._hidden_weight: torch.Tensor | None
        self._hidden_bias: torch.Tensor | None
        self._output_weight: torch.Tensor | None
        self._l2_normalise = adapter.l2_normalise
        # Buffers, so that they move with the network; not modules, which would be cast to the network's precision.
        for name in ("weight", "bias", "hidden_weight", "hidden_bias", "output_weight"):
            tensor = adapter.tensors.get(name)
            self.register_buffer(f"_{name}", None if tensor is None else torch.from_numpy(tensor.copy()))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the mapped vectors."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            mapped = nn.functional.linear(vectors, self._weight, self._bias)
            if self._hidden_weight is not None and self._output_weight is not None:
                hidden = nn.functional.linear(vectors, self._hidden_weight, self._hidden_bias)
                hidden = nn.functional.gelu(hidden, approximate="tanh")
                mapped = mapped + nn.functional.linear(hidden, self._output_weight)
            return nn.functional.normalize(mapped, dim=1) if self._l2_normalise else mapped


class _AdaptedNetwork(nn.Module):
    def __init__(self, network: nn.Module, step: AdapterStep) -> None:
        super().__init__()
        self._network = network
        self._step = step

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._step(self._network(*inputs))
        return vectors


def adapt(model: Model[object], spec: EncoderSpec) -> None:
    """Let the network of a model, which was loaded without the adapter of its spec, have it. Raises UserError."""
    if spec.adapter is not None:
        step = AdapterStep(read_adapter(spec))
        model.extend_network(lambda network: _AdaptedNetwork(network, step).eval())
