"""Finding specs by name and by path."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders import weights
from encoders.catalogue import FOLDER, lookup, refs
from encoders.encoder import Encoded
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import load
from encoders.probe import deviation
from encoders.seal import seal
from rawless.errors import UserError
from rawless.privacy import Raw


@pytest.mark.parametrize("ref", refs())
def test_every_spec_of_the_catalogue_is_valid_and_named_as_its_file(ref: str) -> None:
    assert lookup(ref).ref == ref


def test_minilm_is_in_the_catalogue_and_sealed() -> None:
    assert "minilm@1.0.0" in refs()
    assert lookup("minilm@1.0.0").sealed


def test_resnet18_seeded_is_sealed_and_reproduces_its_probe_here() -> None:
    spec = lookup("resnet18-seeded@1.0.0")
    assert spec.sealed
    encoder = load(spec, "cpu")
    assert deviation(encoder) <= spec.tolerance
    assert spec.probe_input == spec.built_in_probe()


UNSEALED = ["resnet18@1.0.0", "resnet50@1.0.0"]


@pytest.mark.parametrize("ref", UNSEALED)
def test_an_encoder_whose_weights_were_not_available_is_unsealed_and_does_not_load(ref: str) -> None:
    spec = lookup(ref)
    assert not spec.sealed
    with pytest.raises(UserError, match=f"{ref} is not sealed: run `rawless encoder register {ref}`") as caught:
        load(spec, "cpu")
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def placed(
    plain_resnet: Callable[[str], Any], no_weights_here: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Writes a seeded checkpoint as the file of an unsealed spec; its head of ten classes is not read."""
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(no_weights_here))

    def put(ref: str) -> Path:
        spec = lookup(ref)
        assert isinstance(spec, TorchvisionSpec)
        path = no_weights_here / "torchvision" / spec.weights.file
        path.parent.mkdir()
        torch.save(plain_resnet(spec.architecture).state_dict(), path)
        return path

    return put


@pytest.mark.parametrize("ref", [UNSEALED[0], pytest.param(UNSEALED[1], marks=pytest.mark.full)])
def test_an_unsealed_encoder_can_be_sealed_once_its_weights_are_available(
    ref: str, placed: Callable[[str], Path]
) -> None:
    path = placed(ref)
    sealed = seal(lookup(ref))
    assert sealed.sealed
    assert sealed.files == {path.name: weights.digest(path)}
    (outcome,) = load(sealed, "cpu").encode([Raw(sealed.content_of(sealed.probe_input))])
    assert isinstance(outcome, Encoded)
    assert outcome.vector.shape == (lookup(ref).dimension,)
    assert sealed.probe is not None
    assert float(abs(outcome.vector - sealed.probe.values).max()) <= sealed.tolerance
    path.unlink()


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_weights_that_are_corrupted_after_sealing_are_refused(position: float, placed: Callable[[str], Path]) -> None:
    path = placed("resnet18@1.0.0")
    # Another version for each case, since a loaded encoder is cached.
    sealed = seal(lookup("resnet18@1.0.0").model_copy(update={"version": f"1.0.{round(position * 10)}"}))
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path.name} is not the file that {sealed.ref} names: its sha256 is"):
        load(sealed, "cpu")
    with pytest.raises(UserError, match="is not the file"):
        seal(sealed)
    path.unlink()


