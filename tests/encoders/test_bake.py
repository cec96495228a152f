"""Baking: which files it copies below RAWLESS_WEIGHTS, and what it refuses."""

import shutil
from pathlib import Path

import pytest

from encoders import weights
from encoders.bake import bake, bake_into
from encoders.catalogue import lookup
from rawless.errors import UserError


def test_baked_files_are_found_without_package_and_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = lookup("minilm@1.0.0")

    (folder,) = bake(spec, tmp_path)

    monkeypatch.setattr("encoders.weight_sources.hugging_face._PACKAGES", {})
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))
    assert weights.find(spec) == folder == tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2"
    assert sorted(path.name for path in folder.iterdir()) == sorted(spec.files)


def test_baking_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))
    spec = lookup("minilm@1.0.0")

    assert bake(spec, tmp_path) == bake(spec, tmp_path)


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, given = lookup("minilm@1.0.0"), tmp_path / "given"
    shutil.copytree(weights.find(spec), given / spec.weights.location)
    (given / spec.weights.location / "config.json").write_text("{}")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(given))

    with pytest.raises(UserError, match=r"config.json is not the file that minilm@1.0.0 names"):
        bake(spec, tmp_path / "image")


def test_an_unsealed_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"resnet50@1.0.0 is not sealed, .* `rawless encoder seal resnet50@1.0.0`"):
        bake(lookup("resnet50@1.0.0"), tmp_path)


def test_weights_drawn_from_a_seed_need_no_file(tmp_path: Path) -> None:
    assert bake(lookup("resnet18-seeded@1.0.0"), tmp_path) == ()
    assert not list(tmp_path.iterdir())


def test_a_folder_for_an_image_gets_the_spec_beside_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = lookup("minilm@1.0.0")

    folders = bake_into(spec, tmp_path)

    assert folders == (tmp_path / "weights" / "sentence-transformers" / "all-MiniLM-L6-v2",)
    assert lookup(str(tmp_path / "specs" / "minilm@1.0.0.yaml")) == spec
    assert sorted(path.name for path in tmp_path.iterdir()) == ["specs", "weights"]
    monkeypatch.setenv("RAWLESS_SPECS", str(tmp_path / "specs"))
    assert lookup("minilm@1.0.0") == spec
