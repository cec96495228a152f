"""Tiny seeded checkpoints of CLIP and SigLIP on disk, and specs of their towers."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

from encoders import catalogue
from encoders.spec import EncoderSpec
from tests.tiny_text_encoder import LETTERS, WORDS

START, END, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<unk>"
SIDE, DIMENSION = 32, 12
POSITIONS = {"clip": 24, "siglip": 16}
_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


class Towers(NamedTuple):
    """The sealed specs of both towers of a checkpoint, and of a text tower of another checkpoint."""

    image: EncoderSpec
    text: EncoderSpec
    foreign: EncoderSpec


def write_checkpoint(folder: Path, architecture: str, seed: int = 7) -> Path:
    """Write a checkpoint of both towers, its weights drawn from a seed, with a tokenizer, and return the folder."""
    vocabulary = {token: number for number, token in enumerate([UNKNOWN, *WORDS, *LETTERS, START, END])}
    _tokenizer(vocabulary, architecture).save_pretrained(folder)
    text = _SIZES | {
        "vocab_size": len(vocabulary),
        "max_position_embeddings": POSITIONS[architecture],
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
    }
    vision = _SIZES | {"image_size": SIDE, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "clip":
            model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=DIMENSION))
        else:
            sizes = {"hidden_size": DIMENSION, "projection_size": DIMENSION}
            model = SiglipModel(SiglipConfig(text_config=text | sizes, vision_config=vision | sizes))
        for parameter in model.parameters():  # their own small values would hide differences
            torch.nn.init.normal_(parameter, std=0.3)
    model.eval().save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: dict[str, int], architecture: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [(token, vocabulary[token]) for token in (START, END)]
    single = f"{START} $A {END}" if architecture == "clip" else f"$A {END}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    names = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": UNKNOWN}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def make_spec(folder: Path, architecture: str, modality: str, **fields: Any) -> EncoderSpec:
    """Return an unsealed spec of a tower of the checkpoint in a folder; arguments replace fields, nested ones in part.

    The spec is parsed as the file of a user is.
    """
    preprocessing: dict[str, Any] = {
        "tokenizer": {"tokenizer.json": None, "tokenizer_config.json": None},
        "max_tokens": POSITIONS[architecture],
    }
    if modality == "image":
        preprocessing = {
            "exif_orientation": "apply", "alpha": "white", "resize": SIDE, "interpolation": "bicubic",
            "antialias": True, "crop": SIDE, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
        }  # fmt: skip
    whole: dict[str, Any] = {
        "name": f"tiny-{architecture}-{modality}",
        "version": "1.0.0",
        "modality": modality,
        "architecture": architecture,
        "weights": {"source": f"path:{folder}", "files": {"model.safetensors": None, "config.json": None}},
        "preprocessing": preprocessing | fields.pop("preprocessing", {}),
        "l2_normalise": True,
        "dimension": DIMENSION,
        "tolerance": 1e-4,
        "training_domain": "none: its weights are drawn from a seed",
    }
    return catalogue.parse(whole | fields, "The encoder spec")
