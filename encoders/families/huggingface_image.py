"""Image encoders of Hugging Face: vision transformers and convolutional networks, and the vision towers of two others.

A hidden state is pooled, or the output of the model's own pooler is taken.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from encoders import weights
from encoders.family import Family, Model, WrongDimension
from encoders.huggingface_folder import from_safetensors, load_from_files, refuse_missing, refuse_own_code
from encoders.huggingface_processor import check_processor
from encoders.huggingface_weights import HuggingFaceWeights
from encoders.image_spec import ImageSpec
from encoders.weight_sources.hugging_face import SOURCES
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

    from encoders.pixels import Pixels

Pooling = Literal["cls", "mean", "cls_mean", "pooler"]


class _Layout(NamedTuple):
    """What the library's model of an architecture returns, and which images it takes."""

    has_cls: bool = True
    """Whether the first token stands for the whole image."""
    other_tokens: int = 0
    """Tokens after it that are no patches, beside the registers that config.json counts."""
    any_size: bool = False
    """Whether it takes any multiple of its patches, since it computes its positions for the size, or has none."""
    pooler: str = "pooler."
    """How the names of those tensors start that its pooler alone uses."""


_NO_CLS = _Layout(has_cls=False)
_CONVOLUTIONS = _Layout(has_cls=False, any_size=True, pooler="layernorm.")
_LAYOUTS = {
    "beit": _Layout(),
    "clip_vision_model": _Layout(pooler="post_layernorm."),
    "convnext": _CONVOLUTIONS,
    "convnextv2": _CONVOLUTIONS,
    "data2vec-vision": _Layout(),
    "deit": _Layout(other_tokens=1),  # the token of the distillation
    "dinov2": _Layout(any_size=True),
    "dinov2_with_registers": _Layout(any_size=True),
    "dinov3_convnext": _Layout(any_size=True),
    "dinov3_vit": _Layout(any_size=True),
    "ijepa": _NO_CLS,
    "resnet": _CONVOLUTIONS,
    "siglip_vision_model": _Layout(has_cls=False, pooler="head."),
    "swin": _NO_CLS,
    "swinv2": _NO_CLS,
    "vit": _Layout(),
    "vit_msn": _Layout(),
}


class HuggingFaceImageSpec(ImageSpec):
    """The spec of a Hugging Face image encoder."""

    architecture: str
    """The `model_type` of the Hugging Face configuration, or that of its vision tower."""
    weights: HuggingFaceWeights
    layer: int = Field(default=-1, ge=-200, le=200)
    """The hidden state that is pooled: 0 is the first block's input, n the output of the nth block or stage.

    -1 is the last one after the model's final normalisation, where it has one; all others are before it.
    """
    pooling: Pooling
    """The cls token, the mean of the patches (without cls, distillation and register tokens) or of the map, the cls
    token followed by the mean, or the output of the model's own pooler."""

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in _LAYOUTS:
            raise ValueError(f"use one of {', '.join(_LAYOUTS)}")
        return name

    @model_validator(mode="after")
    def _pooler_is_of_the_last_layer(self) -> Self:
        if self.pooling == "pooler" and self.layer != -1:
            raise ValueError("pooling pooler reads the last hidden state: set layer to -1")
        return self


def load_model(spec: HuggingFaceImageSpec, *, cuda: bool) -> "Model[Pixels]":
    """Return the model of a spec, whose network raises UserError when its files do not fit its fields."""
    from encoders.image_model import ImageModel

    return ImageModel(partial(load_network, spec), spec.preprocessing, cuda=cuda)


def load_network(spec: HuggingFaceImageSpec) -> "torch.nn.Module":
    """Return the network of a spec on the CPU, channels last, from normalised pixels to vectors. Raises UserError."""
    import torch

    from encoders.networks import ImageNetwork

    source = weights.find(spec)
    refuse_own_code(spec.ref, source, {"config.json"} & spec.files.keys())
    check_processor(spec, source)
    config = _read_config(spec, source)
    layout = _LAYOUTS[spec.architecture]
    _check_pooling(spec, layout)
    _check_size(spec, config, layout)
    transformer = _load_transformer(spec, source, config, layout)
    other_tokens = layout.other_tokens + getattr(config, "num_register_tokens", 0)
    pool = partial(_pool, layer=spec.layer, pooling=spec.pooling, first_patch=layout.has_cls + other_tokens)
    _check_output(spec, transformer, pool)
    network = ImageNetwork(transformer, pool, l2_normalise=spec.l2_normalise, runs_whole_model=True).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _pool(output: Any, *, layer: int, pooling: Pooling, first_patch: int) -> "torch.Tensor":
    """Return the output of a model, whose tokens before `first_patch` are no patches, as vectors."""
    import torch

    if pooling == "pooler":
        return output.pooler_output.flatten(start_dim=1)  # type: ignore[no-any-return]
    states = _states(output, layer)
    if states.dim() == 4:
        return states.mean(dim=(2, 3))
    if pooling == "cls":
        return states[:, 0]
    mean = states[:, first_patch:].mean(dim=1)
    return torch.cat([states[:, 0], mean], dim=1) if pooling == "cls_mean" else mean


