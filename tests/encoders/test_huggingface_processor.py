"""What image processors of Hugging Face do, in the fields of a spec: the same pixels, or a reason to refuse."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor

from encoders.huggingface_processor import PROCESSOR_FILES, stated_fields
from encoders.image_spec import ImagePreprocessing, ImageSpec
from encoders.image_transforms import normalise, resize_and_crop
from rawless.errors import UserError

MakeImage = Callable[..., Image.Image]
SQUARE = {"height": 32, "width": 32}
PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "both sides, bilinear": ("ViT", {"size": SQUARE, "resample": 2}),
    "both sides, lanczos": ("ViT", {"size": SQUARE, "resample": 1}),
    "both sides, nearest": ("ViT", {"size": SQUARE, "resample": 0}),
    "both sides and a crop": ("DeiT", {"size": {"height": 35, "width": 35}, "crop_size": SQUARE}),
    "a shorter side and a crop": ("CLIP", {"size": {"shortest_edge": 40}, "crop_size": SQUARE}),
    "a shorter side and an odd crop": (
        "Bit",
        {"size": {"shortest_edge": 38}, "crop_size": {"height": 31, "width": 31}},
    ),
    "a shorter side of which a share is cut": ("ConvNext", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    "another share": ("ConvNext", {"size": {"shortest_edge": 32}, "crop_pct": 0.95}),
    "both sides from 384 on": ("ConvNext", {"size": {"shortest_edge": 384}}),
    "each channel of its own": (
        "Siglip",
        {"size": SQUARE, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 1.0, 2.0]},
    ),
    "another factor": ("Beit", {"size": SQUARE, "rescale_factor": 1 / 127.5}),
    "no factor": ("ViT", {"size": SQUARE, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [64.0] * 3}),
    "no mean": ("ViT", {"size": SQUARE, "do_normalize": False}),
}
SIZES = {"broad": (130, 120), "upright": (61, 88), "small": (20, 31), "a strip": (200, 9)}


def written(folder: Path, name: str) -> Path:
    """Write an image processor, and return its folder."""
    kind, fields = PROCESSORS[name]
    getattr(transformers, f"{kind}ImageProcessor")(**fields).save_pretrained(folder)
    return folder


def asked(folder: Path) -> ImagePreprocessing:
    return ImagePreprocessing.model_validate(
        {"exif_orientation": "apply", "alpha": "white"} | stated_fields("tiny@1.0.0", folder)
    )


def ours(how: ImagePreprocessing, image: Image.Image) -> torch.Tensor:
    return normalise(resize_and_crop(image, how).unsqueeze(0), how)


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_equal_those_of_the_processor_on_pillow(tmp_path: Path, make_image: MakeImage, name: str) -> None:
    folder = written(tmp_path, name)
    how, theirs = asked(folder), AutoImageProcessor.from_pretrained(folder, backend="pil")
    assert theirs.backend == "pil"
    for size in SIZES.values():
        image = make_image(*size)
        expected = theirs(image, return_tensors="pt")["pixel_values"]
        assert float((ours(how, image) - expected).abs().max()) < 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("name", PROCESSORS)
def test_few_pixels_differ_from_those_of_the_processor_on_torch_and_by_one_level_or_two(
    tmp_path: Path, make_image: MakeImage, name: str
) -> None:
    folder = written(tmp_path, name)
    how, theirs = asked(folder), AutoImageProcessor.from_pretrained(folder)
    assert theirs.backend == "torchvision"
    for size in SIZES.values():
        image = make_image(*size)
        apart = (ours(how, image) - theirs(image, return_tensors="pt")["pixel_values"]).abs()
        levels = apart * torch.tensor(how.std)[:, None, None] * 255
        assert float(levels.max()) < 2.01
        assert float((levels > 0.01).float().mean()) < 0.02


def test_dinov3s_processor_differs_by_the_rounding_of_resized_pixels(tmp_path: Path) -> None:
    # It resizes floating-point pixels, and does not round them.
    transformers.DINOv3ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    how = asked(tmp_path)
    with Image.open(BytesIO(ImageSpec.content_of(ImageSpec.built_in_probe()))) as file:
        image = file.convert("RGB")
    expected = AutoImageProcessor.from_pretrained(tmp_path)(image, return_tensors="pt")["pixel_values"]
    levels = (ours(how, image) - expected) * torch.tensor(how.std)[:, None, None] * 255
    assert 0.2 < float(levels.square().mean().sqrt()) < 0.5
    assert float(levels.abs().max()) < 1.5


COMMON = {"do_resize": True, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
OLDER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an extractor": (
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 224},
        {"fit": "exact", "resize": 224, "crop": 224},
    ),
    "an extractor of CLIP": (
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": True},
        {"fit": "shorter", "resize": 224, "crop": 224, "crop_rounding": "down"},
    ),
    "an extractor of ConvNeXt": (
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875},
        {"fit": "shorter", "resize": 256, "crop": 224, "crop_rounding": "down"},
    ),
    "a fast one": (
        {"image_processor_type": "SiglipImageProcessorFast", "size": {"height": 224, "width": 224}},
        {"fit": "exact", "resize": 224, "crop": 224},
    ),
}


@pytest.mark.parametrize("name", OLDER)
def test_files_of_earlier_versions_of_the_library_are_read(tmp_path: Path, name: str) -> None:
    content, sizes = OLDER[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(COMMON | content))
    both = {"interpolation": "bicubic", "antialias": True, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert stated_fields("tiny@1.0.0", tmp_path) == sizes | both


def test_the_file_of_a_processor_of_texts_and_images_is_read(tmp_path: Path) -> None:
    image = COMMON | {"image_processor_type": "SiglipImageProcessor", "size": SQUARE}
    content = {"processor_class": "SiglipProcessor", "image_processor": image}
    (tmp_path / "processor_config.json").write_text(json.dumps(content))
    assert stated_fields("tiny@1.0.0", tmp_path)["resize"] == 32


def test_a_folder_without_an_image_processor_states_nothing(tmp_path: Path) -> None:
    assert stated_fields("tiny@1.0.0", tmp_path) == {}


VIT = COMMON | {"image_processor_type": "ViTImageProcessor", "size": SQUARE}
CLIP = COMMON | {"image_processor_type": "CLIPImageProcessor", "crop_size": SQUARE}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unequal sides": (
        VIT | {"size": {"height": 32, "width": 24}},
        "resizes to other than a square, or one shorter side",
    ),
    "a limit of the longer side": (
        CLIP | {"size": {"shortest_edge": 32, "longest_edge": 50}},
        "resizes to other than a square, or one shorter side",
    ),
    "an unequal crop": (
        CLIP | {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 24}},
        "does not crop to a square",
    ),
    "no crop": (
        CLIP | {"size": {"shortest_edge": 40}, "do_center_crop": False},
        "keeps the aspect ratio and does not crop",
    ),
    "no resizing": (VIT | {"do_resize": False}, "does not resize"),
    "padding": (VIT | {"do_pad": True}, "pads images"),
    "a box": (VIT | {"resample": 4}, "resizes by the method 4 of Pillow"),
    "another kind": (
        VIT | {"image_processor_type": "EfficientNetImageProcessor"},
        "is of the kind EfficientNetImageProcessor",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_spec_cannot_say_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, what = REFUSED[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        stated_fields("tiny@1.0.0", tmp_path)
    assert str(caught.value) == (
        f"tiny@1.0.0 needs an image processor that {what} (preprocessor_config.json), which a spec cannot say: use "
        "another model, or take preprocessor_config.json out of the folder if its images are to be prepared as the "
        "spec says."
    )


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"image_processor_type": "ViTImageProcessor", "resample": "x"}'])
@pytest.mark.parametrize("name", PROCESSOR_FILES)
def test_a_file_that_is_not_an_image_processor_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name} of tiny@1\.0\.0 cannot be read as a Hugging Face image processor \("):
        stated_fields("tiny@1.0.0", tmp_path)
