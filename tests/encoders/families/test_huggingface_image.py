"""Image encoders of Hugging Face: the vectors of the library's own processors and models, and what is refused."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTForImageClassification,
)

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.encoder import Encoded
from encoders.families.huggingface_image import FAMILY, HuggingFaceImageSpec, load_network
from encoders.huggingface_processor import stated_fields
from encoders.load import build, load
from encoders.probe import deviation
from encoders.seal import seal
from rawless.errors import UserError
from rawless.privacy import Raw
from tests import tiny_image_encoder
from tests.encoders.image_files import saved
from tests.tiny_image_encoder import CONFIGS, HIDDEN, PATCHES, SIDE, draw, make_spec, processor

CPU = torch.device("cpu")
FIRST_PATCH = {"deit": 2, "dinov2_with_registers": 4, "dinov3_vit": 4}
WITHOUT_CLS = {"convnext", "convnextv2", "ijepa", "resnet", "siglip_vision_model", "swin", "swinv2"}
WITHOUT_POOLER = {"data2vec-vision", "ijepa", "vit_msn"}
PLAIN = {
    "fit": "exact",
    "resize": SIDE,
    "crop": SIDE,
    "interpolation": "bilinear",
    "antialias": True,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


@cache
def photographs() -> tuple[Image.Image, ...]:
    """Return two images, broad and upright, with colours and edges; do not modify them."""
    with Image.open(BytesIO(FAMILY.spec.content_of(FAMILY.spec.built_in_probe()))) as image:
        broad = image.convert("RGB").resize((300, 211), Image.Resampling.BICUBIC)
    upright = Image.merge("RGB", broad.split()[::-1]).crop((20, 0, 180, 200)).transpose(Image.Transpose.ROTATE_180)
    return broad, upright


@dataclass
class Reference:
    """A tiny model in a folder, and what the library itself computes of the photographs."""

    folder: Path
    preprocessing: dict[str, Any]
    output: Any

    def pooled(self, architecture: str, pooling: str, layer: int = -1) -> torch.Tensor:
        """Return the vectors by the definition of a pooling."""
        if pooling == "pooler":
            return self.output.pooler_output.reshape(2, -1)  # type: ignore[no-any-return]
        states = self.output.last_hidden_state if layer == -1 else self.output.hidden_states[layer]
        if states.dim() == 4:
            return states.mean((-1, -2))  # type: ignore[no-any-return]
        start = FIRST_PATCH.get(architecture, 0 if architecture in WITHOUT_CLS else 1)
        parts = {"cls": states[:, 0], "mean": sum(states[:, start:].unbind(1)) / (states.shape[1] - start)}
        return torch.cat([parts[each] for each in pooling.split("_")], 1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """The references by architecture; do not modify their folders."""

    @cache
    def make(architecture: str) -> Reference:
        folder = tiny_image_encoder.write_model(tmp_path_factory.mktemp("model"), architecture)
        model: PreTrainedModel = tiny_image_encoder.read(folder)
        pixels = processor(architecture)(list(photographs()), return_tensors="pt")
        with torch.inference_mode():
            return Reference(folder, stated_fields("tiny", folder), model(**pixels, output_hidden_states=True))

    return make


def encode(encoder: BatchEncoder[Any]) -> torch.Tensor:
    """Return the vectors of the photographs."""
    return vectors(encoder, *(saved(image, "PNG") for image in photographs()))


def vectors(encoder: BatchEncoder[Any], *contents: bytes) -> torch.Tensor:
    """Return the vectors of image files."""
    outcomes = encoder.encode([Raw(each) for each in contents])
    return torch.stack([torch.from_numpy(each.vector) for each in outcomes if isinstance(each, Encoded)])


def cosine(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the smallest cosine."""
    assert found.shape == expected.shape
    return float(torch.nn.functional.cosine_similarity(found, expected, dim=1).min())


RARE = {"data2vec-vision", "dinov3_convnext", "ijepa", "resnet", "swinv2", "vit_msn"}
TABLE = [
    pytest.param(architecture, pooling, marks=[pytest.mark.full] if architecture in RARE else [])
    for architecture in sorted(FAMILY.architectures)
    for pooling in ("cls", "mean", "cls_mean", "pooler")
    if not (pooling.startswith("cls") and architecture in WITHOUT_CLS)
    and not (pooling == "pooler" and architecture in WITHOUT_POOLER)
]


