"""Text encoders: any Hugging Face encoder, from UTF-8 bytes to a vector."""

import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders import weights
from encoders.batches import by_length, halving, memory_told
from encoders.encoder import Encoded
from encoders.spec import EncoderSpec
from privacy import Raw, Reason, Rejected, Unavailable, UserError, guarded
from privacy.logs import withheld

TOKEN_BUDGET = 2_048
"""Padded tokens a batch on a CPU: the fastest that was measured there (texts sorted by length)."""
CUDA_TOKEN_BUDGET = 32_768
_SUSPECT = {Reason.ENCODER_FAILED, Reason.NON_FINITE_EMBEDDING}
"""Reasons that may be the encoder's fault, so that every item would meet them."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    types: list[int]
    truncated: bool


class TextEncoder:
    """Decoding, checks, tokenizing, the model, pooling and normalisation under one name."""

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self._device = device
        self._tokenizer, self._model = _load(spec, device)
        self._budget = CUDA_TOKEN_BUDGET if device.type == "cuda" else TOKEN_BUDGET

    def encode(self, items: Sequence[Raw[bytes]]) -> list[Encoded | Reason]:
        """See `Encoder.encode`. Items are UTF-8 texts."""
        tokens = dict(enumerate(guarded(self._tokenize, item) for item in items))
        good = {position: each for position, each in tokens.items() if isinstance(each, _Tokens)}
        outcomes: dict[int, Encoded | Reason] = {
            position: Reason.ENCODER_FAILED if each is Reason.INTERNAL else each
            for position, each in tokens.items()
            if isinstance(each, Reason)
        }
        lengths = {position: len(each.ids) for position, each in good.items()}
        for batch in by_length(lengths, self._budget):
            outcomes.update(self._run(batch, good))
        if (
            any(each in _SUSPECT for each in outcomes.values() if isinstance(each, Reason))
            and not self._encodes_probe()
        ):
            raise Unavailable(f"The encoder {self.spec.ref} fails for its own probe too; restart the worker.")
        return [outcomes[position] for position in range(len(items))]

    def _run(self, batch: list[int], tokens: Mapping[int, _Tokens]) -> Iterable[tuple[int, Encoded | Reason]]:
        def forward(positions: list[int]) -> list[tuple[int, Encoded | Reason]]:
            with memory_told():
                return list(zip(positions, self._forward([tokens[each] for each in positions]), strict=True))

        with withheld():
            return halving(forward, batch, failed=lambda position: (position, Reason.ENCODER_FAILED))

    def _encodes_probe(self) -> bool:
        """After an item failed alone: was it the item, or would every item fail now?"""
        text = self.spec.probe.input if self.spec.probe else "probe"
        outcomes = guarded(lambda: self._forward([self._tokenize(Raw(text.encode()))]))
        return not isinstance(outcomes, Reason) and isinstance(outcomes[0], Encoded)

    def _tokenize(self, item: Raw[bytes]) -> _Tokens:
        text = _checked_text(item.reveal())
        if self.spec.preprocessing.normalisation != "none":
            text = unicodedata.normalize(self.spec.preprocessing.normalisation, text)
        limit = self.spec.preprocessing.max_tokens
        found = self._tokenizer(text, truncation=True, max_length=limit, padding=False).encodings[0]
        if all(found.special_tokens_mask):  # zero-width characters alone, say
            raise Rejected(Reason.EMPTY_TEXT)
        return _Tokens(found.ids, found.type_ids, bool(found.overflowing))

    def _forward(self, batch: list[_Tokens]) -> list[Encoded | Reason]:
        width = max(len(each.ids) for each in batch)
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.tensor([each.ids + [pad] * (width - len(each.ids)) for each in batch])
        types = torch.tensor([each.types + [0] * (width - len(each.types)) for each in batch])
        mask = torch.tensor([[1] * len(each.ids) + [0] * (width - len(each.ids)) for each in batch])
        vectors = self._vectors(ids.to(self._device), types.to(self._device), mask.to(self._device))
        return [
            Encoded(vector, each.truncated) if np.isfinite(vector).all() else Reason.NON_FINITE_EMBEDDING
            for vector, each in zip(vectors, batch, strict=True)
        ]

    def _vectors(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> Any:
        extra = {"token_type_ids": types} if "token_type_ids" in self._tokenizer.model_input_names else {}
        layered = self.spec.layer != -1
        with torch.inference_mode():
            output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=layered, **extra)
            states = output.hidden_states[self.spec.layer] if layered else output.last_hidden_state
            pooled = _pool(states, mask, self.spec.pooling)
            if self.spec.l2_normalise:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
            return pooled.float().cpu().numpy()


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


def _load(spec: EncoderSpec, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
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


def _check_model(spec: EncoderSpec, model: Any, longest: int) -> None:
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
