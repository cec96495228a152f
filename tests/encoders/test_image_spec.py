"""Every field that decides the vector of an image is part of the encoder's identity."""

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.catalogue import lookup, parse
from encoders.defence import Defence, Quantisation
from encoders.encoder import Encoded
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import build
from encoders.seal import seal
from encoders.spec import Probe, Vector
from rawless.errors import UserError
from rawless.privacy import Raw

MakeSpec = Callable[..., TorchvisionSpec]
ANOTHER = "0" * 64
SEEDED_FINGERPRINT = "41cd6dc6de38dea2d5ffaae74e841852d4d2b77f4d7a8fa44f6e51d9c4366021"
"""Rows in warehouses contain it: if this test breaks, they no longer match resnet18-seeded@1.0.0."""


@pytest.fixture
def spec() -> TorchvisionSpec:
    """The catalogue's sealed resnet18-seeded."""
    found = lookup("resnet18-seeded@1.0.0")
    assert isinstance(found, TorchvisionSpec)
    return found


@pytest.fixture
def data(spec: TorchvisionSpec) -> dict[str, Any]:
    """The fields of the spec as plain values."""
    return spec.model_dump(mode="json")


def test_the_fingerprint_of_resnet18_seeded_is_the_one_that_rows_carry(spec: TorchvisionSpec) -> None:
    assert spec.fingerprint == SEEDED_FINGERPRINT


OTHERS: dict[str, list[Any]] = {
    "name": ["other"],
    "version": ["1.0.1"],
    "modality": ["text"],
    "architecture": ["resnet34", "resnet50", "resnet101", "resnet152"],
    "weights.source": ["seed:19", "path:/weights", "gs://bucket/folder"],
    "weights.files": [{"model.safetensors": ANOTHER}, {"other.safetensors": ANOTHER}],
    "preprocessing.exif_orientation": ["ignore"],
    "preprocessing.decoder": ["pillow_draft", "nvjpeg"],
    "preprocessing.alpha": ["black", "drop"],
    "preprocessing.fit": ["exact"],
    "preprocessing.resize": [255, 224],
    "preprocessing.interpolation": ["nearest", "bicubic", "lanczos"],
    "preprocessing.antialias": [False],
    "preprocessing.crop": [223, 256],
    "preprocessing.crop_rounding": ["down"],
    "preprocessing.mean": [(0.485, 0.456, 0.4061), (0.456, 0.485, 0.406)],
    "preprocessing.std": [(0.229, 0.224, 0.2251), (1.0, 1.0, 1.0)],
    "layer": ["layer3", "layer4.1", "avgpool"],
    "pooling": ["max", "flatten"],
    "l2_normalise": [False],
    "dimension": [511],
    "precision": ["tf32", "bf16", "fp16"],
    "tolerance": [2e-5],
    "defence": [Defence(full_dimension=512, clip=1.0), Defence(full_dimension=512, quantise=Quantisation(bits=8))],
    "training_domain": ["other"],
    "parent": ["resnet18@1.0.0"],
}


def changed(spec: TorchvisionSpec, path: str, value: Any) -> TorchvisionSpec:
    """Return the spec with one field changed, not validated, since some fields have only one allowed value so far."""
    top, _, field = path.partition(".")
    part = getattr(spec, top)
    return spec.model_copy(update={top: part.model_copy(update={field: value}) if field else value})