@pytest.mark.parametrize(("architecture", "pooling"), TABLE)
def test_vectors_equal_those_of_the_library_with_its_own_processor(
    reference: Callable[[str], Reference], architecture: str, pooling: str
) -> None:
    theirs = reference(architecture)
    expected = theirs.pooled(architecture, pooling)
    spec = make_spec(theirs.folder, architecture, theirs.preprocessing, pooling=pooling, dimension=expected.shape[1])
    assert cosine(encode(build(spec, CPU)), expected) >= 0.99999
    assert float(torch.nn.functional.cosine_similarity(*expected, dim=0)) < 0.999  # the two images differ


LAYERS = [
    (architecture, pooling, layer)
    for architecture, pooling in (("vit", "cls"), ("dinov2", "cls_mean"), ("clip_vision_model", "mean"))
    for layer in (0, 1, 2, -2)
] + [("swin", "mean", 1), ("convnext", "mean", 0), ("convnext", "mean", 1)]


@pytest.mark.parametrize(("architecture", "pooling", "layer"), LAYERS)
def test_a_layer_is_a_hidden_state_of_the_library(
    reference: Callable[[str], Reference], architecture: str, pooling: str, layer: int
) -> None:
    theirs = reference(architecture)
    expected = theirs.pooled(architecture, pooling, layer)
    fields = {"pooling": pooling, "layer": layer, "dimension": expected.shape[1]}
    spec = make_spec(theirs.folder, architecture, theirs.preprocessing, **fields)
    assert cosine(encode(build(spec, CPU)), expected) >= 0.99999


def test_only_the_last_layer_by_its_negative_number_is_after_the_final_norm(
    reference: Callable[[str], Reference],
) -> None:
    theirs = reference("dinov2").output
    norm = tiny_image_encoder.read(reference("dinov2").folder).layernorm
    with torch.inference_mode():
        assert torch.allclose(norm(theirs.hidden_states[2]), theirs.last_hidden_state, atol=1e-5)
    assert not torch.allclose(theirs.hidden_states[2], theirs.last_hidden_state, atol=0.1)


def test_a_normalised_vector_has_length_one(reference: Callable[[str], Reference]) -> None:
    theirs = reference("vit")
    found = encode(build(make_spec(theirs.folder, "vit", theirs.preprocessing, l2_normalise=True), CPU))
    assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)
    assert cosine(found, theirs.pooled("vit", "mean")) >= 0.99999


@pytest.mark.parametrize(("architecture", "pooling"), [("dinov2", "cls_mean"), ("siglip_vision_model", "pooler")])
def test_a_sealed_encoder_runs_on_openvino_and_reproduces_its_probe(
    reference: Callable[[str], Reference], architecture: str, pooling: str
) -> None:
    theirs = reference(architecture)
    expected = theirs.pooled(architecture, pooling)
    fields = {"pooling": pooling, "dimension": expected.shape[1], "l2_normalise": True}
    sealed = seal(make_spec(theirs.folder, architecture, theirs.preprocessing, **fields))
    assert sealed.sealed
    encoder = load(sealed, "cpu")
    assert encoder.runtime.startswith("OpenVINO")
    assert deviation(encoder) <= sealed.tolerance
    assert isinstance(encoder, BatchEncoder)
    assert cosine(encode(encoder), expected) >= 0.99999


VISIBLE: dict[str, dict[str, Any]] = {
    "pooling": {"pooling": "cls"},
    "pooler": {"pooling": "pooler"},
    "layer": {"layer": 2},
    "earlier layer": {"layer": 1},
    "fit": {"preprocessing": {"fit": "shorter"}},
    "crop": {"preprocessing": {"resize": 33}},
    "interpolation": {"preprocessing": {"interpolation": "lanczos"}},
    "antialias": {"preprocessing": {"antialias": False}},
    "mean": {"preprocessing": {"mean": [0.485, 0.456, 0.406]}},
    "std": {"preprocessing": {"std": [0.229, 0.224, 0.225]}},
}


