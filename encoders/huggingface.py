"""Hugging Face encoders: a tokenizer and a network out of the verified files of a spec."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from encoders import weights
from encoders.text_spec import TextSpec
from rawless.errors import UserError


class Transformer(nn.Module):
    """Tokens of shape (batch, width) to vectors of shape (batch, dimension)."""

    def __init__(self, spec: TextSpec, model: nn.Module, *, typed: bool) -> None:
        super().__init__()
        self._model = model
        self._layer = spec.layer
        self._pooling = spec.pooling
        self._l2_normalise = spec.l2_normalise
        self._typed = typed

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The layer's states, pooled over the tokens of the mask, and of length one if the spec says so."""
        extra = {"token_type_ids": types} if self._typed else {}
        layered = self._layer != -1
        output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=layered, **extra)
        states = output.hidden_states[self._layer] if layered else output.last_hidden_state
        pooled = _pool(states, mask, self._pooling)
        return nn.functional.normalize(pooled, dim=1) if self._l2_normalise else pooled


def _pool(states: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """States of shape (batch, tokens, dimension) to (batch, dimension), over the tokens of the mask."""
    if how == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    if how == "max":
        return states.masked_fill(weight == 0, float("-inf")).max(dim=1).values
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


def load(spec: TextSpec) -> tuple[Any, Transformer]:
    """The fast tokenizer and the network of a spec. Raises UserError when its files are not what it says."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    place = weights.find(spec)
    # Loaded from a folder of links to the verified files alone: a stray file beside them decides nothing.
    with tempfile.TemporaryDirectory(prefix="rawless-encoder-") as folder:
        for name in spec.files:
            (Path(folder) / name).symlink_to(place / name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, loading = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # noqa: BLE001 - each format and library has errors of its own
            raise UserError(
                f"The files of {spec.ref} in {place} cannot be loaded as a Hugging Face encoder "
                f"({type(error).__name__}): compare weights and preprocessing of the spec with the folder."
            ) from None
    # The library draws what is missing at random; of the pooler nothing is used.
    if missing := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise UserError(
            f"The weights of {spec.ref} lack {missing[0]} and {len(missing) - 1} more tensors: mend the file."
        )
    _check_model(spec, model, tokenizer.model_max_length)
    return tokenizer, Transformer(spec, model, typed="token_type_ids" in tokenizer.model_input_names).eval()


def _check_model(spec: TextSpec, model: Any, longest: int) -> None:
    found = model.config.model_type
    if found != spec.architecture:
        raise UserError(f"{spec.ref} says architecture {spec.architecture}, but its config.json says {found}: mend it.")
    if model.config.hidden_size != spec.dimension:
        raise UserError(
            f"{spec.ref} says dimension {spec.dimension}, but its weights give {model.config.hidden_size}: mend it."
        )
    # Some models keep positions for themselves; what is left for tokens, their tokenizer knows.
    positions = min(getattr(model.config, "max_position_embeddings", longest), longest)
    if spec.preprocessing.max_tokens > positions:
        raise UserError(
            f"{spec.ref} says max_tokens {spec.preprocessing.max_tokens}, but its model has {positions} positions: "
            "lower it."
        )
    layers = model.config.num_hidden_layers
    if not -layers - 1 <= spec.layer <= layers:
        raise UserError(f"{spec.ref} says layer {spec.layer}, but its weights have {layers} layers (0 is the input).")
