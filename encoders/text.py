"""Text encoders: any Hugging Face encoder, from UTF-8 bytes to a vector."""

import sys
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from encoders import weights
from encoders.batch_encoder import BatchEncoder
from encoders.limits import ImageLimits
from encoders.text_spec import TextSpec
from privacy import Reason, Rejected, UserError

TOKEN_BUDGET = 2_048
"""Padded tokens a batch on a CPU: the fastest that was measured there (texts sorted by length)."""
CUDA_TOKEN_BUDGET = 32_768


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    types: list[int]
    truncated: bool


class TextEncoder(BatchEncoder[_Tokens]):
    """Decoding, checks, tokenizing, the model, pooling and normalisation under one name. Items are UTF-8 texts."""

    at_once = sys.maxsize  # the more there are, the more alike in length the texts of a batch

    def __init__(self, spec: TextSpec, device: torch.device) -> None:
        self.spec: TextSpec = spec
        self._device = device
        self._tokenizer, self._model = _load(spec, device)
        self.budget = CUDA_TOKEN_BUDGET if device.type == "cuda" else TOKEN_BUDGET

    def _prepare(self, content: bytes, limits: ImageLimits) -> _Tokens:
        text = _checked_text(content)
        if self.spec.preprocessing.normalisation != "none":
            text = unicodedata.normalize(self.spec.preprocessing.normalisation, text)
        limit = self.spec.preprocessing.max_tokens
        found = self._tokenizer(text, truncation=True, max_length=limit, padding=False).encodings[0]
        if all(found.special_tokens_mask):  # zero-width characters alone, say
            raise Rejected(Reason.EMPTY_TEXT)
        return _Tokens(found.ids, found.type_ids, bool(found.overflowing))

    def _cost(self, prepared: _Tokens) -> int:
        return len(prepared.ids)

    def _cut(self, prepared: _Tokens) -> bool:
        return prepared.truncated

    def _vectors(self, batch: list[_Tokens]) -> npt.NDArray[np.float32]:
        width = max(len(each.ids) for each in batch)
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.tensor([each.ids + [pad] * (width - len(each.ids)) for each in batch])
        types = torch.tensor([each.types + [0] * (width - len(each.types)) for each in batch])
        mask = torch.tensor([[1] * len(each.ids) + [0] * (width - len(each.ids)) for each in batch])
        return self._run_model(ids.to(self._device), types.to(self._device), mask.to(self._device))

    def _run_model(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> npt.NDArray[np.float32]:
        extra = {"token_type_ids": types} if "token_type_ids" in self._tokenizer.model_input_names else {}
        layered = self.spec.layer != -1
        with torch.inference_mode():
            output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=layered, **extra)
            states = output.hidden_states[self.spec.layer] if layered else output.last_hidden_state
            pooled = _pool(states, mask, self.spec.pooling)
            if self.spec.l2_normalise:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
            vectors: npt.NDArray[np.float32] = pooled.float().cpu().numpy()
            return vectors


def _checked_text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    if "\0" in text:
        raise Rejected(Reason.FORBIDDEN_CHARACTERS)
    if not text.strip():
        raise Rejected(Reason.EMPTY_TEXT)
    return text


def _pool(states: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """States of shape (batch, tokens, dimension) to (batch, dimension), over the tokens of the mask."""
    if how == "cls":
        return states[:, 0]
    weight = mask.unsqueeze(-1).to(states.dtype)
    if how == "max":
        return states.masked_fill(weight == 0, float("-inf")).max(dim=1).values
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


def _load(spec: TextSpec, device: torch.device) -> tuple[Any, Any]:
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
    return tokenizer, model.to(device).eval()


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
