"""Image towers of CLIP and SigLIP: the vectors that `get_image_features` of the library returns."""

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from encoders.clip import ARCHITECTURES, Architecture, TowerSpec, check_dimension, load_tower
from encoders.family import Family, Model
from encoders.huggingface_weights import HuggingFaceWeights
from encoders.image_spec import ImageSpec
from encoders.weight_sources.hugging_face import SOURCES
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

    from encoders.pixels import Pixels


class ClipImageSpec(ImageSpec, TowerSpec):
    """The spec of the image tower of a checkpoint."""

    architecture: Architecture
    weights: HuggingFaceWeights
    """The files of the whole checkpoint: weights and config.json, the same ones for both towers."""


def load_model(spec: ClipImageSpec, *, cuda: bool) -> "Model[Pixels]":
    """Return the model of a spec, whose network raises UserError when its files do not fit its fields."""
    from encoders.image_model import ImageModel

    return ImageModel(partial(_load_network, spec), spec.preprocessing, cuda=cuda)


def _load_network(spec: ClipImageSpec) -> "torch.nn.Module":
    from encoders.networks import ImageNetwork

    tower = load_tower(spec)
    _check_config(spec, tower.config)
    pool = attrgetter("image_embeds" if spec.architecture == "clip" else "pooler_output")
    return ImageNetwork(tower, pool, l2_normalise=spec.l2_normalise).eval()


def _check_config(spec: ClipImageSpec, config: "object") -> None:
    values = vars(config)
    if spec.architecture == "siglip" and not values.get("vision_use_head", True):
        raise UserError(
            f"{spec.ref} has an image tower without a pooling head (vision_use_head), so it has no vector to compare "
            "with those of texts: use a checkpoint with one."
        )
    check_dimension(spec, values["projection_dim" if spec.architecture == "clip" else "hidden_size"])
    if spec.preprocessing.crop != values["image_size"]:
        raise UserError(
            f"{spec.ref} says crop {spec.preprocessing.crop}, but its image tower takes images of "
            f"{values['image_size']} pixels a side: correct the spec."
        )


FAMILY = Family(
    spec=ClipImageSpec,
    load_model=load_model,
    weight_sources=SOURCES,
    architectures=ARCHITECTURES,
)
