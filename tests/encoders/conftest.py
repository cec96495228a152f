"""A tiny seeded BERT on disk, for everything that the real MiniLM is too slow or too fixed for."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from encoders.seal import seal
from encoders.spec import EncoderSpec
from encoders.text import TextEncoder
from encoders.text_spec import TextSpec

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["where", "is", "my", "parcel", "paid", "for", "two", "cat", "dog", "bird", "##ing", "?", "."]
LETTERS = [letter for each in "abcdefghijklmnopqrstuvwxyz0123456789" for letter in (each, f"##{each}")]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with 16 dimensions, its weights drawn from a fixed seed; not to be changed in place."""
    folder = tmp_path_factory.mktemp("tiny")
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


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny encoder's files in a folder of the test's own."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def tiny_spec(tiny_folder: Path) -> Callable[..., EncoderSpec]:
    """Makes unsealed specs of the tiny encoder; any field can be said otherwise."""

    def make(folder: Path = tiny_folder, **fields: Any) -> EncoderSpec:
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
        return TextSpec.model_validate(whole | fields)

    return make


@pytest.fixture(scope="session")
def tiny_sealed(tiny_spec: Callable[..., EncoderSpec]) -> EncoderSpec:
    """The tiny encoder's spec, sealed."""
    return seal(tiny_spec())


@pytest.fixture
def tiny_encoder(tiny_sealed: EncoderSpec) -> TextEncoder:
    """A tiny encoder of the test's own, so that the test may break it."""
    return TextEncoder(tiny_sealed, torch.device("cpu"))
