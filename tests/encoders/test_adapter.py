"""An adapter: the network of one encoder and a map after it, verified by digest, shapes and probe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from encoders.adapt import ADAPTER_FILE, adapt, check_adaptable
from encoders.adapter import AdapterKind
from encoders.adapter_map import AdapterMap, Hidden, read_adapter
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.compose import compose
from encoders.encoder import Encoded, Encoder
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import build, load
from encoders.probe import deviation
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from encoders.versions import Bump, changes, required_bump
from rawless.errors import UserError
from rawless.privacy import Raw

TEXTS = [Raw(text) for text in (b"where is my parcel?", b"paid for two cats", b"bird")]


def make_map(
    kind: AdapterKind, full_dimension: int = 16, dimension: int = 12, *, l2_normalise: bool = True
) -> AdapterMap:
    numbers = np.random.default_rng(3)

    def draw(*shape: int) -> Vector:
        return numbers.standard_normal(shape).astype(np.float32) / 4

    hidden = Hidden(draw(8, full_dimension), draw(8), draw(dimension, 8)) if kind == "residual_mlp" else None
    return AdapterMap(kind, draw(dimension, full_dimension), draw(dimension), hidden, l2_normalise)


def vectors_of(encoder: Encoder | BatchEncoder[Any]) -> Vector:
    outcomes = encoder.encode(TEXTS)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)])


@pytest.fixture(scope="session")
def tiny_target(tiny_spec: Callable[..., EncoderSpec]) -> EncoderSpec:
    return seal(tiny_spec(name="target", pooling="cls"))


@pytest.mark.parametrize(("kind", "l2_normalise"), [("affine", True), ("residual_mlp", True), ("residual_mlp", False)])
def test_an_adapted_encoder_maps_the_vectors_of_its_source(
    kind: AdapterKind, l2_normalise: bool, tiny_sealed: EncoderSpec, tiny_target: EncoderSpec, tmp_path: Path
) -> None:
    adapter = make_map(kind, l2_normalise=l2_normalise)
    spec = adapt(tiny_sealed, tiny_target, adapter, "target-from-tiny", "1.0.0", tmp_path / "made", 1e-4)

    vectors = vectors_of(build(tiny_sealed, torch.device("cpu")))
    encoder = load(spec, "cpu")
    assert vectors_of(encoder) == pytest.approx(adapter.apply(vectors), abs=spec.tolerance)
    assert deviation(encoder) <= spec.tolerance
    assert encoder.runtime.startswith("OpenVINO")  # one that fell back to torch would be slower
    read = read_adapter(spec)
    assert np.array_equal(read.apply(vectors), adapter.apply(vectors))
    assert (read.linear() is None) == (kind == "residual_mlp")
    assert spec.adapter
    assert (spec.adapter.source, spec.adapter.target) == (
        tiny_sealed.fingerprint,
        tiny_target.fingerprint,
    )
    assert (spec.parent, spec.dimension, spec.adapter.full_dimension) == (tiny_sealed.ref, 12, 16)


def test_the_map_is_what_the_formula_says() -> None:
    adapter, vector = make_map("residual_mlp", l2_normalise=False), np.linspace(-1, 1, 16, dtype=np.float32)
    hidden = adapter.hidden
    assert hidden
    given = torch.from_numpy(hidden.hidden_weight @ vector + hidden.hidden_bias)
    inner = torch.nn.functional.gelu(given, approximate="tanh").numpy()
    expected = adapter.weight @ vector + adapter.bias + hidden.output_weight @ inner
    assert adapter.apply(vector[None])[0] == pytest.approx(expected, abs=1e-6)


def test_an_adapter_is_a_minor_version_of_its_source_and_another_dimension_a_major_one(
    tiny_sealed: EncoderSpec, tiny_target: EncoderSpec, tmp_path: Path
) -> None:
    spec = adapt(tiny_sealed, tiny_target, make_map("affine", 16, 16), "tiny", "1.1.0", tmp_path / "made")
    assert required_bump(changes(tiny_sealed, spec)) is Bump.MINOR
    assert spec.fingerprint not in (tiny_sealed.fingerprint, tiny_target.fingerprint)
    with pytest.raises(UserError, match=r"this adapter is a major change of tiny@1\.0\.0: use tiny@2\.0\.0 or a later"):
        adapt(tiny_sealed, tiny_target, make_map("affine"), "tiny", "1.1.0", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.fixture
def made(tiny_sealed: EncoderSpec, tiny_target: EncoderSpec, tmp_path: Path) -> EncoderSpec:
    return adapt(tiny_sealed, tiny_target, make_map("affine"), "target-from-tiny", "1.0.0", tmp_path / "made")


def test_a_file_that_was_edited_is_refused(made: EncoderSpec, tmp_path: Path) -> None:
    make_map("orthogonal", l2_normalise=False).save(tmp_path / "made" / ADAPTER_FILE)
    read_adapter(made)  # the same numbers
    edited = make_map("affine").tensors
    edited["bias"] = edited["bias"] + np.float32(1)
    save_file(edited, tmp_path / "made" / ADAPTER_FILE)
    for use in (lambda: read_adapter(made), lambda: load(made, "cpu")):
        with pytest.raises(
            UserError, match=r"adapter\.safetensors is not the file that target-from-tiny@1\.0\.0 names"
        ):
            use()


@pytest.mark.parametrize(
    ("kind", "tensors", "message"),
    [
        ("affine", {"bias": np.zeros(3, np.float32)}, r"needs {'weight': \(12, 16\), 'bias': \(12,\)}"),
        ("affine", {"more": np.zeros(3, np.float32)}, r"has the tensors"),
        ("residual_mlp", {}, r"'hidden_weight': \(0, 16\)"),
        ("affine", {"bias": np.full(12, np.nan, np.float32)}, r"numbers that are not finite"),
    ],
)
def test_a_file_with_other_tensors_is_refused(
    kind: AdapterKind, tensors: dict[str, Vector], message: str, made: EncoderSpec, tmp_path: Path
) -> None:
    save_file(make_map("affine").tensors | tensors, tmp_path / "made" / ADAPTER_FILE)
    data = made.model_dump(mode="json", exclude={"probe"})
    data["adapter"] |= {"sha256": None, "kind": kind}
    with pytest.raises(UserError, match=message):
        read_adapter(parse(data, "The spec"))


def test_an_encoder_whose_weights_are_drawn_keeps_them_as_a_file(
    image_spec: Callable[..., TorchvisionSpec], tmp_path: Path
) -> None:
    seeded = seal(image_spec(source="seed:18", l2_normalise=True))
    target = seal(image_spec(source="seed:18", l2_normalise=True, layer="layer3", dimension=256))
    adapter = make_map("orthogonal", 512, 256)
    spec = adapt(seeded, target, adapter, "small-adapted", "1.0.0", tmp_path / "made")
    assert spec.weights.files == seeded.weights.files
    assert deviation(build(spec, torch.device("cpu"))) <= spec.tolerance


def test_encoders_without_a_use_for_an_adapter_are_refused(
    made: EncoderSpec, tiny_sealed: EncoderSpec, tiny_target: EncoderSpec, tiny_noisy: EncoderSpec,
    image_sealed: TorchvisionSpec, tmp_path: Path,
) -> None:  # fmt: skip
    folder = tmp_path / "free"
    check_adaptable(tiny_sealed, tiny_target, folder)
    with pytest.raises(UserError, match="exists: name another by --out, or remove it"):
        check_adaptable(tiny_sealed, tiny_target, tmp_path)
    options: dict[str, Any] = {"weights": [1, 1], "normalise_parts": True, "l2_normalise": True}
    for source, target, message in (
        (compose([tiny_sealed, tiny_target], "two", "1.0.0", **options), tiny_target, r"two@1\.0\.0 is a composite"),
        (made, tiny_target, r"has an adapter already: adapt the encoder that it was made of, tiny@1\.0\.0"),
        (tiny_sealed, tiny_sealed, "are the same encoder"),
        (tiny_noisy, tiny_target, "a defence or an adapter, not both"),
        (tiny_sealed, image_sealed, "takes texts, but small@1.0.0 images"),
        (tiny_sealed.model_copy(update={"probe": None}), tiny_target, "is not sealed"),
    ):
        with pytest.raises(UserError, match=message):
            check_adaptable(source, target, folder)