def _states(output: Any, layer: int) -> "torch.Tensor":
    """Return a hidden state, of shape (batch, tokens, channels), or (batch, channels, height, width) if it is a map."""
    return output.last_hidden_state if layer == -1 else output.hidden_states[layer]  # type: ignore[no-any-return]


def default_pooling(architecture: str) -> Pooling:
    """Return the pooling that is usual for an architecture: its cls token, else its own pooler, else the mean."""
    layout = _LAYOUTS[architecture]
    if layout.has_cls:
        return "cls"
    return "mean" if layout is _NO_CLS else "pooler"


def vector_size(config: Any, *, layer: int, pooling: Pooling, side: int) -> int:
    """Return the size of the vectors of a configuration for images of `side` pixels, without its weights.

    Raises any error of the library when the model does not have them.
    """
    import torch
    from transformers import AutoModel

    config.output_hidden_states = layer != -1
    first_patch = int(_LAYOUTS[config.model_type].has_cls)
    with torch.device("meta"), torch.inference_mode():
        output = AutoModel.from_config(config).eval()(torch.zeros(1, 3, side, side))
        return _pool(output, layer=layer, pooling=pooling, first_patch=first_patch).shape[1]


def _read_config(spec: HuggingFaceImageSpec, source: Path) -> Any:
    """Return the configuration of the spec's architecture: the folder's own, or that of its vision tower."""

    def read(folder: Path) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    config = load_from_files(spec, source, read)
    kinds = {each.model_type: each for each in (config, getattr(config, "vision_config", None)) if each is not None}
    if spec.architecture not in kinds:
        raise UserError(
            f"{spec.ref} says architecture {spec.architecture}, but its config.json says {' with '.join(kinds)}: "
            "correct the spec."
        )
    return kinds[spec.architecture]


def _load_transformer(spec: HuggingFaceImageSpec, source: Path, config: Any, layout: _Layout) -> "torch.nn.Module":
    def load(folder: Path) -> tuple[Any, set[str]]:
        from transformers import AutoModel

        config.output_hidden_states = spec.layer != -1
        return from_safetensors(AutoModel, folder, config=config)

    transformer, missing = load_from_files(spec, source, load)
    if spec.pooling != "pooler":
        missing = {name for name in missing if not name.startswith(layout.pooler)}
    is_of_pooler = bool(missing) and min(missing).startswith(layout.pooler)
    refuse_missing(spec, missing, f"replace the file{', or use another pooling' if is_of_pooler else ''}")
    return transformer.eval()  # type: ignore[no-any-return]


def _check_pooling(spec: HuggingFaceImageSpec, layout: _Layout) -> None:
    if spec.pooling.startswith("cls") and not layout.has_cls:
        raise UserError(
            f"{spec.ref} says pooling {spec.pooling}, but {spec.architecture} has no cls token: use another pooling, "
            "such as mean."
        )


def _check_size(spec: HuggingFaceImageSpec, config: Any, layout: _Layout) -> None:
    """Raise UserError for images that the model's positions do not fit, which the library would stretch or refuse."""
    side = spec.preprocessing.crop
    if not layout.any_size:
        sides = set(_pair(config.image_size))
        if sides != {side}:
            raise UserError(
                f"{spec.ref} says crop {side}, but the positions of its model are for images of "
                f"{' by '.join(str(each) for each in _pair(config.image_size))} pixels: correct the spec."
            )
    elif any(side % patch for patch in _pair(getattr(config, "patch_size", 1))):
        raise UserError(
            f"{spec.ref} says crop {side}, but its model takes images of whole patches, of "
            f"{max(_pair(config.patch_size))} pixels a side: use a multiple of it."
        )


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _check_output(spec: HuggingFaceImageSpec, transformer: "torch.nn.Module", pool: Any) -> None:
    """Raise UserError when the model has no vectors of the layer and pooling, or none of the dimension."""
    import torch

    side = spec.preprocessing.crop
    try:
        with torch.inference_mode():
            output = transformer(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"{spec.ref} says crop {side}, but its model cannot take images of this size ({type(error).__name__}): "
            "correct the spec."
        ) from None
    if spec.pooling == "pooler" and output.get("pooler_output") is None:
        raise UserError(f"{spec.ref} says pooling pooler, but its model has none: use another pooling.")
    layers = len(output.hidden_states) - 1 if spec.layer != -1 else 0
    if not -layers - 1 <= spec.layer <= layers:
        raise UserError(f"{spec.ref} says layer {spec.layer}, but its weights have {layers} layers (0 is the input).")
    if spec.pooling.startswith("cls") and _states(output, spec.layer).dim() == 4:
        raise UserError(
            f"{spec.ref} says pooling {spec.pooling}, but its layer {spec.layer} is a map without a cls token: use "
            "mean."
        )
    dimension = pool(output).shape[1]
    if dimension != spec.dimension:
        raise WrongDimension(
            f"{spec.ref} says dimension {spec.dimension}, but layer {spec.layer} pooled by {spec.pooling} has "
            f"{dimension} values: correct the spec.",
            dimension,
        )


FAMILY = Family(
    spec=HuggingFaceImageSpec,
    load_model=load_model,
    weight_sources=SOURCES,
    architectures=frozenset(_LAYOUTS),
)
