"""Tiny seeded image encoders of Hugging Face on disk, with the image processors that such models have."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedModel

from encoders.families.huggingface_image import HuggingFaceImageSpec

SIDE = 28
HIDDEN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
PATCHES = HIDDEN | {"image_size": SIDE, "patch_size": 7}
_REGISTERS = PATCHES | {"num_register_tokens": 3}
_STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
_WINDOWS = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2, "patch_size": 4, "image_size": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "beit": PATCHES | {"use_relative_position_bias": True},
    "clip_vision_model": PATCHES,
    "convnext": _STAGES | {"num_stages": 2},
    "convnextv2": _STAGES | {"num_stages": 2},
    "data2vec-vision": PATCHES,
    "deit": PATCHES,
    "dinov2": PATCHES | {"image_size": 35},  # trained on larger images than those that the processor makes
    "dinov2_with_registers": _REGISTERS,
    "dinov3_convnext": _STAGES,
    "dinov3_vit": _REGISTERS,
    "ijepa": PATCHES,
    "resnet": _STAGES | {"embedding_size": 8, "layer_type": "basic"},
    "siglip_vision_model": PATCHES,
    "swin": _WINDOWS,
    "swinv2": _WINDOWS,
    "vit": PATCHES,
    "vit_msn": PATCHES,
}
_SQUARE = {"height": SIDE, "width": SIDE}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "beit": ("Beit", {"size": _SQUARE}),
    "clip_vision_model": ("CLIP", {"size": {"shortest_edge": SIDE}, "crop_size": _SQUARE}),
    "deit": ("DeiT", {"size": {"height": 33, "width": 33}, "crop_size": _SQUARE}),
    "siglip_vision_model": ("Siglip", {"size": _SQUARE}),
}
_PROCESSORS |= dict.fromkeys(("convnext", "convnextv2", "resnet"), ("ConvNext", {"size": {"shortest_edge": 32}}))
_PROCESSORS |= dict.fromkeys(
    ("dinov2", "dinov2_with_registers"), ("Bit", {"size": {"shortest_edge": 33}, "crop_size": _SQUARE} | _IMAGENET)
)
_PROCESSORS |= dict.fromkeys(("dinov3_convnext", "dinov3_vit"), ("DINOv3ViT", {"size": _SQUARE}))
_PROCESSORS |= dict.fromkeys(("swin", "swinv2"), ("ViT", {"size": {"height": 32, "width": 32}} | _IMAGENET))


def processor(architecture: str) -> Any:
    """Return the image processor that models of an architecture have, for tiny images."""
    kind, fields = _PROCESSORS.get(architecture, ("ViT", {"size": _SQUARE}))
    return getattr(transformers, f"{kind}ImageProcessor")(**fields)


def draw(model: PreTrainedModel) -> PreTrainedModel:
    """Draw all tensors of a model from a fixed seed, so that each of them matters."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            is_scale = tensor.dim() == 1 and not name.endswith(("bias", "running_mean"))
            tensor.uniform_(*((0.4, 0.8) if is_scale else (-0.3, 0.3)), generator=generator)
    return model.eval()


def write_model(folder: Path, architecture: str) -> Path:
    """Write a model and its image processor, and return the folder."""
    config = CONFIG_MAPPING[architecture](**CONFIGS[architecture])
    draw(AutoModel.from_config(config)).save_pretrained(folder)
    processor(architecture).save_pretrained(folder)
    return folder


def make_spec(folder: Path, architecture: str, preprocessing: dict[str, Any], **fields: Any) -> HuggingFaceImageSpec:
    """Return an unsealed spec of a model in a folder; arguments replace fields."""
    whole: dict[str, Any] = {
        "name": "tiny",
        "version": "1.0.0",
        "modality": "image",
        "architecture": architecture,
        "weights": {"source": f"path:{folder}", "files": {"model.safetensors": None, "config.json": None}},
        "preprocessing": {"exif_orientation": "apply", "alpha": "white"} | preprocessing,
        "pooling": "mean",
        "l2_normalise": False,
        "dimension": 32,
        "tolerance": 1e-5,
        "training_domain": "nothing: its weights are drawn from a seed",
    }
    return HuggingFaceImageSpec.model_validate(whole | fields)


def read(folder: Path) -> Any:
    """Return the model of a folder as the library reads it."""
    return AutoModel.from_pretrained(folder).eval()
