"""Text encoders of Hugging Face: any model type, hidden states pooled over the tokens."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from encoders import weights
from encoders.family import Family, Model
from encoders.huggingface_folder import load_from_files, refuse_unsupported
from encoders.huggingface_weights import HuggingFaceWeights
from encoders.text_spec import TextSpec
from encoders.weight_sources import LocalFolder
from encoders.weight_sources.hugging_face import HuggingFaceHub
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch


class HuggingFaceTextSpec(TextSpec):
    """The spec of a Hugging Face text encoder."""

    architecture: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    """The `model_type` of the Hugging Face configuration."""
    weights: HuggingFaceWeights
    layer: int = Field(default=-1, ge=-200, le=200)
    """The hidden state that is pooled: 0 is the embedding layer's, -1 the last one."""
    pooling: Literal["mean", "cls", "max"]


def load_model(spec: HuggingFaceTextSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. Raises UserError when its files do not fit its fields."""
    from encoders.text_model import TextModel

    tokenizer, network = load_network(spec)
    return TextModel(tokenizer, network, spec.preprocessing, cuda=cuda)


def load_network(spec: HuggingFaceTextSpec) -> "tuple[Any, torch.nn.Module]":
    """Return the fast tokenizer and the network of a spec. Raises UserError when its files do not fit its fields."""
    from encoders.networks import TokenNetwork

    tokenizer, transformer, missing_tensors = _load_files(spec)
    # The library initialises missing tensors at random; those of the pooler are not used.
    if missing := sorted(name for name in missing_tensors if not name.startswith("pooler.")):
        raise UserError(
            f"The weights of {spec.ref} lack {missing[0]} and {len(missing) - 1} other tensors: replace the file."
        )
    _check_config(spec, transformer.config, _positions(transformer, tokenizer.model_max_length))
    network = TokenNetwork(
        transformer,
        partial(_pool, pooling=spec.pooling),
        layer=spec.layer,
        has_types="token_type_ids" in tokenizer.model_input_names,
        l2_normalise=spec.l2_normalise,
    )
    return tokenizer, network.eval()


def _pool(states: "torch.Tensor", mask: "torch.Tensor", *, pooling: str) -> "torch.Tensor":
    """Return hidden states of shape (batch, tokens, dimension) pooled over the tokens of the mask."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    if pooling == "max":
        return states.masked_fill(weight == 0, float("-inf")).max(dim=1).values
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


def _load_files(spec: HuggingFaceTextSpec) -> tuple[Any, Any, set[str]]:
    """Return tokenizer, transformer, and the names of tensors that the weights lack."""
    source = weights.find(spec)
    refuse_unsupported(spec, source)

    def load(folder: Path) -> tuple[Any, Any, set[str]]:
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        transformer, loading = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        return tokenizer, transformer, loading["missing_keys"]

    return load_from_files(spec, source, load)


def _positions(transformer: "torch.nn.Module", tokenizer_length: int) -> int:
    """Return the largest number of tokens that the model takes."""
    from torch.nn import Embedding

    positions = min(getattr(transformer.config, "max_position_embeddings", None) or tokenizer_length, tokenizer_length)
    for name, module in transformer.named_modules():
        # RoBERTa and its like count positions from the one after that of padding.
        if name.endswith("position_embeddings") and isinstance(module, Embedding) and module.padding_idx is not None:
            positions = min(positions, module.num_embeddings - module.padding_idx - 1)
    return positions


def _check_config(spec: HuggingFaceTextSpec, config: Any, positions: int) -> None:
    if config.model_type != spec.architecture:
        raise UserError(
            f"{spec.ref} says architecture {spec.architecture}, but its config.json says {config.model_type}: correct "
            "the spec."
        )
    if config.hidden_size != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but its weights have {config.hidden_size}: correct the spec."
        )
    if spec.preprocessing.max_tokens > positions:
        raise UserError(
            f"{spec.ref} says max_tokens {spec.preprocessing.max_tokens}, but its model has positions for {positions}: "
            "lower it."
        )
    layers = config.num_hidden_layers
    if not -layers - 1 <= spec.layer <= layers:
        raise UserError(f"{spec.ref} says layer {spec.layer}, but its weights have {layers} layers (0 is the input).")


FAMILY = Family(
    spec=HuggingFaceTextSpec,
    load_model=load_model,
    weight_sources={"hf": HuggingFaceHub(), "path": LocalFolder()},
)
