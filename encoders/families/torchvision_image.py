"""Classification models of torchvision, read at any layer.

`architecture` is the name of the model's builder, which names the paper in torchvision's documentation.
"""

import re
from collections import OrderedDict
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from encoders.family import Family, Model, WrongDimension
from encoders.image_spec import CheckpointWeights, ImageSpec
from encoders.seeded import Seeded
from encoders.weight_sources import LocalFolder
from encoders.weight_sources.object_storage import ObjectStorage
from encoders.weight_sources.torchvision_hub import TorchvisionHub
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

    from encoders.pixels import Pixels

_SIZES = {
    "alexnet": "", "convnext_": "tiny small base large", "densenet": "121 161 169 201",
    "efficientnet_": "b0 b1 b2 b3 b4 b5 b6 b7 v2_s v2_m v2_l", "googlenet": "", "inception_v3": "", "maxvit_t": "",
    "mnasnet": "0_5 0_75 1_0 1_3", "mobilenet_": "v2 v3_small v3_large",
    "regnet_x_": "400mf 800mf 1_6gf 3_2gf 8gf 16gf 32gf", "regnet_y_": "400mf 800mf 1_6gf 3_2gf 8gf 16gf 32gf 128gf",
    "resnet": "18 34 50 101 152", "resnext": "50_32x4d 101_32x8d 101_64x4d",
    "shufflenet_v2_": "x0_5 x1_0 x1_5 x2_0", "squeezenet": "1_0 1_1", "swin_": "t s b v2_t v2_s v2_b",
    "vgg": "11 11_bn 13 13_bn 16 16_bn 19 19_bn", "vit_": "b_16 b_32 l_16 l_32 h_14", "wide_resnet": "50_2 101_2",
}  # fmt: skip
ARCHITECTURES = frozenset(prefix + size for prefix, sizes in _SIZES.items() for size in sizes.split() or [""])
"""The classification models of torchvision. Written down, since a spec is parsed without importing torchvision."""
_MAP_AXES = 4
"""Batch, channels, height and width."""
_ANY_SIDE = 224
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
"""Heads that are used in training only; torchvision's checkpoints contain them."""


class TorchvisionSpec(ImageSpec):
    """The spec of a classification model of torchvision."""

    architecture: str
    weights: CheckpointWeights
    layer: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,95}$")
    """A node of the model's graph: layer4, avgpool, layer3.5.conv2, fc; of a vision transformer encoder.ln."""
    pooling: Literal["average", "max", "flatten"]
    """Over all positions of the layer's output: over height and width, or over tokens, of which a class token is one.

    `flatten` keeps every position, in the order of the layer's output.
    """

    @field_validator("architecture")
    @classmethod
    def _is_of_torchvision(cls, architecture: str) -> str:
        if architecture not in ARCHITECTURES:
            raise ValueError("it must be a classification model of torchvision")
        return architecture

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        match = re.match(r"torchvision:(\w+)_Weights\.", self.weights.source)
        if self.weights.source.startswith("torchvision:") and (match is None or match[1].lower() != self.architecture):
            raise ValueError(f"{self.weights.source} is not of the architecture {self.architecture}")
        if self.layer == "x":
            raise ValueError("the layer x is the image itself; name one that the model computes")
        return self


def load_model(spec: TorchvisionSpec, *, cuda: bool) -> "Model[Pixels]":
    """Return the model of a spec, whose network raises UserError when its weights, layer or dimension do not fit."""
    from encoders.image_model import ImageModel

    return ImageModel(partial(load_network, spec), spec.preprocessing, cuda=cuda)


def load_network(spec: TorchvisionSpec) -> "torch.nn.Module":
    """Return the network of a spec on the CPU, channels last, from normalised pixels to vectors. Raises UserError."""
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    from encoders.networks import ImageNetwork

    model = _load(spec)
    pool = partial(_pool, pooling=spec.pooling, positions=_positions(spec))
    network = ImageNetwork(
        create_feature_extractor(model, {spec.layer: "features"}), pool, l2_normalise=spec.l2_normalise
    )
    network.eval()
    side = spec.preprocessing.crop
    with torch.inference_mode():
        dimension = network(torch.zeros(1, 3, side, side)).shape[1]
    if dimension != spec.dimension:
        raise WrongDimension(
            f"{spec.ref} says dimension {spec.dimension}, but {spec.layer} pooled by {spec.pooling} has {dimension} "
            "values: correct the spec.",
            dimension,
        )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _pool(output: "dict[str, torch.Tensor]", *, pooling: str, positions: tuple[int, ...]) -> "torch.Tensor":
    """Return the layer's output, of shape (batch, ...), as vectors, pooled over the axes of its positions."""
    features = output["features"]
    if positions and pooling != "flatten":
        features = features.mean(dim=positions) if pooling == "average" else features.amax(dim=positions)
    return features.flatten(start_dim=1)


def _positions(spec: TorchvisionSpec) -> tuple[int, ...]:
    """Return the axes of the layer's output along which its positions lie.

    They are told from the channels by a second image, twice as large: models differ in where their channels are, and
    some move them between their layers.
    """
    side = spec.preprocessing.crop
    shape = _output_shape(spec, side)
    if len(shape) <= 2 or spec.pooling == "flatten":
        return ()
    larger = _output_shape(spec, 2 * side)
    positions = tuple(axis for axis, (size, grown) in enumerate(zip(shape, larger, strict=True)) if size != grown)
    if not positions and len(shape) == _MAP_AXES:  # maps that were pooled to a fixed size have channels first
        return (2, 3)
    if len(positions) != len(shape) - 2:
        raise UserError(
            f"{spec.ref} pools the layer {spec.layer} by {spec.pooling}, but its output of shape {shape[1:]} has no "
            "axis of channels alone: read a later layer, or set pooling to flatten."
        )
    return positions


