"""A folder that sentence-transformers or transformers saved becomes the sealed spec of an encoder with its vectors."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi

from encoders.catalogue import lookup
from encoders.encoder import Encoded
from encoders.importing.importer import Imported, import_encoder
from encoders.importing.options import ImportOptions
from encoders.importing.spec_file import render
from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.privacy import Raw

TEXTS = ["Where is my parcel?", "paid for two", "dog. " * 60, "cat bird"]
CARD = """---
license: cc-by-nc-4.0
datasets:
- shop/reviews
- shop/chats
model-index:
- name: benchmark of *every* kind & more
---
# A model
Write "query: " before each. `"matryoshka_dims": [16, 8, 4]`
"""


@pytest.fixture(scope="session")
def saved(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as sentence-transformers saves it; do not modify it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = tmp_path_factory.mktemp("saved")
    modules = [Transformer(str(tiny_folder), max_seq_length=24), Pooling(16, "max"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may modify."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file, which may be absent."""
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


def imported(folder: Path, **options: Any) -> Imported:
    return import_encoder(str(folder), "mine@1.0.0", ImportOptions(**options))


def vectors(spec: EncoderSpec, texts: list[str] = TEXTS) -> Any:
    outcomes = build(spec, torch.device("cpu")).encode([Raw(text.encode()) for text in texts])
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)])


def theirs(folder: Path) -> Any:
    """The vectors of sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(TEXTS)


def said(result: Imported, field: str) -> tuple[Any, str]:
    return result.decisions.made[field].value, result.decisions.made[field].origin


def unmet(result: Imported) -> str:
    return " | ".join(f"{each.file}: {each.what}" for each in result.decisions.unmet)


def test_a_model_of_sentence_transformers_gives_its_vectors(saved: Path) -> None:
    result = imported(saved)

    assert result.spec.sealed
    assert said(result, "pooling") == ("max", "1_Pooling/config.json")
    assert said(result, "l2_normalise") == (True, "modules.json")
    assert said(result, "dimension") == (16, "config.json")
    assert said(result, "preprocessing.max_tokens")[0] == 24
    np.testing.assert_allclose(vectors(result.spec), theirs(saved), atol=1e-6)


def test_the_file_is_the_spec_and_says_where_each_value_came_from(saved: Path, tmp_path: Path) -> None:
    result = imported(saved, training_domain="texts: of #1 'shops'\n")
    text = render(result.spec, result.decisions, "a folder\nname: other")
    (tmp_path / "mine.yaml").write_text(text)

    assert lookup(str(tmp_path / "mine.yaml")) == result.spec
    assert "pooling: max  # 1_Pooling/config.json\n" in text
    assert "layer: -1  # by default\n" in text


def test_a_plain_model_gets_the_defaults_of_sentence_transformers(tiny_folder: Path) -> None:
    result = imported(tiny_folder)

    assert (said(result, "pooling"), said(result, "l2_normalise")) == (("mean", "default"), (False, "default"))
    assert said(result, "preprocessing.max_tokens") == (64, "config.json")
    np.testing.assert_allclose(vectors(result.spec), theirs(tiny_folder), atol=1e-5)


def test_options_decide_what_files_do_not(saved: Path) -> None:
    result = imported(saved, pooling="cls", layer=1, max_tokens=12, training_domain="chats", precision="fp32")

    assert {said(result, field) for field in ("pooling", "layer", "training_domain", "precision")} == {
        ("cls", "--pooling"),
        (1, "--layer"),
        ("chats", "--training-domain"),
        ("fp32", "--precision"),
    }
    assert "1_Pooling/config.json: It asks for the pooling max, against which --pooling was given." in unmet(result)


def test_minilm_from_the_folder_of_its_package_is_the_shipped_encoder(minilm: Any) -> None:
    spec = lookup("minilm@1.0.0")
    result = import_encoder("hf:sentence-transformers/all-MiniLM-L6-v2", "mine@1.0.0", ImportOptions())

    assert result.spec.probe == spec.probe
    names = {"name", "training_domain"}
    assert result.spec.model_dump(exclude=names) == spec.model_dump(exclude=names)
    assert "README.md: Its licence is apache-2.0" in unmet(result)


def test_what_the_card_says_is_reported(folder: Path) -> None:
    (folder / "README.md").write_text(CARD)
    result = imported(folder)

    assert said(result, "training_domain") == ("the data sets shop/reviews, shop/chats", "README.md")
    for words in ("licence is cc-by-nc-4.0", "cut to 16, 8, 4 values", "quotes the prompts 'query: '"):
        assert words in unmet(result)


def test_a_limit_beyond_the_positions_is_lowered(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", model_max_length=10**30)
    edit(folder / "sentence_bert_config.json", max_seq_length=128)
    result = imported(folder)

    assert said(result, "preprocessing.max_tokens") == (64, "sentence_bert_config.json")
    assert "It asks for 128 tokens, but there are positions for 64" in unmet(result)


def shard(folder: Path) -> None:
    """Save the weights in several files, as large models have them."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="5KB")


