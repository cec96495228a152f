"""Image transforms equal those of torchvision exactly."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import get_model_weights, get_weight
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import pil_to_tensor, resize

from encoders.catalogue import lookup, refs
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_spec import ImagePreprocessing
from encoders.image_transforms import normalise, resize_and_crop
from encoders.resizing import resized_size

MakeImage = Callable[..., Image.Image]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = {
    "landscape": (320, 201),
    "portrait": (123, 310),
    "odd and larger": (457, 301),
    "odd and smaller than the crop": (101, 73),
    "square": (300, 300),
    "exactly resized": (256, 256),
    "one more than resized": (257, 256),
    "as large as the crop": (224, 224),
    "a strip": (900, 40),
    "three pixels": (3, 1),
    "one pixel": (1, 1),
}
SIDES = {"usual": (256, 224), "rounded halves": (75, 64), "odd crop": (64, 37), "no crop": (50, 50), "one": (9, 1)}


def preprocessing(**fields: Any) -> ImagePreprocessing:
    whole = {"exif_orientation": "apply", "alpha": "white", "resize": 256, "crop": 224, "mean": MEAN, "std": STD}
    return ImagePreprocessing.model_validate(whole | {"interpolation": "bilinear", "antialias": True} | fields)


def reference(image: Image.Image, how: ImagePreprocessing) -> torch.Tensor:
    """Return the result of torchvision: of the image where Pillow resizes, of its tensor where torch does."""
    transforms = ImageClassification(
        crop_size=how.crop,
        resize_size=how.resize,
        mean=how.mean,
        std=how.std,
        interpolation=InterpolationMode(how.interpolation),
        antialias=how.antialias,
    )
    return transforms(image if how.antialias else pil_to_tensor(image))


def transformed(image: Image.Image, how: ImagePreprocessing) -> torch.Tensor:
    return normalise(resize_and_crop(image, how).unsqueeze(0), how)[0]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("antialias", [True, False], ids=["antialias", "no antialias"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_pixels_equal_those_of_torchvision_exactly(
    make_image: MakeImage, interpolation: str, antialias: bool, size: tuple[int, int]
) -> None:
    how = preprocessing(interpolation=interpolation, antialias=antialias)
    image = make_image(*size)
    assert torch.equal(transformed(image, how), reference(image, how))


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("antialias", [True, False], ids=["antialias", "no antialias"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_any_resize_and_crop_equal_those_of_torchvision(
    make_image: MakeImage, interpolation: str, antialias: bool, sides: tuple[int, int]
) -> None:
    how = preprocessing(interpolation=interpolation, antialias=antialias, resize=sides[0], crop=sides[1])
    for image in (make_image(130, 97), make_image(61, 88)):
        found = transformed(image, how)
        assert found.shape == (3, sides[1], sides[1])
        assert torch.equal(found, reference(image, how))


def test_each_combination_of_interpolation_and_antialias_produces_different_pixels(make_image: MakeImage) -> None:
    # Else the comparisons above could pass with a field that does nothing.
    image = make_image(320, 201)
    outputs = [
        resize_and_crop(image, preprocessing(interpolation=interpolation, antialias=antialias)).numpy().tobytes()
        for interpolation in ("nearest", "bilinear", "bicubic")
        for antialias in (True, False)
    ]
    assert len(set(outputs)) == 6


def test_mean_and_deviation_are_taken_from_the_spec_channel_by_channel(make_image: MakeImage) -> None:
    how = preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    image = make_image(256, 256)
    cut = pil_to_tensor(image)[:, 16:240, 16:240].double() / 255
    expected = (cut - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.25, 2.0])[:, None, None]
    found = transformed(image, how)
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max()) < 1e-6
    assert torch.equal(found, reference(image, how))


def test_a_batch_is_normalised_as_each_image_alone(make_image: MakeImage) -> None:
    how = preprocessing()
    images = [make_image(300, 260, seed) for seed in range(3)]
    together = normalise(torch.stack([resize_and_crop(each, how) for each in images]), how)
    for position, image in enumerate(images):
        assert torch.equal(together[position], transformed(image, how))


def test_cropping_does_not_change_the_image_in_place(make_image: MakeImage) -> None:
    image = make_image(300, 260)
    before = image.tobytes()
    for antialias in (True, False):
        resize_and_crop(image, preprocessing(antialias=antialias))
    assert image.tobytes() == before


ENUMS = [
    weights
    for architecture in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    for weights in get_model_weights(architecture)
]


@pytest.mark.parametrize("weights", ENUMS, ids=str)
def test_the_transforms_of_every_resnet_of_torchvision_can_be_specified(make_image: MakeImage, weights: Any) -> None:
    theirs = weights.transforms()
    how = preprocessing(
        resize=theirs.resize_size[0],
        crop=theirs.crop_size[0],
        mean=theirs.mean,
        std=theirs.std,
        interpolation=theirs.interpolation.value,
        antialias=theirs.antialias,
    )
    for image in (make_image(501, 375), make_image(90, 120)):
        assert torch.equal(transformed(image, how), theirs(image))


TORCHVISION = [ref for ref in refs() if lookup(ref).weights.source.startswith("torchvision:")]


@pytest.mark.parametrize("ref", [*TORCHVISION, "resnet18-seeded@1.0.0"])
def test_the_catalogue_specifies_the_transforms_of_its_weights(make_image: MakeImage, ref: str) -> None:
    spec = lookup(ref)
    assert isinstance(spec, TorchvisionSpec)
    kind, _, name = spec.weights.source.partition(":")
    theirs = get_weight(name if kind == "torchvision" else "ResNet18_Weights.IMAGENET1K_V1").transforms()
    for image in (make_image(501, 375), make_image(90, 120), make_image(256, 256)):
        assert torch.equal(transformed(image, spec.preprocessing), theirs(image))


def test_the_catalogue_has_torchvisions_resnet18_and_resnet50() -> None:
    assert {"resnet18@1.0.0", "resnet50@1.0.0"} <= set(TORCHVISION)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_both_sides_are_resized_as_pillow_does(make_image: MakeImage, interpolation: str) -> None:
    how = preprocessing(fit="exact", resize=64, crop=64, interpolation=interpolation)
    method = Image.Resampling[interpolation.upper()]
    for image in (make_image(130, 97), make_image(31, 88), make_image(64, 64)):
        assert resized_size(image.size, how) == (64, 64)
        assert torch.equal(resize_and_crop(image, how), pil_to_tensor(image.resize((64, 64), method)))


def test_a_crop_after_both_sides_were_resized_is_central(make_image: MakeImage) -> None:
    image = make_image(130, 97)
    whole = pil_to_tensor(image.resize((64, 64), Image.Resampling.BILINEAR))
    cut = resize_and_crop(image, preprocessing(fit="exact", resize=64, crop=50))
    assert torch.equal(cut, whole[:, 7:57, 7:57])


@pytest.mark.parametrize(("rounding", "start"), [("half_even", 4), ("down", 3)])
@pytest.mark.parametrize("antialias", [True, False])
def test_half_of_an_odd_margin_is_rounded_as_the_spec_says(
    make_image: MakeImage, rounding: str, start: int, antialias: bool
) -> None:
    image = make_image(37, 30)
    how = preprocessing(resize=30, crop=30, crop_rounding=rounding, antialias=antialias)
    assert torch.equal(resize_and_crop(image, how), pil_to_tensor(image)[:, :, start : start + 30])


@example(width=1, height=200, side=64)
@example(width=200, height=1, side=64)
@example(width=7, height=7, side=7)
@given(width=st.integers(1, 200), height=st.integers(1, 200), side=st.integers(1, 64))
def test_resized_size_equals_the_size_after_resizing(width: int, height: int, side: int) -> None:
    computed = resized_size((width, height), preprocessing(resize=side, crop=1))
    nearest = InterpolationMode.NEAREST
    assert computed == resize(Image.new("L", (width, height)), [side], interpolation=nearest).size
    tensor = resize(torch.zeros(1, height, width, dtype=torch.uint8), [side], interpolation=nearest)
    assert computed == (tensor.shape[2], tensor.shape[1])