@pytest.mark.parametrize(
    ("path", "value"), [pytest.param(path, each, id=f"{path}={each}") for path in OTHERS for each in OTHERS[path]]
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_changing_any_field_of_the_identity_changes_the_fingerprint(
    spec: TorchvisionSpec, path: str, value: Any
) -> None:
    other = changed(spec, path, value)
    assert other != spec
    assert other.fingerprint != spec.fingerprint


def test_no_two_of_the_changes_share_a_fingerprint(spec: TorchvisionSpec) -> None:
    checked = [
        (path, each)
        for path in OTHERS
        for each in OTHERS[path]
        if path != "modality"  # which has only one allowed value
    ]
    assert len({changed(spec, *each).fingerprint for each in checked}) == len(checked)


def test_the_probe_is_not_part_of_the_fingerprint(spec: TorchvisionSpec) -> None:
    other = Probe.of(spec.probe_input, np.ones(512, dtype=np.float32))
    assert spec.model_copy(update={"probe": other}).fingerprint == spec.fingerprint


def test_another_spelling_of_the_same_values_has_the_same_fingerprint(
    data: dict[str, Any], spec: TorchvisionSpec
) -> None:
    for name in ("precision", "defence", "parent"):
        del data[name]
    data["preprocessing"]["mean"] = [0.4850, 4.56e-1, 0.406]
    turned = {name: data[name] for name in reversed(data)}
    assert parse(turned, "a spec").fingerprint == spec.fingerprint


@pytest.fixture(scope="session")
def turned_and_transparent() -> bytes:
    """An image for which every preprocessing field matters: a PNG with orientation, transparency and noise."""
    pixels = np.random.default_rng(3).integers(0, 256, (150, 111, 4), dtype=np.uint8)
    pixels[:75, :, :3] //= 4  # darker at the top, so that the orientation matters
    exif, file = Image.Exif(), BytesIO()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()


VISIBLE: dict[str, dict[str, Any]] = {
    "nearest": {"preprocessing": {"interpolation": "nearest"}},
    "bicubic": {"preprocessing": {"interpolation": "bicubic"}},
    "lanczos": {"preprocessing": {"interpolation": "lanczos"}},
    "both sides resized": {"preprocessing": {"fit": "exact"}},
    "no antialias": {"preprocessing": {"antialias": False}},
    "another resize": {"preprocessing": {"resize": 80}},
    "another crop": {"preprocessing": {"crop": 56}},
    "another mean": {"preprocessing": {"mean": [0.5, 0.5, 0.5]}},
    "another deviation": {"preprocessing": {"std": [0.5, 0.5, 0.5]}},
    "the orientation ignored": {"preprocessing": {"exif_orientation": "ignore"}},
    "laid over black": {"preprocessing": {"alpha": "black"}},
    "transparency dropped": {"preprocessing": {"alpha": "drop"}},
    "another layer of the same size": {"layer": "layer4.0"},
    "another layer": {"layer": "layer3", "dimension": 256},
    "another pooling": {"pooling": "max"},
    "flattened": {"pooling": "flatten", "dimension": 512 * 2 * 2},
    "length one": {"l2_normalise": True},
}


def vector_of(spec: TorchvisionSpec, content: bytes) -> Vector:
    (outcome,) = build(spec, torch.device("cpu")).encode([Raw(content)])
    assert isinstance(outcome, Encoded)
    return outcome.vector


@pytest.fixture(scope="module")
def unchanged(image_sealed: TorchvisionSpec, turned_and_transparent: bytes) -> Vector:
    """The vector of the image, with no field changed."""
    return vector_of(image_sealed, turned_and_transparent)


@pytest.mark.parametrize("fields", VISIBLE.values(), ids=VISIBLE)
def test_each_field_that_decides_the_vector_changes_fingerprint_and_vector(
    image_spec: MakeSpec,
    image_sealed: TorchvisionSpec,
    turned_and_transparent: bytes,
    unchanged: Vector,
    fields: dict[str, Any],
) -> None:
    other = seal(image_spec(**fields))
    assert other.fingerprint != image_sealed.fingerprint
    vector = vector_of(other, turned_and_transparent)
    if vector.shape == unchanged.shape:
        assert float(np.abs(vector - unchanged).max()) > 100 * image_sealed.tolerance
    else:
        assert vector.shape == (other.dimension,)


def test_nearest_and_bicubic_differ_from_each_other_too(image_spec: MakeSpec, turned_and_transparent: bytes) -> None:
    nearest, bicubic = (
        seal(image_spec(preprocessing={"interpolation": each}, l2_normalise=True)) for each in ("nearest", "bicubic")
    )
    assert nearest.fingerprint != bicubic.fingerprint
    apart = vector_of(nearest, turned_and_transparent) - vector_of(bicubic, turned_and_transparent)
    assert float(np.abs(apart).max()) > 100 * nearest.tolerance


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("architecture", "resnet19", "architecture is 'resnet19'"),
        ("layer", "x", "the layer x is the image itself"),
        ("layer", "layer4;", "layer is 'layer4;'"),
        ("layer", -1, "layer is -1"),
        ("pooling", "mean", "pooling is 'mean'"),
        ("dimension", 0, "dimension is 0"),
        ("preprocessing.resize", 0, "preprocessing.resize is 0"),
        ("preprocessing.resize", 5000, "preprocessing.resize is 5000"),
        ("preprocessing.resize", 200, "crop is 224, but may be at most resize, 200"),
        ("preprocessing.crop", 257, "crop is 257, but may be at most resize, 256"),
        ("preprocessing.interpolation", "box", "preprocessing.interpolation is 'box'"),
        ("preprocessing.fit", "longer", "preprocessing.fit is 'longer'"),
        ("preprocessing.crop_rounding", "up", "preprocessing.crop_rounding is 'up'"),
        ("preprocessing.alpha", "grey", "preprocessing.alpha is 'grey'"),
        ("preprocessing.exif_orientation", True, "preprocessing.exif_orientation is True"),
        ("preprocessing.mean", [0.5, 0.5], "preprocessing.mean"),
        ("preprocessing.mean", [NAN, 0.5, 0.5], "preprocessing.mean"),
        ("preprocessing.mean", [INFINITE, 0.5, 0.5], "preprocessing.mean"),
        ("preprocessing.std", [0.5, 0, 0.5], "std must be positive"),
        ("preprocessing.std", [0.5, -1, 0.5], "std must be positive"),
        ("preprocessing.std", [0.5, 0.5, NAN], "preprocessing.std"),
        ("preprocessing.std", [0.5, INFINITE, 0.5], "preprocessing.std"),
        ("preprocessing.tokenizer", {}, "preprocessing.tokenizer is unknown"),
        ("weights.source", "hf:microsoft/resnet-18", "weights.source is 'hf:microsoft/resnet-18'"),
        ("weights.source", "torchvision:ResNet50_Weights.DEFAULT", "is not of the architecture resnet18"),
        ("weights.source", "torchvision:ViT_B_16_Weights.DEFAULT", "is not of the architecture resnet18"),
        ("weights.source", "torchvision:ResNet18_Weights", "weights.source is 'torchvision:ResNet18_Weights'"),
        ("weights.source", "gs:///folder", "weights.source is 'gs:///folder'"),
        ("weights.source", "gs://bucket/a?b", "weights.source is 'gs://bucket/a?b'"),
        ("weights.source", "https://host/file.pth", "weights.source is 'https://host/file.pth'"),
        ("weights.source", "seed:-1", "weights.source is 'seed:-1'"),
        ("weights.source", "seed:one", "weights.source is 'seed:one'"),
        ("weights.files", {"model.pth": None}, "weights drawn from a seed are named model.safetensors"),
        ("weights.files", {"model.bin": None}, "name exactly one file"),
        ("weights.files", {"a.pth": None, "b.pth": None}, "name exactly one file"),
        ("weights.files", {}, "weights.files"),
        ("weights.files", {"../model.pth": None}, "weights.files"),
        ("probe.input", "not base64!", "probe.input"),
        ("probe.input", "abc", "probe.input"),
    ],
    ids=lambda each: each if isinstance(each, str) else repr(each),
)
def test_a_field_that_breaks_its_rule_is_reported_in_one_sentence(
    data: dict[str, Any], path: str, value: object, message: str
) -> None:
    top, _, field = path.partition(".")
    data[top] = {**data[top], field: value} if field else value
    with pytest.raises(UserError) as caught:
        parse(data, "The encoder spec mine.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("The encoder spec mine.yaml: ")
    assert len(str(caught.value).splitlines()) == 1


def test_lanczos_without_antialiasing_is_refused(data: dict[str, Any]) -> None:
    data["preprocessing"] |= {"interpolation": "lanczos", "antialias": False}
    with pytest.raises(UserError, match="interpolation lanczos needs antialias: true"):
        parse(data, "spec")


def test_an_object_needs_its_digest(data: dict[str, Any]) -> None:
    data["weights"] = {"source": "gs://bucket/folder", "files": {"model.pth": None}}
    with pytest.raises(UserError, match="a file that is downloaded needs its sha256"):
        parse(data, "spec")
    data["weights"]["files"] = {"model.pth": ANOTHER}
    assert parse(data, "spec").weights.source == "gs://bucket/folder"


def test_the_built_in_probe_is_a_jpeg_with_an_orientation(spec: TorchvisionSpec) -> None:
    assert spec.built_in_probe() == spec.probe_input
    with Image.open(BytesIO(base64.b64decode(spec.built_in_probe()))) as image:
        assert image.getexif()[0x0112] == 6
        assert image.format == "JPEG"
