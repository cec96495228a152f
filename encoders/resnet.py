"""torchvision's ResNets, read at any layer."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from encoders import seeded, weights
from encoders.image_spec import ImageSpec
from privacy import UserError

_HEAD = "fc."


class ResNet(nn.Module):
    """Normalised pixels of shape (batch, 3, crop, crop) to vectors of shape (batch, dimension)."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self._layers = create_feature_extractor(_model(spec), {spec.layer: "features"})
        self._pooling = spec.pooling
        self._l2_normalise = spec.l2_normalise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The layer's output, pooled, and of length one if the spec says so."""
        features = self._layers(images)["features"]
        if features.dim() > 2 and self._pooling != "flatten":
            features = features.mean(dim=(2, 3)) if self._pooling == "average" else features.amax(dim=(2, 3))
        vectors = torch.flatten(features, start_dim=1)
        return nn.functional.normalize(vectors, dim=1) if self._l2_normalise else vectors


def load(spec: ImageSpec, device: torch.device) -> ResNet:
    """The spec's network on a device, channels last. Raises UserError when its weights or layer do not fit."""
    network = ResNet(spec).eval()
    side = spec.preprocessing.crop
    with torch.inference_mode():
        dimension = network(torch.zeros(1, 3, side, side)).shape[1]
    if dimension != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but {spec.layer} pooled by {spec.pooling} has {dimension} "
            "values: mend the spec."
        )
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _model(spec: ImageSpec) -> nn.Module:
    state = _state(spec)
    needs_head = spec.layer == "fc"
    classes = state["fc.bias"].shape[0] if needs_head and "fc.bias" in state else 1000
    with torch.device("meta"):
        model: nn.Module = getattr(models, spec.architecture)(weights=None, num_classes=classes)
    _check_layer(spec, model)
    if not needs_head:  # a checkpoint may have a head of any size, or none
        model.fc = nn.Identity()
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_HEAD)}
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{spec.weights.file} does not hold a {spec.architecture} for {spec.ref}: {first}") from None
    return model.eval()


def _check_layer(spec: ImageSpec, model: nn.Module) -> None:
    layers = get_graph_node_names(model, suppress_diff_warning=True)[1][1:]
    # A block answers by its last node, as create_feature_extractor takes it.
    if not any(layer == spec.layer or layer.startswith(f"{spec.layer}.") for layer in layers):
        blocks = dict.fromkeys(layer.split(".")[0] for layer in layers)
        raise UserError(
            f"{spec.ref} says layer {spec.layer}, but {spec.architecture} has {', '.join(blocks)}, and inside of them "
            f"layers such as {layers[-4]}."
        )


def _state(spec: ImageSpec) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors by name, as float32 on the CPU. Code in a checkpoint is never run."""
    if seeded.is_seeded(spec):
        return seeded.draw(spec)
    path = weights.find(spec) / spec.weights.file
    state = _read(spec, path)
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise UserError(f"{path} holds no tensors by name, as {spec.ref} needs: save the model's state_dict().")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _read(spec: ImageSpec, path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as the weights of {spec.ref} ({type(error).__name__}): it must be a state_dict of "
            "tensors alone, saved by safetensors or torch.save."
        ) from None
