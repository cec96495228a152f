"""Models of which a spec cannot say everything are refused by name, and limits that a model does not take."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLNetConfig,
    XLNetModel,
)

from encoders.encoder import Encoded
from encoders.load import build
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.privacy import Raw

MakeSpec = Callable[..., EncoderSpec]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file, which may be absent."""
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


def replaced(folder: Path, model: PreTrainedModel) -> str:
    """Replace the model of a folder, and return its type."""
    model.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    return str(model.config.model_type)


@pytest.mark.parametrize("family", [(RobertaConfig, RobertaModel), (MPNetConfig, MPNetModel)], ids=["roberta", "mpnet"])
def test_positions_that_a_model_reserves_are_not_for_tokens(
    tiny_copy: Path, tiny_spec: MakeSpec, family: tuple[Any, Any]
) -> None:
    config, model = family
    vocabulary = len(AutoTokenizer.from_pretrained(tiny_copy))
    architecture = replaced(
        tiny_copy, model(config(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, **SIZES))
    )
    for limit in (65, 66):
        message = re.escape(f"tiny@1.0.0 says max_tokens {limit}, but its model has positions for 64: lower it.")
        with pytest.raises(UserError, match=message):
            seal(tiny_spec(folder=tiny_copy, architecture=architecture, preprocessing={"max_tokens": limit}))
    sealed = seal(tiny_spec(folder=tiny_copy, architecture=architecture, preprocessing={"max_tokens": 64}))
    (outcome,) = build(sealed, torch.device("cpu")).encode([Raw(b"cat " * 200)])
    assert isinstance(outcome, Encoded)
    assert outcome.truncated


def test_sealing_tries_a_text_of_full_length(
    tiny_copy: Path, tiny_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As of a model whose configuration says nothing about its positions; the probe alone is short enough.
    monkeypatch.setattr("encoders.families.huggingface_text.positions", lambda *_: 10_000)
    BertModel(BertConfig.from_pretrained(tiny_copy, max_position_embeddings=256)).save_pretrained(tiny_copy)
    with pytest.raises(UserError, match="none for an item of the largest size: lower max_tokens"):
        seal(tiny_spec(folder=tiny_copy, preprocessing={"max_tokens": 257}))


def refusal(spec: EncoderSpec) -> str:
    with pytest.raises(UserError) as caught:
        seal(spec)
    (line,) = str(caught.value).splitlines()
    return line


def test_a_model_with_a_decoder_is_refused_by_name(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    edit(tiny_copy / "config.json", is_encoder_decoder=True, model_type="bart")
    message = refusal(tiny_spec(folder=tiny_copy, architecture="bart"))
    assert message.startswith(
        "tiny@1.0.0 is of the model type bart, which has an encoder and a decoder: use an encoder"
    )


def test_xlnet_is_refused_by_name(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    architecture = replaced(
        tiny_copy, XLNetModel(XLNetConfig(vocab_size=90, d_model=16, n_layer=1, n_head=2, d_inner=16))
    )
    message = refusal(tiny_spec(folder=tiny_copy, architecture=architecture))
    assert message.startswith("tiny@1.0.0 is of the model type xlnet, which is not supported: use an encoder")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_of_its_own_is_refused(tiny_copy: Path, tiny_spec: MakeSpec, name: str) -> None:
    edit(tiny_copy / name, auto_map={"AutoModel": "modeling_tiny.TinyModel"})
    assert refusal(tiny_spec(folder=tiny_copy)) == (
        f"tiny@1.0.0 needs code of its own (auto_map in {name}), which is never run: use a model that the library "
        "transformers contains."
    )


def test_a_sentencepiece_tokenizer_without_its_fast_form_is_refused(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    (tiny_copy / "tokenizer.json").unlink()
    (tiny_copy / "spiece.model").write_bytes(b"\x0a\x05")
    tokenizer = {"spiece.model": None, "tokenizer_config.json": None}
    message = refusal(tiny_spec(folder=tiny_copy, preprocessing={"tokenizer": tokenizer}))
    assert message.startswith("tiny@1.0.0 has the tokenizer spiece.model without tokenizer.json: convert it once")


def modules(*kinds: str) -> str:
    return json.dumps([{"idx": at, "name": str(at), "path": "", "type": kind} for at, kind in enumerate(kinds)])


PLAIN = [f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Normalize")]
OTHER_VECTORS = {
    "dense": ("modules.json", modules(*PLAIN, "sentence_transformers.models.Dense"), "modules Dense"),
    "newer-dense": (
        "modules.json",
        modules("sentence_transformers.sentence_transformer.modules.dense.Dense"),
        "modules Dense",
    ),
    "own": ("modules.json", modules(PLAIN[0], "custom_module.Weighted"), "module Weighted"),
    "prompt": (
        "config_sentence_transformers.json",
        json.dumps({"prompts": {"query": "query: "}, "default_prompt_name": "query"}),
        "set preprocessing.prompts.document to 'query: '",
    ),
    "lower-case": ("sentence_bert_config.json", json.dumps({"do_lower_case": True}), "lower-cases texts"),
}


@pytest.mark.parametrize("name", sorted(OTHER_VECTORS))
def test_what_sentence_transformers_would_add_is_refused_by_name(
    tiny_copy: Path, tiny_spec: MakeSpec, name: str
) -> None:
    file, content, words = OTHER_VECTORS[name]
    (tiny_copy / file).write_text(content)
    assert words in refusal(tiny_spec(folder=tiny_copy))


def test_what_a_spec_says_itself_is_taken(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    (tiny_copy / "modules.json").write_text(modules(*PLAIN))
    prompts = {"prompts": {"query": "is: ", "document": ""}, "default_prompt_name": None}
    (tiny_copy / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    spec = tiny_spec(folder=tiny_copy, preprocessing={"prompts": {"query": "is: "}})
    assert BertModel.from_pretrained(tiny_copy).config.hidden_size == seal(spec).dimension


def test_what_sentence_transformers_would_add_later_does_not_stop_a_sealed_encoder(
    tiny_copy: Path, tiny_spec: MakeSpec
) -> None:
    sealed = seal(tiny_spec(folder=tiny_copy, l2_normalise=False))
    (tiny_copy / "modules.json").write_text(modules(*PLAIN))
    (tiny_copy / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "is: "}}))
    assert build(sealed, torch.device("cpu")).spec.sealed