@pytest.fixture(scope="module")
def bare(reference: Callable[[str], Reference], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny vision transformer without an image processor; do not modify it."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("model.safetensors", "config.json"):
        shutil.copy(reference("vit").folder / name, folder)
    return folder


def test_each_field_that_decides_the_vector_changes_fingerprint_and_vector(bare: Path) -> None:
    sealed = {}
    for name, fields in {"none": {}, **VISIBLE}.items():
        others = {key: value for key, value in fields.items() if key != "preprocessing"}
        sealed[name] = seal(make_spec(bare, "vit", PLAIN | fields.get("preprocessing", {}), **others))
    assert len({spec.fingerprint for spec in sealed.values()}) == len(sealed)
    probes = {name: spec.probe.values for name, spec in sealed.items() if spec.probe}
    changed = {name: float(abs(vector - probes["none"]).max()) for name, vector in probes.items()}
    assert [name for name, change in changed.items() if change <= 100 * sealed["none"].tolerance] == ["none"]


def test_half_of_an_odd_margin_is_rounded_as_the_spec_says(bare: Path) -> None:
    # 28 of 35 columns: the crop begins at column 3 by one rule, and at 4 by the other.
    image = saved(photographs()[0].resize((35 * 6, 33 * 6)), "PNG")
    fields = PLAIN | {"fit": "shorter", "resize": 33}
    down, even = (make_spec(bare, "vit", fields | {"crop_rounding": each}) for each in ("down", "half_even"))
    one, other = (vectors(build(spec, CPU), image) for spec in (down, even))
    assert float((one - other).abs().max()) > 100 * down.tolerance


TOWERS: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "clip": (
        lambda: CLIPModel(CLIPConfig(text_config=HIDDEN | {"vocab_size": 50}, vision_config=PATCHES)),
        "clip_vision_model",
    ),
    "siglip": (
        lambda: SiglipModel(SiglipConfig(text_config=HIDDEN | {"vocab_size": 50}, vision_config=PATCHES)),
        "siglip_vision_model",
    ),
    "clip tower": (lambda: CLIPVisionModel(CLIPVisionConfig(**PATCHES)), "clip_vision_model"),
    "siglip tower": (lambda: SiglipVisionModel(SiglipVisionConfig(**PATCHES)), "siglip_vision_model"),
}


@pytest.mark.parametrize("name", TOWERS)
def test_a_vision_tower_is_taken_from_its_own_folder_or_from_that_of_both(tmp_path: Path, name: str) -> None:
    make, architecture = TOWERS[name]
    model = draw(make())
    model.save_pretrained(tmp_path)
    network = load_network(make_spec(tmp_path, architecture, PLAIN, pooling="pooler"))
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    tower = getattr(model, "vision_model", model)
    with torch.inference_mode():
        assert cosine(network(pixels), tower(pixel_values=pixels).pooler_output) >= 0.99999
    # The other tower is not kept in memory.
    count = sum(each.numel() for each in network.parameters())
    assert count == sum(each.numel() for each in tower.parameters())


def test_a_classifier_has_the_vectors_of_its_body_and_no_pooler(tmp_path: Path) -> None:
    model = draw(ViTForImageClassification(ViTConfig(**PATCHES)))
    model.save_pretrained(tmp_path)
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model.vit(pixels).last_hidden_state[:, 0]
        assert cosine(load_network(make_spec(tmp_path, "vit", PLAIN, pooling="cls"))(pixels), expected) >= 0.99999
    message = "tiny@1.0.0 lack pooler.dense.bias and 1 other tensors: replace the file, or use another pooling."
    assert message in refusal(make_spec(tmp_path, "vit", PLAIN, pooling="pooler"))


def refusal(spec: HuggingFaceImageSpec) -> str:
    with pytest.raises(UserError) as caught:
        seal(spec)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("vit", {"dimension": 33}, "says dimension 33, but layer -1 pooled by mean has 32 values: correct the spec."),
        ("vit", {"pooling": "cls_mean"}, "says dimension 32, but layer -1 pooled by cls_mean has 64 values"),
        ("vit", {"layer": 3}, "says layer 3, but its weights have 2 layers (0 is the input)."),
        ("vit", {"layer": -4}, "says layer -4, but its weights have 2 layers (0 is the input)."),
        ("convnext", {"layer": 3}, "says layer 3, but its weights have 2 layers (0 is the input)."),
        ("convnext", {"pooling": "cls"}, "says pooling cls, but convnext has no cls token: use another pooling"),
        ("convnext", {"pooling": "cls_mean"}, "says pooling cls_mean, but convnext has no cls token"),
        ("siglip_vision_model", {"pooling": "cls"}, "says pooling cls, but siglip_vision_model has no cls token"),
        ("dinov3_convnext", {"pooling": "cls", "layer": 1}, "but its layer 1 is a map without a cls token: use mean."),
        ("data2vec-vision", {"pooling": "pooler"}, "says pooling pooler, but its model has none: use another pooling."),
    ],
    ids=str,
)
def test_a_spec_that_contradicts_its_model_is_refused(
    reference: Callable[[str], Reference], architecture: str, fields: dict[str, Any], message: str
) -> None:
    theirs = reference(architecture)
    spec = make_spec(theirs.folder, architecture, theirs.preprocessing, **fields)
    assert message in refusal(spec)


def test_another_architecture_than_that_of_the_files_is_refused(bare: Path, tmp_path: Path) -> None:
    expected = "tiny@1.0.0 says architecture deit, but its config.json says vit: correct the spec."
    assert refusal(make_spec(bare, "deit", PLAIN)) == expected
    TOWERS["clip"][0]().save_pretrained(tmp_path)
    message = refusal(make_spec(tmp_path, "siglip_vision_model", PLAIN))
    assert "but its config.json says clip with clip_vision_model: correct the spec." in message


