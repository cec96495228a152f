"""ResNets of torchvision, read at any layer.

He et al., Deep Residual Learning for Image Recognition (2016).
"""

import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from encoders.family import Family, Model
from encoders.image_spec import CheckpointWeights, ImageSpec
from encoders.seeded import Seeded
from encoders.weight_sources import LocalFolder
from encoders.weight_sources.object_storage import ObjectStorage
from encoders.weight_sources.torchvision_hub import TorchvisionHub
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
_HEAD = "fc"
"""The last layer, which classifies."""


class ResNetSpec(ImageSpec):
    """The spec of a torchvision ResNet."""

    architecture: Architecture
    weights: CheckpointWeights
    layer: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")
    """A node of the model's graph: layer4, avgpool, layer3.5.conv2, fc."""
    pooling: Literal["average", "max", "flatten"]
    """Over height and width of the layer's output; `flatten` keeps every position, row by row for each channel."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        match = re.match(r"torchvision:(\w+)_Weights\.", self.weights.source)
        if self.weights.source.startswith("torchvision:") and (match is None or match[1].lower() != self.architecture):
            raise ValueError(f"{self.weights.source} is not of the architecture {self.architecture}")
        if self.layer == "x":
            raise ValueError("the layer x is the image itself; name one that the model computes")
        return self


def load_model(spec: ResNetSpec, *, cuda: bool) -> "Model[torch.Tensor]":
    """Return the model of a spec. Raises UserError when its weights, layer or dimension do not fit."""
    from encoders.image_model import ImageModel

    return ImageModel(load_network(spec), spec.preprocessing, cuda=cuda)


def load_network(spec: ResNetSpec) -> "torch.nn.Module":
    """Return the network of a spec on the CPU, channels last, from normalised pixels to vectors. Raises UserError."""
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    from encoders.networks import ImageNetwork

    extractor = create_feature_extractor(_load_resnet(spec), {spec.layer: "features"})
    network = ImageNetwork(extractor, partial(_pool, pooling=spec.pooling), l2_normalise=spec.l2_normalise).eval()
    side = spec.preprocessing.crop
    with torch.inference_mode():
        dimension = network(torch.zeros(1, 3, side, side)).shape[1]
    if dimension != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but {spec.layer} pooled by {spec.pooling} has {dimension} "
            "values: correct the spec."
        )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _pool(output: "dict[str, torch.Tensor]", *, pooling: str) -> "torch.Tensor":
    """Return the layer's output, of shape (batch, channels, height, width) or (batch, values), as vectors."""
    features = output["features"]
    if features.dim() > 2 and pooling != "flatten":
        features = features.mean(dim=(2, 3)) if pooling == "average" else features.amax(dim=(2, 3))
    return features.flatten(start_dim=1)


def _load_resnet(spec: ResNetSpec) -> "torch.nn.Module":
    import torch

    from encoders import checkpoint

    state = checkpoint.read(spec)
    if spec.layer != _HEAD:  # a checkpoint may have a head of any size, or none
        state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{_HEAD}.")}
    bias = state.get(f"{_HEAD}.bias", torch.zeros(1000))
    resnet = _empty_resnet(spec.architecture, num_classes=max(1, bias.numel()))
    _check_layer(spec)
    if spec.layer != _HEAD:
        resnet.fc = torch.nn.Identity()
    _check_state(spec, resnet.state_dict(), state)
    resnet.load_state_dict(state, assign=True)
    return resnet


def _empty_resnet(architecture: Architecture, **options: Any) -> "torch.nn.Module":
    """Return the architecture with tensors that have a shape and a type, but no values."""
    import torch
    from torchvision import models

    with torch.device("meta"):
        resnet: torch.nn.Module = getattr(models, architecture)(weights=None, **options)
    return resnet


def _check_state(spec: ResNetSpec, expected: "dict[str, torch.Tensor]", state: "dict[str, torch.Tensor]") -> None:
    """Raise UserError naming the first tensor that is missing, unexpected, or of another shape or type."""
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # old checkpoints have none
    missing = [name for name in expected if name not in state and name not in counters]
    unexpected = [name for name in state if name not in expected]
    different = [
        name
        for name, tensor in expected.items()
        if name in state
        and (state[name].shape != tensor.shape or (tensor.is_floating_point() and not state[name].is_floating_point()))
    ]
    problems = ((missing, "missing"), (unexpected, "unexpected"), (different, "of another shape or type"))
    for names, problem in problems:
        if names:
            raise UserError(
                f"{spec.weights.file} is not a checkpoint of a {spec.architecture} for {spec.ref}: {names[0][:60]} and "
                f"{len(names) - 1} other tensors are {problem}. Save the state_dict() of the bare model of that "
                "architecture."
            )


@cache
def _layers(architecture: Architecture) -> list[str]:
    """Return the nodes of an architecture's graph, without the image."""
    from torchvision.models.feature_extraction import get_graph_node_names

    nodes: list[str] = get_graph_node_names(_empty_resnet(architecture), suppress_diff_warning=True)[1]
    return nodes[1:]


def _check_layer(spec: ResNetSpec) -> None:
    layers = _layers(spec.architecture)
    # create_feature_extractor takes the name of a block for the last node of the block.
    if not any(layer == spec.layer or layer.startswith(f"{spec.layer}.") for layer in layers):
        blocks = dict.fromkeys(layer.split(".")[0] for layer in layers)
        raise UserError(
            f"{spec.ref} says layer {spec.layer}, but {spec.architecture} has {', '.join(blocks)}, and inside of them "
            f"layers such as {layers[-4]}."
        )


FAMILY = Family(
    spec=ResNetSpec,
    load_model=load_model,
    weight_sources={
        "torchvision": TorchvisionHub(),
        "path": LocalFolder(),
        "gs": ObjectStorage(),
        "seed": Seeded(lambda spec: _empty_resnet(spec.architecture).state_dict()),
    },
    architectures=frozenset(get_args(Architecture)),
)
