"""Runtimes produce the vectors of the reference, or are not used."""

import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.load import build, load
from encoders.precision import MIN_COSINE
from encoders.probe import deviation
from encoders.runtimes import agree, pick_runtime
from encoders.runtimes.eager import Eager
from encoders.runtimes.openvino import OpenVino, convert
from encoders.spec import EncoderSpec
from rawless.privacy import Raw
from tests.encoders.image_files import saved

CPU = torch.device("cpu")
CATALOGUE = ["minilm@1.0.0", "resnet18-seeded@1.0.0"]


@pytest.fixture(scope="module")
def minilm_on_torch() -> Encoder:
    """MiniLM on torch, the reference."""
    return build(lookup("minilm@1.0.0"), CPU)


@pytest.fixture(scope="module")
def resnet_on_torch(image_sealed: EncoderSpec) -> Encoder:
    """The small image encoder on torch, the reference."""
    return build(image_sealed, CPU)


def same(one: Encoder, other: Encoder, contents: Sequence[bytes]) -> bool:
    """Return whether two runtimes of an encoder produce the same outcomes, within its tolerance."""
    items = [Raw(each) for each in contents]
    for found, expected in zip(one.encode(items), other.encode(items), strict=True):
        if isinstance(found, Encoded) and isinstance(expected, Encoded):
            if not agree(found.vector[None], expected.vector[None], one.spec.tolerance):
                return False
        elif found is not expected:
            return False
    return True


@pytest.mark.parametrize("ref", CATALOGUE)
def test_an_encoder_on_a_cpu_runs_on_openvino_and_keeps_probe_and_fingerprint(ref: str) -> None:
    encoder = load(lookup(ref), "cpu")
    assert encoder.runtime.startswith("OpenVINO 20")
    assert deviation(encoder) <= encoder.spec.tolerance
    assert encoder.spec.fingerprint == lookup(ref).fingerprint


words = st.text(st.sampled_from("aábcdé .,!?東京😀0123"), max_size=30)
texts = st.builds(lambda word, times: (word * times).encode(), words, st.integers(0, 20))


@settings(max_examples=20, deadline=None)
@given(contents=st.lists(texts, max_size=8))
def test_texts_in_any_batch_have_the_vectors_of_the_reference(
    minilm: Encoder, minilm_on_torch: Encoder, contents: list[bytes]
) -> None:
    assert same(minilm, minilm_on_torch, contents)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), max_size=10))
def test_images_in_any_batch_have_the_vectors_of_the_reference(
    resnet_on_torch: Encoder, make_image: Callable[..., Image.Image], sizes: list[tuple[int, int]]
) -> None:
    contents = [saved(make_image(*size), "PNG") for size in sizes]
    fast = load(resnet_on_torch.spec, "cpu")
    assert fast.runtime.startswith("OpenVINO")
    assert same(fast, resnet_on_torch, contents)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_every_layer_and_pooling_of_a_text_encoder_has_the_vectors_of_the_reference(
    tiny_spec: Callable[..., EncoderSpec], pooling: str, layer: int
) -> None:
    spec = tiny_spec(pooling=pooling, layer=layer, l2_normalise=False)
    fast, reference = build(spec, CPU), build(spec, CPU)
    fast.accelerate()
    assert fast.runtime.startswith("OpenVINO")
    assert same(fast, reference, [b"cat", b"where is my parcel", b"cat dog bird " * 20, b"is my cat?"])


@pytest.mark.parametrize(
    ("layer", "pooling", "dimension"), [("layer3", "flatten", 4096), ("fc", "max", 10), ("layer4.0.conv2", "max", 512)]
)
def test_every_layer_and_pooling_of_an_image_encoder_has_the_vectors_of_the_reference(
    image_spec: Callable[..., EncoderSpec],
    make_image: Callable[..., Image.Image],
    layer: str,
    pooling: str,
    dimension: int,
) -> None:
    spec = image_spec(layer=layer, pooling=pooling, dimension=dimension)
    fast, reference = build(spec, CPU), build(spec, CPU)
    fast.accelerate()
    assert fast.runtime.startswith("OpenVINO")
    assert same(fast, reference, [saved(make_image(*size), "PNG") for size in ((64, 64), (90, 31), (8, 200))])


class Branching(torch.nn.Module):
    """A network with a branch on the batch size, which a trace cannot represent."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * 2 if values.shape[0] == 1 else values * 3


class Listing(torch.nn.Module):
    """A network with a step in NumPy, which a trace cannot represent."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tensor(np.sort(values.numpy()[:, ::-1].copy()), dtype=torch.float32)


EXAMPLES = [(torch.rand(3, 4, generator=torch.Generator().manual_seed(1)),), (torch.rand(1, 4),)]


@pytest.mark.parametrize("network", [Branching(), Listing()], ids=["branching", "listing"])
def test_a_runtime_that_produces_other_vectors_is_not_used(
    network: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    reference = Eager(network, CPU)
    with caplog.at_level(logging.WARNING):
        assert pick_runtime(reference, EXAMPLES, 1e-5) is reference
    assert "OpenVINO produces other vectors for this encoder; torch runs it, slower." in caplog.text


def test_a_network_that_a_runtime_cannot_run_is_run_by_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(self: OpenVino, *arguments: object) -> None:
        raise RuntimeError("an operation that nobody knows")

    monkeypatch.setattr(OpenVino, "__init__", refuses)
    reference = Eager(torch.nn.Identity(), CPU)
    with caplog.at_level(logging.WARNING):
        assert pick_runtime(reference, EXAMPLES, 1e-5) is reference
    assert "OpenVINO cannot run this encoder (RuntimeError); torch runs it, slower." in caplog.text


def test_an_encoder_whose_runtime_was_refused_still_encodes(
    tiny_encoder: BatchEncoder[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoders.runtimes.agree", lambda *arguments: False)
    tiny_encoder.accelerate()
    assert tiny_encoder.runtime.startswith("torch")
    assert deviation(tiny_encoder) <= tiny_encoder.spec.tolerance


vectors = st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4).map(lambda each: np.array([each], np.float32))


@given(vector=vectors.filter(lambda each: np.linalg.norm(each) > 0.1), index=st.integers(0, 3))
def test_vectors_agree_only_within_the_tolerance(vector: np.ndarray, index: int) -> None:
    assert agree(vector, vector, 1e-6)
    moved = vector.copy()
    moved[0, index] += 1e-3
    assert not agree(moved, vector, 1e-4)
    assert not agree(np.full_like(vector, np.nan), vector, 1.0)
    assert not agree(vector[:, :3], vector, 1.0)


def test_vectors_of_another_direction_never_agree() -> None:
    assert MIN_COSINE["fp32"] == 0.99999
    assert not agree(np.array([[0.0, 1.0]], np.float32), np.array([[0.01, 1.0]], np.float32), 0.1)


def test_openvino_sends_no_telemetry() -> None:
    OpenVino(convert(torch.nn.Identity(), (torch.ones(1, 2),)))
    telemetry = import_module("openvino.tools.ovc.telemetry_utils").tm
    assert telemetry.__name__ == "openvino.tools.ovc.telemetry_stub"
