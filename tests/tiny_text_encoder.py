"""A tiny seeded BERT on disk, for tests that need a text encoder and not the vectors of a real one."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.spec import EncoderSpec

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["where", "is", "my", "parcel", "paid", "for", "two", "cat", "dog", "bird", "##ing", "?", "."]
LETTERS = [letter for each in "abcdefghijklmnopqrstuvwxyz0123456789" for letter in (each, f"##{each}")]


def write_model(folder: Path) -> Path:
    """Write a BERT of two layers with 16 dimensions, its weights drawn from a fixed seed, and return the folder."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *WORDS, *LETTERS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = {f"{each.strip('[]').lower()}_token": each for each in SPECIAL}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.5, **sizes)
        BertModel(config).eval().save_pretrained(folder, safe_serialization=True)
    return folder


def make_spec(folder: Path, **fields: Any) -> EncoderSpec:
    """Return an unsealed spec of the encoder in a folder; arguments replace fields."""
    tokenizer = {"tokenizer.json": None, "tokenizer_config.json": None}
    preprocessing = {"tokenizer": tokenizer, "max_tokens": 16} | fields.pop("preprocessing", {})
    source = fields.pop("source", f"path:{folder}")
    whole: dict[str, Any] = {
        "name": "tiny",
        "version": "1.0.0",
        "modality": "text",
        "architecture": "bert",
        "weights": {"source": source, "files": {"model.safetensors": None, "config.json": None}},
        "preprocessing": preprocessing,
        "pooling": "mean",
        "l2_normalise": True,
        "dimension": 16,
        "tolerance": 1e-5,
        "training_domain": "none: its weights are drawn from a seed",
    }
    return HuggingFaceTextSpec.model_validate(whole | fields)
