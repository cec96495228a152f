"""Text towers of CLIP and SigLIP: the vectors that `get_text_features` of the library returns.

CLIP reads the first end token of a text, so texts of a batch are padded to the longest of them. SigLIP reads the last
position and was trained without a mask, so each text is padded to all of its positions.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from encoders.clip import ARCHITECTURES, Architecture, TowerSpec, check_dimension, load_tokenizer, load_tower
from encoders.family import Family, Model
from encoders.huggingface_weights import HuggingFaceWeights
from encoders.text_spec import TextSpec
from encoders.weight_sources.hugging_face import SOURCES
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch


class ClipTextSpec(TextSpec, TowerSpec):
    """The spec of the text tower of a checkpoint."""

    architecture: Architecture
    weights: HuggingFaceWeights
    """The files of the whole checkpoint: weights and config.json, the same ones for both towers."""


def load_model(spec: ClipTextSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. It and its network raise UserError when its files do not fit its fields."""
    from encoders.clip_text_model import FixedWidthTextModel
    from encoders.text_model import TextModel

    model_class = TextModel if spec.architecture == "clip" else FixedWidthTextModel
    return model_class(load_tokenizer(spec), partial(_load_network, spec), spec.preprocessing, cuda=cuda)


def _load_network(spec: ClipTextSpec) -> "torch.nn.Module":
    from encoders.clip_text_model import TextTowerNetwork

    tower = load_tower(spec)
    is_clip = spec.architecture == "clip"
    _check_config(spec, tower.config, is_clip=is_clip)
    return TextTowerNetwork(
        tower,
        "text_embeds" if is_clip else "pooler_output",
        has_mask=is_clip,
        l2_normalise=spec.l2_normalise,
    ).eval()


def _check_config(spec: ClipTextSpec, config: Any, *, is_clip: bool) -> None:
    check_dimension(spec, config.projection_dim if is_clip else config.projection_size)
    positions, longest = config.max_position_embeddings, spec.preprocessing.max_tokens
    if longest > positions or (longest < positions and not is_clip):
        rule = f"at most {positions}" if is_clip else f"{positions}, since it reads the last of its positions"
        raise UserError(f"{spec.ref} says max_tokens {longest}, but for its text tower it must be {rule}.")


FAMILY = Family(
    spec=ClipTextSpec,
    load_model=load_model,
    weight_sources=SOURCES,
    architectures=ARCHITECTURES,
)
