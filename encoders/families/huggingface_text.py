"""Text encoders of Hugging Face: any model type, hidden states pooled over the tokens.

Of a model with an encoder and a decoder the encoder is used; decoders alone are used like encoders.
"""

import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from encoders import weights
from encoders.family import Family, Model
from encoders.huggingface_folder import (
    ENCODER_CLASSES,
    from_safetensors,
    load_from_files,
    refuse_missing,
    refuse_unsupported,
)
from encoders.huggingface_weights import HuggingFaceWeights
from encoders.sentence_modules import ACTIVATIONS, Dense
from encoders.spec import Added
from encoders.text_spec import TextSpec
from encoders.weight_sources.hugging_face import SOURCES
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
    pooling: Literal["mean", "cls", "max", "last_token", "weighted_mean"]
    """How the states of a text's tokens become its vector. `weighted_mean` weights the first token by 1, the second by
    2, and so on (Muennighoff, 'SGPT', 2022)."""
    dense: Annotated[tuple[Dense, ...], Added()] = ()
    """What is applied to the pooled vector, in this order."""
    full_dimension: Annotated[int | None, Added()] = Field(default=None, ge=2, le=32768)
    """The number of components of which the first `dimension` are kept; None if all are (Matryoshka)."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.full_dimension is not None and self.full_dimension <= self.dimension:
            raise ValueError(f"full_dimension is {self.full_dimension}, but must exceed dimension, {self.dimension}")
        for module in self.dense:
            if module.file not in self.weights.files:
                raise ValueError(f"dense names the folder {module.folder}: add {module.file} to weights.files")
        return self


def load_model(spec: HuggingFaceTextSpec, *, cuda: bool) -> Model[Any]:
    """Return the model of a spec. It and its network raise UserError when its files do not fit its fields."""
    from encoders.text_model import TextModel

    source = weights.find(spec)
    refuse_unsupported(spec, source, spec.dense)
    tokenizer = load_from_files(spec, source, _read_tokenizer)
    _check_sides(spec, tokenizer)
    return TextModel(tokenizer, partial(_load_network, spec, source, tokenizer), spec.preprocessing, cuda=cuda)


def _load_network(spec: HuggingFaceTextSpec, source: Path, tokenizer: Any) -> "torch.nn.Module":
    """Return the network of a spec for the tokens of its tokenizer. Raises UserError."""
    from encoders.networks import TokenNetwork

    transformer, missing_tensors, dense_tensors = load_from_files(spec, source, partial(_read_weights, spec))
    refuse_missing(spec, {name for name in missing_tensors if not name.startswith("pooler.")})  # which is not used
    _check_config(spec, transformer.config, positions(transformer, tokenizer.model_max_length))
    transformer.config.use_cache = False  # of decoders, for generating text
    arguments = inspect.signature(transformer.forward).parameters
    dense, size = _make_dense(spec, dense_tensors, transformer.config.hidden_size)
    _check_dimension(spec, size)
    return TokenNetwork(
        transformer,
        partial(_pool, pooling=spec.pooling),
        layer=spec.layer,
        has_types="token_type_ids" in tokenizer.model_input_names and "token_type_ids" in arguments,
        dense=dense,
        dimension=spec.dimension,
        l2_normalise=spec.l2_normalise,
    ).eval()


def _pool(states: "torch.Tensor", mask: "torch.Tensor", *, pooling: str) -> "torch.Tensor":
    """Return hidden states of shape (batch, tokens, dimension) pooled over the tokens of the mask."""
    if pooling == "max":
        return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values
    weight = _weights(mask, pooling).unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


def _weights(mask: "torch.Tensor", pooling: str) -> "torch.Tensor":
    """Return the weights of the tokens, of shape (batch, tokens)."""
    if pooling == "mean":
        return mask
    numbers = mask.cumsum(dim=1) * mask  # from 1; 0 for padding
    if pooling == "weighted_mean":
        return numbers
    return numbers == (1 if pooling == "cls" else numbers.amax(dim=1, keepdim=True))


def _make_dense(
    spec: HuggingFaceTextSpec, tensors: "list[dict[str, torch.Tensor]]", size: int
) -> "tuple[torch.nn.Module, int]":
    """Return the modules of `dense`, which take vectors of `size` components, and the size of what they return."""
    from torch import nn

    modules: list[nn.Module] = []
    for module, state in zip(spec.dense, tensors, strict=True):
        weight, bias = state.get("linear.weight"), state.get("linear.bias")
        if weight is None or set(state) - {"linear.weight", "linear.bias"} or weight.dim() != 2:
            raise UserError(
                f"{module.file} of {spec.ref} has the tensors {', '.join(sorted(state))[:200]}, but a module Dense has "
                "linear.weight and linear.bias only: use a model without other modules."
            )
        if weight.shape[1] != size or (bias is not None and bias.shape != weight.shape[:1]):
            raise UserError(
                f"{module.file} of {spec.ref} takes {weight.shape[1]} components, but is given {size}: put the "
                "modules of dense into the order of modules.json."
            )
        linear = nn.Linear(size, weight.shape[0], bias=bias is not None)
        linear.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in state.items()})
        (activation,) = (name for name, value in ACTIVATIONS.items() if value == module.activation)
        modules += [linear, getattr(nn, activation)()]
        size = weight.shape[0]
    return nn.Sequential(*modules), size


def _read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _read_weights(spec: HuggingFaceTextSpec, folder: Path) -> "tuple[Any, set[str], list[dict[str, torch.Tensor]]]":
    """Return the transformer, the names of tensors that the weights lack, and the tensors of `dense`."""
    import transformers
    from safetensors.torch import load_file

    kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    model_class = getattr(transformers, ENCODER_CLASSES.get(kind, "AutoModel"))
    transformer, missing = from_safetensors(model_class, folder)
    return transformer, missing, [load_file(folder / module.file) for module in spec.dense]


def positions(transformer: "torch.nn.Module", tokenizer_length: int) -> int:
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
    if getattr(config, "hidden_size", None) is None:
        raise UserError(
            f"{spec.ref} is of the model type {spec.architecture}, which is not one text model: use an encoder such as "
            "bert or roberta, or a decoder such as qwen3."
        )
    if spec.preprocessing.max_tokens > positions:
        raise UserError(
            f"{spec.ref} says max_tokens {spec.preprocessing.max_tokens}, but its model has positions for {positions}: "
            "lower it."
        )
    layers = config.num_hidden_layers
    if not -layers - 1 <= spec.layer <= layers:
        raise UserError(f"{spec.ref} says layer {spec.layer}, but its weights have {layers} layers (0 is the input).")


def _check_dimension(spec: HuggingFaceTextSpec, size: int) -> None:
    field = "dimension" if spec.full_dimension is None else "full_dimension"
    if (said := getattr(spec, field)) != size:
        shorter = (
            ""
            if spec.full_dimension is not None or said > size
            else (f", or add full_dimension: {size} to keep the first {said} components")
        )
        raise UserError(f"{spec.ref} says {field} {said}, but its weights have {size}: correct the spec{shorter}.")


def _check_sides(spec: HuggingFaceTextSpec, tokenizer: Any) -> None:
    """Raise UserError when an unsealed spec says another side than the tokenizer. The vectors of a sealed one stay."""
    if spec.sealed:
        return
    if tokenizer.padding_side != spec.preprocessing.padding:
        raise UserError(
            f"{spec.ref} says preprocessing.padding {spec.preprocessing.padding}, but its tokenizer_config.json says "
            f"{tokenizer.padding_side}: correct the spec."
        )
    if tokenizer.truncation_side != "right":
        raise UserError(
            f"{spec.ref} has a tokenizer that cuts off the start of a long text (truncation_side in "
            "tokenizer_config.json), which a spec cannot say: use one that cuts off the end."
        )


FAMILY = Family(
    spec=HuggingFaceTextSpec,
    load_model=load_model,
    weight_sources=SOURCES,
)
