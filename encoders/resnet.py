"""torchvision's ResNets, read at any layer."""

import torch
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from encoders import checkpoint
from encoders.image_spec import ImageSpec
from rawless.errors import UserError

_HEAD = "fc"
"""The last layer, which classifies."""


class ResNet(nn.Module):
    """Normalised pixels of shape (batch, 3, crop, crop) to vectors of shape (batch, dimension)."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self._layers = create_feature_extractor(_model(spec), {spec.layer: "features"})
        self._pooling = spec.pooling
        self._l2_normalise = spec.l2_normalise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The layer's output, pooled, and of length one if the spec says so."""
        features = self._layers(images.contiguous(memory_format=torch.channels_last))["features"]
        if features.dim() > 2 and self._pooling != "flatten":
            features = features.mean(dim=(2, 3)) if self._pooling == "average" else features.amax(dim=(2, 3))
        vectors = torch.flatten(features, start_dim=1)
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors


def load(spec: ImageSpec) -> ResNet:
    """The spec's network on the CPU, channels last. Raises UserError when its weights or layer do not fit."""
    network = ResNet(spec).eval()
    side = spec.preprocessing.crop
    with torch.inference_mode():
        dimension = network(torch.zeros(1, 3, side, side)).shape[1]
    if dimension != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but {spec.layer} pooled by {spec.pooling} has {dimension} "
            "values: mend the spec."
        )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _model(spec: ImageSpec) -> nn.Module:
    state = checkpoint.read(spec)
    if spec.layer != _HEAD:  # a checkpoint may have a head of any size, or none
        state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{_HEAD}.")}
    bias = state.get(f"{_HEAD}.bias", torch.zeros(1000))
    with torch.device("meta"):
        model: nn.Module = getattr(models, spec.architecture)(weights=None, num_classes=max(1, bias.numel()))
    _check_layer(spec, model)
    if spec.layer != _HEAD:
        model.fc = nn.Identity()
    _check_fit(spec, model.state_dict(), state)
    model.load_state_dict(state, assign=True)
    return model


def _check_fit(spec: ImageSpec, wanted: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    """Raise UserError naming the first tensor that is missing, too much, or of another shape or type."""
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # old checkpoints have none
    missing = [name for name in wanted if name not in state and name not in counters]
    foreign = [name for name in state if name not in wanted]
    other = [
        name
        for name, tensor in wanted.items()
        if name in state
        and (state[name].shape != tensor.shape or (tensor.is_floating_point() and not state[name].is_floating_point()))
    ]
    for names, fault in ((missing, "it lacks"), (foreign, "it also has"), (other, "of another shape or type is")):
        if names:
            raise UserError(
                f"{spec.weights.file} does not hold a {spec.architecture} for {spec.ref}: {fault} {names[0][:60]} and "
                f"{len(names) - 1} more tensors. Save the state_dict() of the bare model, of that architecture."
            )


def _check_layer(spec: ImageSpec, model: nn.Module) -> None:
    layers = get_graph_node_names(model, suppress_diff_warning=True)[1][1:]
    # A block answers by its last node, as create_feature_extractor takes it.
    if not any(layer == spec.layer or layer.startswith(f"{spec.layer}.") for layer in layers):
        blocks = dict.fromkeys(layer.split(".")[0] for layer in layers)
        raise UserError(
            f"{spec.ref} says layer {spec.layer}, but {spec.architecture} has {', '.join(blocks)}, and inside of them "
            f"layers such as {layers[-4]}."
        )
