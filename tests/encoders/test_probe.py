"""The golden probe: verifying it at loading, and computing it when a spec is sealed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from encoders.batch_encoder import BatchEncoder
from encoders.device import pick_device
from encoders.encoder import Encoded, Encoder
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import build, load
from encoders.probe import deviation, verify
from encoders.seal import seal
from encoders.spec import EncoderSpec, Probe
from rawless.errors import UserError
from rawless.privacy import Raw

MakeSpec = Callable[..., EncoderSpec]


def shifted(spec: EncoderSpec, by: float) -> EncoderSpec:
    """Return the spec with one component of its probe changed."""
    assert spec.probe is not None
    vector = spec.probe.values.copy()
    vector[3] += by
    return spec.model_copy(update={"probe": Probe.of(spec.probe.input, vector)})


def test_minilm_reproduces_its_probe_here(minilm: Encoder) -> None:
    assert deviation(minilm) <= minilm.spec.tolerance
    verify(minilm)


def test_the_probe_of_minilm_was_made_from_the_built_in_text(minilm: Encoder) -> None:
    assert minilm.spec.probe is not None
    assert minilm.spec.probe.input == HuggingFaceTextSpec.built_in_probe()


@pytest.mark.parametrize("factor", [2.0, -2.0, 1000.0])
def test_a_probe_beyond_the_tolerance_is_refused_by_name(tiny_encoder: BatchEncoder[Any], factor: float) -> None:
    tiny_encoder.spec = shifted(tiny_encoder.spec, factor * tiny_encoder.spec.tolerance)
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 does not reproduce its golden probe") as caught:
        verify(tiny_encoder)
    assert "1e-05" in str(caught.value)


@pytest.mark.parametrize("factor", [0.0, 0.5, -0.5])
def test_a_probe_within_the_tolerance_passes(tiny_encoder: BatchEncoder[Any], factor: float) -> None:
    tiny_encoder.spec = shifted(tiny_encoder.spec, factor * tiny_encoder.spec.tolerance)
    verify(tiny_encoder)


def test_the_deviation_is_the_largest_difference_of_a_component(tiny_encoder: BatchEncoder[Any]) -> None:
    tiny_encoder.spec = shifted(tiny_encoder.spec, 0.25)
    assert deviation(tiny_encoder) == pytest.approx(0.25, abs=1e-4)


def test_an_encoder_without_a_probe_never_verifies(tiny_spec: MakeSpec) -> None:
    with pytest.raises(UserError, match=r"tiny@1\.0\.0"):
        verify(build(tiny_spec(), torch.device("cpu")))


def test_an_encoder_that_gives_no_finite_vector_for_its_probe_does_not_load(
    tiny_copy: Path, tiny_spec: MakeSpec
) -> None:
    spec = seal(tiny_spec(folder=tiny_copy))
    weights = load_file(tiny_copy / "model.safetensors")
    name = next(each for each in weights if each.endswith("word_embeddings.weight"))
    weights[name][:] = float("nan")
    save_file(weights, tiny_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 produces no finite vector"):
        seal(tiny_spec(folder=tiny_copy))
    with pytest.raises(UserError, match="sha256"):
        load(spec, "cpu")


def test_loading_refuses_a_changed_probe(tiny_spec: MakeSpec) -> None:
    spec = seal(tiny_spec())
    load(spec, "cpu")
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 does not reproduce"):
        load(shifted(spec, 0.01), "cpu")


def test_a_library_that_changes_vectors_is_detected_at_loading(
    tiny_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = seal(tiny_spec(version="1.0.7"))
    real = torch.nn.functional.layer_norm
    monkeypatch.setattr(torch.nn.functional, "layer_norm", lambda *args: real(*args) * 1.001)
    with pytest.raises(UserError, match=r"tiny@1\.0\.7 does not reproduce.*requirements\.lock"):
        load(spec, "cpu")


def test_loading_refuses_an_unsealed_encoder(tiny_spec: MakeSpec) -> None:
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 is not sealed: run `rawless encoder register tiny@1\.0\.0`"):
        load(tiny_spec(), "cpu")


def test_an_encoder_is_loaded_once_per_process(tiny_spec: MakeSpec) -> None:
    spec = seal(tiny_spec(version="1.0.8"))
    assert load(spec, "cpu") is load(spec.model_copy(), "cpu")


def test_sealing_adds_every_digest_and_the_probe(tiny_spec: MakeSpec, tiny_sealed: EncoderSpec) -> None:
    spec, sealed = tiny_spec(), tiny_sealed
    assert not spec.sealed
    assert sealed.sealed
    assert len(sealed.fingerprint) == 64
    assert all(digest is not None and len(digest) == 64 for digest in sealed.files.values())
    assert sealed.probe is not None
    assert sealed.probe.values.shape == (16,)
    verify(load(sealed, "cpu"))


def test_sealing_changes_nothing_else(tiny_spec: MakeSpec) -> None:
    spec = tiny_spec()
    kept = {"weights", "preprocessing", "probe"}
    assert seal(spec).model_dump(exclude=kept) == spec.model_dump(exclude=kept)


def test_sealing_twice_gives_the_same_spec(tiny_spec: MakeSpec) -> None:
    spec = seal(tiny_spec())
    assert seal(spec) == spec


def test_sealing_verifies_the_digests_that_a_spec_already_has(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    spec = seal(tiny_spec(folder=tiny_copy))
    config = json.loads((tiny_copy / "config.json").read_text())
    (tiny_copy / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.1}))
    with pytest.raises(UserError, match=r"config\.json is not the file"):
        seal(spec.model_copy(update={"probe": None}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "roberta"}, "says architecture roberta, but its config.json says bert"),
        ({"dimension": 32}, "says dimension 32, but its weights have 16"),
        ({"layer": 3}, "says layer 3, but its weights have 2 layers"),
        ({"layer": -4}, "says layer -4, but its weights have 2 layers"),
    ],
)
def test_sealing_refuses_a_spec_that_its_files_contradict(
    tiny_spec: MakeSpec, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        seal(tiny_spec(**fields))
    assert message in str(caught.value)
    assert "tiny@1.0.0" in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_sealing_refuses_files_that_cannot_be_loaded(tiny_copy: Path, tiny_spec: MakeSpec, name: str) -> None:
    (tiny_copy / name).write_bytes(b"{}" if name != "model.safetensors" else b"\0" * 100)
    with pytest.raises(UserError, match=r"tiny@1\.0\.0") as caught:
        seal(tiny_spec(folder=tiny_copy))
    assert len(str(caught.value).splitlines()) == 1


def test_sealing_refuses_weights_that_lack_a_tensor(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    # The library would draw the missing ones at random, anew in each process.
    weights = load_file(tiny_copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tiny_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"tiny@1\.0\.0"):
        seal(tiny_spec(folder=tiny_copy))


def test_a_limit_beyond_the_positions_of_the_model_is_refused(tiny_copy: Path, tiny_spec: MakeSpec) -> None:
    # The probe is short enough; without this every long text would be rejected for good, one by one.
    config = BertConfig.from_pretrained(tiny_copy, max_position_embeddings=256)
    BertModel(config).save_pretrained(tiny_copy)
    seal(tiny_spec(folder=tiny_copy, preprocessing={"max_tokens": 256}))
    with pytest.raises(UserError, match="max_tokens"):
        seal(tiny_spec(folder=tiny_copy, preprocessing={"max_tokens": 257}))


def test_a_limit_of_all_positions_of_the_model_encodes_the_longest_text(tiny_spec: MakeSpec) -> None:
    (outcome,) = load(seal(tiny_spec(preprocessing={"max_tokens": 64})), "cpu").encode([Raw(b"cat " * 200)])
    assert isinstance(outcome, Encoded)
    assert outcome.truncated
    assert np.isfinite(outcome.vector).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_unavailable_device_is_refused() -> None:
    with pytest.raises(UserError, match="torch finds no CUDA device on this machine: use cpu or auto"):
        pick_device("cuda")
    assert pick_device("auto").type == "cpu"


@pytest.mark.parametrize(("factor", "passes"), [(0.5, True), (-0.5, True), (2.0, False), (-2.0, False)])
def test_the_probe_of_an_image_encoder_holds_within_its_tolerance(
    image_encoder: BatchEncoder[Any], factor: float, passes: bool
) -> None:
    moved = shifted(image_encoder.spec, factor * image_encoder.spec.tolerance)
    assert isinstance(moved, TorchvisionSpec)
    image_encoder.spec = moved
    if passes:
        verify(image_encoder)
    else:
        with pytest.raises(UserError, match=r"small@1\.0\.0 does not reproduce its golden probe"):
            verify(image_encoder)


CHANGES: dict[str, Callable[..., object]] = {
    "encoders.pixels.resize_and_crop_picture": lambda image, how: image.resize((how.crop, how.crop)),
    "encoders.image_transforms.convert_image_dtype": lambda images, dtype: images.to(dtype),  # the scale forgotten
    "encoders.pixels.decode_pixels": lambda image, preprocessing: image.convert("RGB"),  # orientation forgotten
    "torch.nn.functional.batch_norm": lambda states, *args: states,
    "torch.nn.functional.relu": lambda states, inplace=False: states,
}


@pytest.mark.parametrize("target", CHANGES)
def test_a_library_that_changes_vectors_of_images_is_detected_at_loading(
    image_encoder: BatchEncoder[Any], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    verify(image_encoder)
    monkeypatch.setattr(target, CHANGES[target])
    with pytest.raises(UserError, match=r"small@1\.0\.0 does not reproduce"):
        verify(image_encoder)


def test_an_image_encoder_whose_probe_is_not_an_image_does_not_verify(image_encoder: BatchEncoder[Any]) -> None:
    assert image_encoder.spec.probe is not None
    text = image_encoder.spec.probe.model_copy(update={"input": "aGVsbG8="})
    image_encoder.spec = image_encoder.spec.model_copy(update={"probe": text})
    assert deviation(image_encoder) == float("inf")
    with pytest.raises(UserError, match="produces no vector"):
        verify(image_encoder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_sealing_refuses_an_image_encoder_that_gives_no_finite_vector(
    image_spec: Callable[..., TorchvisionSpec], image_sealed: TorchvisionSpec, tmp_path: Path, value: float
) -> None:
    source = Path(image_sealed.weights.source.removeprefix("path:"))
    state = load_file(source / "model.safetensors")
    state["layer4.1.bn2.bias"][7] = value
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"small@1\.0\.0 produces no finite vector for its probe"):
        seal(image_spec(tmp_path))
    (tmp_path / "model.safetensors").unlink()


def test_sealing_adds_the_digest_and_the_probe_of_an_image_encoder(
    image_spec: Callable[..., TorchvisionSpec], image_sealed: TorchvisionSpec
) -> None:
    unsealed = image_spec()
    kept = {"weights", "probe"}
    assert not unsealed.sealed
    assert image_sealed.sealed
    assert image_sealed.model_dump(exclude=kept) == unsealed.model_dump(exclude=kept)
    assert image_sealed.probe_input == unsealed.built_in_probe()
    assert seal(image_sealed) == image_sealed
    verify(load(image_sealed, "cpu"))


def test_sealing_replaces_the_probe_by_one_of_the_built_in_image(image_sealed: TorchvisionSpec) -> None:
    stale = Probe.of("aGVsbG8=", np.ones(512, dtype=np.float32))
    assert seal(image_sealed.model_copy(update={"probe": stale})) == image_sealed