@pytest.mark.parametrize(("ref", "kind"), [("minilm@1.0.0", HuggingFaceTextSpec), ("resnet50@1.0.0", TorchvisionSpec)])
def test_a_spec_has_the_spec_class_of_its_architecture(ref: str, kind: type) -> None:
    assert type(lookup(ref)) is kind


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "modality: image",
            "modality: audio",
            "modality is 'audio', but the rule is: Input should be 'text', 'image' or 'parts'",
        ),
        (
            "modality: image",
            "modality: [image]",
            "modality is ['image'], but the rule is: Input should be 'text', 'image' or 'parts'",
        ),
        ("modality: image\n", "", "modality is missing"),
        ("architecture: resnet18\n", "", "architecture is missing"),
        ("architecture: resnet18", "architecture: [resnet18]", "architecture is ['resnet18']"),
        (
            "architecture: resnet18",
            "architecture: resnet19",
            "architecture is 'resnet19', but the rule is: one of ",
        ),
        ("modality: image", "modality: text", "modality is 'text', but the rule is: Input should be 'image'"),
        ("crop: 224", "crop: 300", "crop is 300, but may be at most resize, 256"),
        ("pooling: average", "pooling: mean", "pooling is 'mean'"),
        ("resnet18-f37072fd.pth: null", "resnet18.bin: null", "name exactly one file"),
    ],
)
def test_an_image_spec_that_breaks_a_rule_names_field_and_value(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    text = (FOLDER / "resnet18@1.0.0.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        lookup(str(path))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_spec_of_a_user_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shutil.copy(FOLDER / "minilm@1.0.0.yaml", path)
    assert lookup(str(path)) == lookup("minilm@1.0.0")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a shipped spec with changed text into the folder that RAWLESS_SPECS names."""
    monkeypatch.setenv("RAWLESS_SPECS", str(tmp_path))

    def put(shipped: str, named: str, **changed: str) -> Path:
        text = (FOLDER / f"{shipped}.yaml").read_text(encoding="utf-8")
        for before, after in changed.items():
            assert re.search(rf"(?m)^ *{before}: ", text)
            text = re.sub(rf"(?m)^( *{before}: ).*$", rf"\g<1>{after}", text)
        path = tmp_path / f"{named}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def test_a_spec_in_the_folder_of_the_user_is_found_by_its_name(own: Callable[..., Path]) -> None:
    path = own("minilm@1.0.0", "our-texts@2.0.0", name="our-texts", version="2.0.0")

    assert lookup("our-texts@2.0.0") == lookup(str(path))
    assert {"our-texts@2.0.0", "minilm@1.0.0"} <= set(refs())
    with pytest.raises(UserError, match=r"'our-texts' needs its version, as in our-texts@2\.0\.0"):
        lookup("our-texts")


def test_the_folder_of_the_user_completes_an_unsealed_spec_of_the_catalogue(
    own: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own("resnet18@1.0.0", "resnet18@1.0.0", **{r"resnet18-f37072fd\.pth": "ab" * 32})

    assert lookup("resnet18@1.0.0").files == {"resnet18-f37072fd.pth": "ab" * 32}
    monkeypatch.delenv("RAWLESS_SPECS")
    assert lookup("resnet18@1.0.0").files == {"resnet18-f37072fd.pth": None}


@pytest.mark.parametrize("shipped", ["minilm@1.0.0", "resnet18@1.0.0"])
def test_a_spec_of_the_user_does_not_replace_one_of_the_catalogue(shipped: str, own: Callable[..., Path]) -> None:
    own(shipped, shipped, training_domain="something else")

    with pytest.raises(UserError, match=f"is another encoder than {shipped} of the catalogue: give it another name"):
        lookup(shipped)


def test_a_spec_in_the_folder_of_the_user_is_named_as_its_file(own: Callable[..., Path]) -> None:
    own("minilm@1.0.0", "our-texts@1.0.0")

    with pytest.raises(UserError, match=r"our-texts@1.0.0.yaml is of minilm@1.0.0: name its file minilm@1.0.0.yaml"):
        lookup("our-texts@1.0.0")


def test_a_folder_of_specs_that_is_missing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_SPECS", str(tmp_path / "missing"))

    with pytest.raises(UserError, match=r"RAWLESS_SPECS names .*missing, which is no folder"):
        lookup("minilm@1.0.0")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("nope@1.0.0", r"'nope@1\.0\.0' is unknown: use one of .*minilm@1\.0\.0"),
        ("minlm", r"'minlm' is unknown \(did you mean minilm@1\.0\.0\?\)"),
        ("minilm@2.0.0", r"\(did you mean minilm@1\.0\.0\?\)"),
        ("minilm", r"'minilm' needs its version, as in minilm@1\.0\.0"),
        ("minilm@9.9.9", r"minilm@9\.9\.9.*minilm@1\.0\.0"),
        ("../specs/minilm@1.0.0", "unknown"),
        ("", "unknown"),
        ("nowhere.yaml", r"nowhere\.yaml does not exist"),
    ],
)
def test_an_unknown_encoder_is_reported_in_one_sentence(ref: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        lookup(ref)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "must be a mapping"),
        ("name: [", "not valid YAML at line"),
        ("name: a\nname: b\n", "'name' is repeated"),
        ("name: minilm\n", "is missing"),
    ],
)
def test_a_malformed_spec_file_is_reported_in_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        lookup(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("pooling: mean", "pooling: last", "pooling is 'last'"),
        ("dimension: 384", "dimension: 385", "384 values, but dimension is 385"),
        ("layer: -1", "layers: -1", "layers is unknown"),
        ("tolerance: 1.0e-5", "tolerance: 1", "tolerance is 1"),
    ],
)
def test_a_spec_that_breaks_a_rule_names_field_and_value(before: str, after: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / "minilm@1.0.0.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        lookup(str(path))