def _output_shape(spec: TorchvisionSpec, side: int) -> tuple[int, ...]:
    """Return the shape of the layer's output for an image of `side` pixels a side. Raises UserError if it has none."""
    try:
        return _traced_shape(spec.architecture, spec.layer, side)
    except (AssertionError, RuntimeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{spec.ref} crops images to {spec.preprocessing.crop} pixels, but {spec.architecture} computes no "
            f"{spec.layer} of tensors from images of {side} ({type(error).__name__}): correct crop or layer."
        ) from None


@cache
def _traced_shape(architecture: str, layer: str, side: int) -> tuple[int, ...]:
    """Return the shape without computing the output. This is kept, since it takes most of the time of loading."""
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor

    model = _empty(architecture, side).to("meta")
    output = create_feature_extractor(model, {layer: "features"})(torch.zeros(1, 3, side, side, device="meta"))
    return tuple(output["features"].shape)


def _load(spec: TorchvisionSpec) -> "torch.nn.Module":
    """Return the model of a spec with its weights; without its last layer where that is not needed."""
    import torch

    from encoders import checkpoint

    state = _renamed(spec.architecture, checkpoint.read(spec))
    _check_layer(spec)
    head = _head(spec.architecture)
    needs_head = _last_node(spec.architecture, spec.layer) >= _last_node(spec.architecture, head)
    if not needs_head:  # a checkpoint may have a head of any size, or none
        state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{head}.")}
    bias = state.get(f"{head}.bias", torch.zeros(1000))
    model = _empty(spec.architecture, spec.preprocessing.crop, num_classes=max(1, bias.numel()))
    if not needs_head:
        model.set_submodule(head, torch.nn.Identity())
    expected = model.state_dict()
    _check_state(spec, expected, state)
    # With the versions of today's modules: some models refuse or convert tensors that name no version.
    named = OrderedDict({name: state.get(name, tensor) for name, tensor in expected.items()})
    named._metadata = expected._metadata  # type: ignore[attr-defined]
    model.load_state_dict(named, assign=True)
    return model


def _renamed(architecture: str, state: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Return tensors by the names that torchvision's models have today: it renames those of older checkpoints, too."""
    if architecture in _WITH_AUXILIARY_HEADS:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_AUXILIARY_HEADS)}
    if architecture.startswith("densenet"):
        return {
            re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): each for name, each in state.items()
        }
    if architecture.startswith("vit_"):
        places = {"1": "0", "2": "3"}
        return {
            re.sub(r"\.mlp\.linear_([12])\.", lambda found: f".mlp.{places[found[1]]}.", name): each
            for name, each in state.items()
        }
    return state


def _empty(architecture: str, side: int, **options: Any) -> "torch.nn.Module":
    """Return a model for images of `side` pixels a side whose weights have a shape and a type, but no values.

    Tables that the model computes of itself, such as relative positions, have their values. GoogLeNet and Inception
    normalise their images once more, as with all weights that torchvision publishes for them.
    """
    from torchvision import models

    from encoders.without_values import WithoutValues

    if architecture in _WITH_AUXILIARY_HEADS:
        options |= {"aux_logits": False, "init_weights": False, "transform_input": True}
    if architecture.startswith("vit_"):
        options |= {"image_size": side}
    if architecture.startswith("maxvit_"):
        options |= {"input_size": (side, side)}
    with WithoutValues():
        model: torch.nn.Module = getattr(models, architecture)(weights=None, **options)
    return model.eval()


def _check_state(spec: TorchvisionSpec, expected: "dict[str, torch.Tensor]", state: "dict[str, torch.Tensor]") -> None:
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
def _head(architecture: str) -> str:
    """Return the name of the last layer with weights, which classifies."""
    from torch import nn

    modules = _empty(architecture, _ANY_SIDE).named_modules()
    names: list[str] = [name for name, module in modules if isinstance(module, nn.Linear | nn.Conv2d)]
    return names[-1]


@cache
def _layers(architecture: str) -> list[str]:
    """Return the nodes of an architecture's graph in their order, without the image."""
    from torchvision.models.feature_extraction import get_graph_node_names

    nodes: list[str] = get_graph_node_names(_empty(architecture, _ANY_SIDE), suppress_diff_warning=True)[1]
    return nodes[1:]


def _last_node(architecture: str, layer: str) -> int:
    """Return the place in the graph of the last node of a layer or block, -1 if there is none.

    create_feature_extractor takes the name of a block for that node.
    """
    nodes = enumerate(_layers(architecture))
    return max((place for place, node in nodes if node == layer or node.startswith(f"{layer}.")), default=-1)


def _check_layer(spec: TorchvisionSpec) -> None:
    layers = _layers(spec.architecture)
    if _last_node(spec.architecture, spec.layer) < 0:
        blocks = dict.fromkeys(layer.split(".")[0] for layer in layers)
        raise UserError(
            f"{spec.ref} says layer {spec.layer}, but {spec.architecture} has {', '.join(blocks)}, and inside of them "
            f"layers such as {layers[-4]}."
        )


FAMILY = Family(
    spec=TorchvisionSpec,
    load_model=load_model,
    weight_sources={
        "torchvision": TorchvisionHub(),
        "path": LocalFolder(),
        "gs": ObjectStorage(),
        "seed": Seeded(lambda spec: _empty(spec.architecture, spec.preprocessing.crop).state_dict()),
    },
    architectures=ARCHITECTURES,
)
