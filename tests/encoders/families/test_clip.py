"""The towers of CLIP and SigLIP: the library's own vectors, and the space that the towers of a checkpoint share."""

import json
import re
import shutil
import string
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from encoders import catalogue, families
from encoders.batch_encoder import BatchEncoder
from encoders.clip import read_tokenizer
from encoders.encoder import Encoded
from encoders.load import build
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.privacy import Raw, Reason
from tests.tiny_towers import POSITIONS, SIDE, make_spec, write_checkpoint

ARCHITECTURES = ("clip", "siglip")
TEXTS = ["Where is my parcel?", "cat", "two dogs and a bird paid for parking " * 5, "东京", "cat " * 14, "paid ."]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(architecture: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of both towers; do not modify it."""
    return write_checkpoint(tmp_path_factory.mktemp(architecture), architecture)


@pytest.fixture(scope="module")
def library(folder: Path) -> Any:
    """The library's model of both towers."""
    return AutoModel.from_pretrained(folder, local_files_only=True).eval()


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The checkpoint in a folder that the test may modify."""
    return Path(shutil.copytree(folder, tmp_path / "checkpoint"))


def encoder_of(spec: EncoderSpec) -> BatchEncoder[Any]:
    return build(spec, torch.device("cpu"))


def vectors(encoder: BatchEncoder[Any], *contents: bytes) -> Vector:
    outcomes = encoder.encode([Raw(each) for each in contents])
    assert all(isinstance(each, Encoded) for each in outcomes), outcomes
    return np.stack([each.vector for each in outcomes if isinstance(each, Encoded)])


def lowest_cosine(ones: Vector, others: Vector) -> float:
    lengths = np.linalg.norm(ones, axis=1) * np.linalg.norm(others, axis=1)
    return float(((ones * others).sum(1) / lengths).min())


@pytest.mark.parametrize("is_normalised", [True, False])
def test_vectors_of_texts_are_those_of_the_library(
    folder: Path, library: Any, architecture: str, is_normalised: bool
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    padding = {"clip": True, "siglip": "max_length"}[architecture]
    tokens = tokenizer(
        TEXTS, padding=padding, truncation=True, max_length=POSITIONS[architecture], return_tensors="pt",
        return_attention_mask=architecture == "clip", return_token_type_ids=False,
    )  # fmt: skip
    with torch.inference_mode():
        expected = library.get_text_features(**tokens).pooler_output.numpy()

    spec = make_spec(folder, architecture, "text", l2_normalise=is_normalised)
    actual = vectors(encoder_of(spec), *(text.encode() for text in TEXTS))

    assert lowest_cosine(actual, expected) >= 0.99999
    lengths = np.linalg.norm(actual, axis=1)
    np.testing.assert_allclose(lengths, 1 if is_normalised else np.linalg.norm(expected, axis=1), rtol=1e-4)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (50, 40)])
def test_vectors_of_images_are_those_of_the_library(
    folder: Path, library: Any, architecture: str, size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    process = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )  # fmt: skip
    with torch.inference_mode():
        pixels = process(image, return_tensors="pt")["pixel_values"]
        expected = library.get_image_features(pixels).pooler_output.numpy()

    file = BytesIO()
    image.save(file, "PNG")
    actual = vectors(encoder_of(make_spec(folder, architecture, "image")), file.getvalue())

    assert lowest_cosine(actual, expected) >= 0.99999


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(folder: Path, architecture: str) -> None:
    encoder = encoder_of(make_spec(folder, architecture, "text"))
    alone = np.concatenate([vectors(encoder, text.encode()) for text in TEXTS])
    np.testing.assert_allclose(vectors(encoder, *(text.encode() for text in TEXTS)), alone, atol=1e-5)


def test_a_text_that_is_too_long_is_reported_as_truncated(folder: Path, architecture: str) -> None:
    outcomes = encoder_of(make_spec(folder, architecture, "text")).encode([Raw(text.encode()) for text in TEXTS])
    assert [isinstance(each, Encoded) and each.truncated for each in outcomes] == [
        False, False, True, False, False, False,
    ]  # fmt: skip
    assert encoder_of(make_spec(folder, architecture, "text")).encode([Raw(b" ")]) == [Reason.EMPTY_TEXT]


@pytest.mark.parametrize(("modality", "other"), [("image", "text_model"), ("text", "vision_model")])
def test_only_the_tower_that_is_needed_is_in_memory(
    folder: Path, library: Any, architecture: str, modality: str, other: str
) -> None:
    loaded = sum(each.numel() for each in encoder_of(make_spec(folder, architecture, modality)).network.parameters())
    unneeded = sum(each.numel() for name, each in library.named_parameters() if name.startswith(other))
    assert 0 < loaded <= sum(each.numel() for each in library.parameters()) - unneeded


def test_the_towers_of_a_checkpoint_share_a_space(folder: Path, architecture: str, tmp_path: Path) -> None:
    image, text = (seal(make_spec(folder, architecture, modality)) for modality in ("image", "text"))
    moved = shutil.copytree(folder, tmp_path / "moved")
    other = {"name": "other", "version": "2.1.0", "training_domain": "photographs", "tolerance": 1e-3}

    assert image.space == text.space
    assert len({image.fingerprint, text.fingerprint, image.space}) == 3
    assert seal(make_spec(moved, architecture, "image", **other)).space == image.space
    assert seal(make_spec(folder, architecture, "image", preprocessing={"resize": 2 * SIDE})).space == image.space


def test_nothing_else_shares_the_space(
    folder: Path, architecture: str, tmp_path: Path, tiny_sealed: EncoderSpec
) -> None:
    sealed = seal(make_spec(folder, architecture, "image"))
    retrained = write_checkpoint(tmp_path, architecture, seed=8)

    assert seal(make_spec(retrained, architecture, "text")).space != sealed.space
    assert seal(make_spec(folder, architecture, "text", l2_normalise=False)).space != sealed.space
    assert tiny_sealed.space == tiny_sealed.fingerprint


def test_a_space_cannot_be_claimed(folder: Path, architecture: str, tiny_sealed: EncoderSpec) -> None:
    claimed = seal(make_spec(folder, architecture, "image")).space
    with pytest.raises(UserError, match="space"):
        catalogue.parse(tiny_sealed.model_dump(mode="json") | {"space": claimed}, "The encoder spec")
    with pytest.raises(UserError, match="is not sealed, so it has no fingerprint"):
        _ = make_spec(folder, architecture, "image").space


def test_an_architecture_belongs_to_the_family_of_its_modality(architecture: str) -> None:
    found = [families.find(architecture, modality) for modality in ("image", "text")]
    assert [family and family.spec.__name__ for family in found] == ["ClipImageSpec", "ClipTextSpec"]


@pytest.mark.parametrize(
    ("modality", "fields", "message"),
    [
        ("image", {"dimension": 16}, "says dimension 16, but its image tower has 12"),
        ("text", {"dimension": 16}, "says dimension 16, but its text tower has 12"),
        ("image", {"preprocessing": {"crop": 24}}, "says crop 24, but its image tower takes images of 32 pixels"),
        ("text", {"preprocessing": {"max_tokens": 64}}, "says max_tokens 64, but for its text tower it must be"),
    ],
)
def test_a_spec_that_does_not_fit_its_checkpoint_is_refused(
    folder: Path, architecture: str, modality: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        seal(make_spec(folder, architecture, modality, **fields))


def test_only_siglip_needs_all_of_its_positions(folder: Path, architecture: str) -> None:
    spec = make_spec(folder, architecture, "text", preprocessing={"max_tokens": 8})
    if architecture == "clip":
        assert seal(spec).sealed
        return
    with pytest.raises(UserError, match="max_tokens 8, but for its text tower it must be 16, since it reads the last"):
        seal(spec)


def _say_another_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "clip_text_model"}))


def _remove_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_model.final_layer_norm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_say_another_type, "but its config.json says clip_text_model"),
        (_remove_a_tensor, "lack .*final_layer_norm.weight and 0 other tensors"),
    ],
)
def test_a_checkpoint_that_is_not_of_both_towers_is_refused(
    copy: Path, architecture: str, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(copy)
    with pytest.raises(UserError, match=message):
        seal(make_spec(copy, architecture, "text"))


def test_the_tokenizer_of_siglip_makes_texts_plain(tmp_path: Path) -> None:
    """As its Python code in the library does, which reads no tokenizer.json."""
    write_checkpoint(tmp_path, "siglip")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "SiglipTokenizer"}))
    text = f"  Where's MY\n\tparcel{string.punctuation}?? "
    plain = re.sub(r"\s+", " ", text.lower().translate(str.maketrans("", "", string.punctuation))).strip()

    tokenizer = read_tokenizer(tmp_path).backend_tokenizer

    assert tokenizer.normalizer.normalize_str(text) == plain == "wheres my parcel"
    assert tokenizer.encode(text).ids == tokenizer.encode(plain).ids