def test_weights_in_several_files_are_taken_by_their_index(folder: Path, saved: Path) -> None:
    shard(folder)
    result = imported(folder)

    assert len(result.spec.weights.files) > 3
    assert all(result.spec.weights.files.values())
    np.testing.assert_array_equal(vectors(result.spec), vectors(imported(saved).spec))
    next(folder.glob("model-00002-*")).unlink()
    assert "model-00002-of-" in refusal(folder)


def refusal(folder: Path | str, ref: str = "mine@1.0.0", **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        import_encoder(str(folder), ref, ImportOptions(**options))
    (line,) = str(caught.value).splitlines()
    return line


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_module(kind: str, path: str = "") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps([*modules, {"idx": 9, "path": path, "type": kind}]))

    return change


def with_fields(file: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / file, **changes)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (without("config.json"), "has no config.json"),
    "broken config": (lambda folder: (folder / "config.json").write_text("{") and None, "cannot be read as JSON"),
    "pickle": (as_pickle, "has pytorch_model.bin and no model.safetensors, but a pickle can run code: convert it once"),
    "no weights": (without("model.safetensors"), "has no model.safetensors: copy the weights there"),
    "own code": (with_fields("config.json", auto_map={"AutoModel": "own.Model"}), "needs code of its own (auto_map"),
    "own module": (with_module("own.Module"), "code of its own, which is never run"),
    "unknown module": (with_module("sentence_transformers.models.LSTM"), "has the module LSTM (modules.json)"),
    "module elsewhere": (with_module("sentence_transformers.models.Dense", "../x"), "a folder that is not beside it"),
    "unknown type": (with_fields("config.json", model_type="not-a-model"), "model type 'not-a-model' (config.json)"),
    "wrong config": (with_fields("config.json", hidden_size="x"), "config.json of"),
    "adapter": (with_fields("adapter_config.json", r=8), "is an adapter of another model"),
    "quantised": (with_fields("config.json", quantization_config={"bits": 4}), "has quantised weights"),
    "no fast tokenizer": (without("tokenizer.json"), "has a tokenizer without tokenizer.json: convert it once"),
    "no tokenizer": (without("tokenizer.json", "tokenizer_config.json"), "has no tokenizer"),
    "lower case": (with_fields("sentence_bert_config.json", do_lower_case=True), "lower-cases texts"),
    "two poolings": (with_fields("1_Pooling/config.json", pooling_mode=["cls", "mean"]), "has the pooling 'cls, mean'"),
    "prompt not pooled": (with_fields("1_Pooling/config.json", include_prompt=False), "leaves the prompt out"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_folder_that_cannot_be_an_encoder_is_refused(
    folder: Path, change: Callable[[Path], None], words: str
) -> None:
    change(folder)

    assert words in refusal(folder)


def test_mistakes_in_the_arguments_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAWLESS_HUB", raising=False)
    assert "there is no such folder" in refusal("/nowhere/at/all")
    assert "RAWLESS_HUB=1 to allow the download" in refusal("hf:nobody/nothing")
    assert "a repository of the hub is hf:OWNER/NAME" in refusal("hf:nothing")
    for ref in ("mine", "Mine@1.0.0", "mine@1.0", "../mine@1.0.0"):
        assert "the rule is: NAME@VERSION" in refusal(saved, ref=ref)
    assert "--dimension is 17, but the vectors" in refusal(saved, dimension=17)
    assert "pooling is 'middle'" in refusal(saved, pooling="middle")
    assert "--modality is image, but bert is a model of texts" in refusal(saved, modality="image")


def test_where_the_hub_is_allowed_the_files_that_matter_are_downloaded(
    saved: Path, no_weights_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    useful = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    asked = on_the_hub(monkeypatch, saved, {*useful, "pytorch_model.bin", "onnx/model.onnx", "run.py"})
    result = import_encoder("hf:nobody/nothing", "mine@1.0.0", ImportOptions())

    assert set(asked) == useful
    assert (result.spec.weights.source, result.spec.sealed) == ("hf:nobody/nothing", True)


def on_the_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, names: Iterable[str], size: int = 1) -> list[str]:
    """Put a folder on the hub under any name, and return the list to which downloads add what they ask for first."""
    asked: list[str] = []

    def download(repository: str, allow_patterns: list[str]) -> str:
        asked.extend([] if asked else allow_patterns)
        return str(folder)

    files = [SimpleNamespace(rfilename=name, size=size) for name in names]
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=files))
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setenv("RAWLESS_HUB", "1")
    return asked


def test_a_download_that_does_not_fit_on_the_disk_is_refused(
    no_weights_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_hub(monkeypatch, no_weights_here, ("config.json", "model.safetensors"), size=1 << 60)

    assert "takes 2305843009.2 GB, but" in refusal("hf:nobody/nothing")
    on_the_hub(monkeypatch, no_weights_here, ("config.json", "pytorch_model.bin"))
    assert "has no .safetensors weights, and pickles can run code" in refusal("hf:nobody/nothing")