SIZES = [
    ("vit", 35, "says crop 35, but the positions of its model are for images of 28 by 28 pixels: correct the spec."),
    ("beit", 35, "says crop 35, but the positions of its model are for images of 28 by 28 pixels: correct the spec."),
    ("swin", 48, "says crop 48, but the positions of its model are for images of 32 by 32 pixels: correct the spec."),
    ("dinov2", 36, "says crop 36, but its model takes images of whole patches, of 7 pixels a side: use a multiple"),
    ("dinov3_vit", 36, "says crop 36, but its model takes images of whole patches, of 7 pixels a side: use a multiple"),
    ("convnext", 4, "says crop 4, but its model cannot take images of this size (RuntimeError): correct the spec."),
]


@pytest.mark.parametrize(("architecture", "side", "message"), SIZES)
def test_a_size_that_the_models_positions_do_not_fit_is_refused(
    tmp_path: Path, architecture: str, side: int, message: str
) -> None:
    folder = tiny_image_encoder.write_model(tmp_path, architecture)
    (folder / "preprocessor_config.json").unlink()
    assert message in refusal(make_spec(folder, architecture, PLAIN | {"resize": side, "crop": side}, dimension=16))


def test_a_field_that_contradicts_the_image_processor_of_the_folder_is_refused(
    reference: Callable[[str], Reference],
) -> None:
    theirs = reference("dinov2")
    others: dict[str, Any] = {
        "fit": "exact",
        "resize": 34,
        "crop": 21,
        "crop_rounding": "half_even",
        "interpolation": "bilinear",
        "antialias": False,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.229, 0.224, 0.2251),
    }
    assert set(others) == set(theirs.preprocessing)
    for name, value in others.items():
        message = refusal(make_spec(theirs.folder, "dinov2", theirs.preprocessing | {name: value}))
        assert message.startswith(f"tiny@1.0.0 says preprocessing.{name} "), message
        assert ", but the image processor of its folder asks for " in message
    message = refusal(make_spec(theirs.folder, "dinov2", theirs.preprocessing | {"std": others["std"]}))
    assert "std [0.229, 0.224, 0.2251], but the image processor of its folder asks for [0.229, 0.224, 0.225]" in message


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_code_of_its_own_is_refused(bare: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(bare, tmp_path / "model"))
    processor("vit").save_pretrained(folder)
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | {"auto_map": {"AutoModel": "modeling_tiny.TinyModel"}}))
    message = refusal(make_spec(folder, "vit", PLAIN))
    assert message.startswith(f"tiny@1.0.0 needs code of its own (auto_map in {name}), which is never run: use a model")


def test_weights_without_a_tensor_are_refused(bare: Path, tmp_path: Path) -> None:
    # The library would draw it at random, anew in each process.
    folder = Path(shutil.copytree(bare, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    name = next(each for each in weights if each.endswith("layernorm_before.bias"))
    save_file(
        {each: tensor for each, tensor in weights.items() if each != name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    pattern = (
        r"The weights of tiny@1\.0\.0 lack layers\.0\.layernorm_before\.bias and 0 other tensors: replace the file\."
    )
    assert re.fullmatch(pattern, refusal(make_spec(folder, "vit", PLAIN)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling": "pooler", "layer": 1}, "pooling pooler reads the last hidden state: set layer to -1"),
        ({"pooling": "max"}, "pooling"),
        ({"weights": {"source": "hf:a/b", "files": {"pytorch_model.bin": None}}}, "use .safetensors weights"),
        ({"architecture": "vit_mae"}, "use one of beit, clip_vision_model,"),
    ],
)
def test_a_field_that_breaks_its_rule_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make_spec(tmp_path, fields.pop("architecture", "vit"), PLAIN, **fields)


def test_the_tests_have_a_tiny_model_of_each_architecture() -> None:
    assert set(CONFIGS) == FAMILY.architectures


def test_the_documentation_shows_specs_and_names_each_architecture() -> None:
    page = (Path(__file__).parents[3] / "docs" / "images.md").read_text(encoding="utf-8")
    shown = [
        parse(yaml.safe_load(each), "docs/images.md") for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    ]
    assert [(type(spec), spec.architecture) for spec in shown] == [
        (HuggingFaceImageSpec, "dinov2"),
        (HuggingFaceImageSpec, "siglip_vision_model"),
    ]
    assert [name for name in FAMILY.architectures if f"`{name}`" not in page] == []
