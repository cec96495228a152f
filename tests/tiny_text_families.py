"""Tiny seeded text models of many types, on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer

from tests import tiny_text_encoder

_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_ENCODER = _SIZES | {"max_position_embeddings": 66, "pad_token_id": 0}
_DECODER = _SIZES | {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
_DISTILBERT = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
MODELS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "BertModel", _ENCODER),
    "modernbert": (
        "ModernBertConfig",
        "ModernBertModel",
        _ENCODER | {"local_attention": 8, "global_attn_every_n_layers": 2},
    ),
    "mpnet": ("MPNetConfig", "MPNetModel", _ENCODER),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaModel", _ENCODER),
    "distilbert": ("DistilBertConfig", "DistilBertModel", _DISTILBERT),
    "t5": ("T5Config", "T5ForConditionalGeneration", _T5),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", _DECODER),
    "mistral": ("MistralConfig", "MistralModel", _DECODER),
    "gemma3_text": ("Gemma3TextConfig", "Gemma3TextModel", _DECODER | {"sliding_window": 8}),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _DECODER),
    "gpt2": ("GPT2Config", "GPT2Model", _GPT2),
}
"""For each model type the classes of its configuration and of the model that is saved, and the sizes."""


def write_model(folder: Path, architecture: str, padding: str = "right") -> Path:
    """Write a model of two layers with 16 dimensions, its weights drawn from a fixed seed, and return the folder."""
    tiny_text_encoder.write_model(folder)
    set_padding(folder, padding)
    config_class, model_class, sizes = MODELS[architecture]
    config = getattr(transformers, config_class)(vocab_size=len(AutoTokenizer.from_pretrained(folder)), **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = getattr(transformers, model_class)(config).eval()
        for tensor in model.parameters():
            if tensor.dim() > 1:  # larger than initial values, so that a wrong computation is visible
                torch.nn.init.normal_(tensor, std=0.4)
    model.save_pretrained(folder)
    return folder


def set_padding(folder: Path, padding: str) -> None:
    """Let the tokenizer of a folder pad on a side."""
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding_side": padding}))
