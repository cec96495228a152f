"""Encoding images: correct vectors and reasons, and bad items that do not affect others."""

import io
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms._presets import ImageClassification

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.families.torchvision_image import TorchvisionSpec, load_network
from encoders.image_model import BATCH, ImageModel, budget
from encoders.load import build, load
from rawless.content import ImageLimits
from rawless.errors import Unavailable
from rawless.privacy import Raw, Reason

MakeSpec = Callable[..., TorchvisionSpec]
MakeImage = Callable[..., Image.Image]
MARK = "zebra9131"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def encode(encoder: Encoder, contents: Sequence[bytes], **options: Any) -> list[Encoded | Reason]:
    return encoder.encode([Raw(each) for each in contents], **options)


def vector(outcome: Encoded | Reason) -> npt.NDArray[np.float32]:
    assert isinstance(outcome, Encoded), outcome
    return outcome.vector


def close(one: Sequence[Encoded | Reason], other: Sequence[Encoded | Reason], tolerance: float = 1e-4) -> bool:
    """Return whether outcomes are the same reasons, or vectors within the tolerance."""
    return len(one) == len(other) and all(
        outcome is expected
        if isinstance(outcome, Reason) or isinstance(expected, Reason)
        else float(np.abs(outcome.vector - expected.vector).max()) <= tolerance
        for outcome, expected in zip(one, other, strict=True)
    )


FLAT = png(Image.new("RGB", (90, 70), (9, 200, 30)))
"""An image of one colour, which a test can recognise among the others."""


@pytest.fixture(scope="session")
def good(make_image: MakeImage) -> list[bytes]:
    """Seven images of different shapes."""
    sizes = [(90, 70), (64, 64), (31, 200), (200, 31), (72, 72), (5, 7), (300, 217)]
    return [png(make_image(*size)) for size in sizes]


POOL_SIZE = 10


@pytest.fixture(scope="session")
def pool(good: list[bytes]) -> list[bytes]:
    """The good images, and three bad items: a text, no bytes, and a truncated image."""
    return [*good, b"Where is my parcel?", b"", good[0][:200]]


@pytest.fixture(scope="session")
def shared(image_sealed: TorchvisionSpec) -> Encoder:
    """The small encoder, loaded and verified."""
    return load(image_sealed, "cpu")


@pytest.fixture(scope="session")
def alone(shared: Encoder, pool: list[bytes]) -> list[Encoded | Reason]:
    """The outcome of each item of the pool in a batch of one."""
    return [encode(shared, [each])[0] for each in pool]


def test_vectors_are_those_of_plain_torchvision_from_file_to_vector(
    plain_resnet: Callable[[str], Any], shared: Encoder, good: list[bytes]
) -> None:
    transforms = ImageClassification(crop_size=64, resize_size=72)
    model = plain_resnet("resnet18")
    for content, outcome in zip(good, encode(shared, good), strict=True):
        with torch.inference_mode():
            states = model.avgpool(_layer4(model, transforms(Image.open(io.BytesIO(content))).unsqueeze(0)))
        expected = states.flatten().numpy()
        assert np.abs(vector(outcome) - expected).max() <= 1e-5 * np.abs(expected).max()


def _layer4(model: Any, images: torch.Tensor) -> torch.Tensor:
    states: torch.Tensor = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        states = stage(states)
    return states


def test_the_encoder_of_the_catalogue_produces_the_vectors_of_torchvision(make_image: MakeImage) -> None:
    spec = lookup("resnet18-seeded@1.0.0")
    assert isinstance(spec, TorchvisionSpec)
    encoder = load(spec, "cpu")
    image = make_image(301, 270)
    pixels = ResNet18_Weights.IMAGENET1K_V1.transforms()(image).unsqueeze(0)
    with torch.inference_mode():
        expected = load_network(spec)(pixels)[0].numpy()
    found = vector(encode(encoder, [png(image)])[0])
    assert np.abs(found - expected).max() <= 1e-5
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("l2_normalise", [True, False], ids=["length one", "as it is"])
@pytest.mark.parametrize(
    ("layer", "pooling", "dimension"), [("layer4", "average", 512), ("layer3", "flatten", 4096), ("fc", "max", 10)]
)
def test_vectors_are_float32_finite_and_of_the_specs_dimension(
    image_spec: MakeSpec, good: list[bytes], layer: str, pooling: str, dimension: int, l2_normalise: bool
) -> None:
    spec = image_spec(layer=layer, pooling=pooling, dimension=dimension, l2_normalise=l2_normalise)
    for outcome in encode(build(spec, torch.device("cpu")), good):
        found = vector(outcome)
        assert found.dtype == np.float32
        assert found.shape == (dimension,)
        assert np.isfinite(found).all()
        assert bool(abs(np.linalg.norm(found) - 1) < 1e-5) is l2_normalise


def test_an_image_is_never_reported_as_truncated(shared: Encoder, good: list[bytes]) -> None:
    assert [isinstance(each, Encoded) and each.truncated for each in encode(shared, good)] == [False] * len(good)


@settings(max_examples=15)
@given(positions=st.lists(st.integers(0, POOL_SIZE - 1), max_size=20))
def test_vectors_do_not_depend_on_order_or_batch(
    shared: Encoder, pool: list[bytes], alone: list[Encoded | Reason], positions: list[int]
) -> None:
    outcomes = encode(shared, [pool[position] for position in positions])
    assert close(outcomes, [alone[position] for position in positions])


def test_different_images_have_different_vectors(alone: list[Encoded | Reason], good: list[bytes]) -> None:
    found = [vector(each) for each in alone[: len(good)]]
    for position, one in enumerate(found):
        for other in found[position + 1 :]:
            assert np.abs(one - other).max() > 0.01


def test_threads_may_share_an_encoder(shared: Encoder, pool: list[bytes], alone: list[Encoded | Reason]) -> None:
    found: dict[int, list[Encoded | Reason]] = {}

    def work(number: int) -> None:
        found[number] = encode(shared, pool[number:] + pool[:number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sorted(found) == [0, 1, 2, 3]
    assert all(close(found[number], alone[number:] + alone[:number]) for number in range(4))


def test_encoding_no_items_returns_no_outcomes(shared: Encoder) -> None:
    assert shared.encode([]) == []


class Watching:
    """A runtime that records its batches, and may fail for those that contain FLAT or are too large."""

    name = "watching"

    def __init__(
        self, encoder: BatchEncoder[Any], fault: Callable[[list[bool]], Exception | None] | None = None
    ) -> None:
        self._runtime = encoder._runtime
        self._fault = fault
        self.sizes: list[int] = []

    def __call__(self, *inputs: torch.Tensor) -> npt.NDArray[np.float32]:
        (images,) = inputs
        flat = [bool((each == each[:, :1, :1]).all()) for each in images]
        if self._fault is not None and (fault := self._fault(flat)) is not None:
            raise fault
        self.sizes.append(len(images))
        return self._runtime(images)


def watched(encoder: BatchEncoder[Any], fault: Callable[[list[bool]], Exception | None] | None = None) -> Watching:
    network = Watching(encoder, fault)
    encoder._runtime = network
    return network


def test_items_are_run_in_batches_within_the_budget(image_encoder: BatchEncoder[Any], good: list[bytes]) -> None:
    network = watched(image_encoder)
    encode(image_encoder, good * 3)
    assert sum(network.sizes) == 21
    assert max(network.sizes) <= BATCH


@pytest.mark.parametrize(("crop", "capacity"), [(224, 32), (2000, 5), (4096, 1)])
def test_the_capacity_is_bounded_by_bytes_or_one_item(crop: int, capacity: int) -> None:
    assert budget(crop, cuda=False).capacity == capacity


def test_a_batch_for_cuda_has_the_same_pixels_channels_last(
    image_encoder: BatchEncoder[Any], good: list[bytes]
) -> None:
    model = image_encoder.model
    assert isinstance(model, ImageModel)
    items = [model.prepare(each, ImageLimits()) for each in good]
    (expected,) = model.inputs(items)

    model._memory_format = torch.channels_last
    (pixels,) = model.inputs(items)

    assert torch.equal(pixels, expected)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert expected.is_contiguous()


@pytest.mark.parametrize("at", range(8))
def test_an_item_for_which_the_network_raises_fails_alone(
    image_encoder: BatchEncoder[Any], good: list[bytes], alone: list[Encoded | Reason], at: int
) -> None:
    watched(image_encoder, lambda flat: ValueError("bad") if any(flat) else None)
    outcomes = encode(image_encoder, [*good[:at], FLAT, *good[at:]])
    assert outcomes.pop(at) is Reason.ENCODER_FAILED
    assert close(outcomes, alone[: len(good)])


def test_a_non_finite_vector_is_a_reason_and_does_not_affect_its_neighbours(
    image_encoder: BatchEncoder[Any], good: list[bytes], alone: list[Encoded | Reason]
) -> None:
    runtime = watched(image_encoder)

    def broken(images: torch.Tensor) -> npt.NDArray[np.float32]:
        vectors = runtime(images)
        vectors[[bool((each == each[:, :1, :1]).all()) for each in images], 5] = float("nan")
        return vectors

    image_encoder._runtime = broken  # type: ignore[assignment]
    outcomes = encode(image_encoder, [*good[:4], FLAT, *good[4:]])
    assert outcomes.pop(4) is Reason.NON_FINITE_EMBEDDING
    assert close(outcomes, alone[: len(good)])


@pytest.mark.parametrize("count", [1, 7])
def test_an_encoder_that_fails_for_every_item_is_unavailable(
    image_encoder: BatchEncoder[Any], good: list[bytes], count: int
) -> None:
    watched(image_encoder, lambda flat: RuntimeError(f"device lost, with {MARK}"))
    with pytest.raises(Unavailable, match=r"small@1\.0\.0 fails for its own probe too") as caught:
        encode(image_encoder, good[:count])
    error: BaseException | None = caught.value
    while error is not None:
        assert MARK not in repr(error)
        error = error.__context__


def test_rejections_do_not_run_the_network(image_encoder: BatchEncoder[Any]) -> None:
    network = watched(image_encoder)
    assert encode(image_encoder, [b"text", b""]) == [Reason.UNSUPPORTED_IMAGE_FORMAT] * 2
    assert network.sizes == []


def test_no_content_of_a_failing_item_is_logged(
    image_encoder: BatchEncoder[Any],
    good: list[bytes],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fault(flat: list[bool]) -> Exception | None:
        if any(flat):
            logging.getLogger("some.library").error("bad input %s", MARK)
        return ValueError(MARK) if any(flat) else None

    caplog.set_level(logging.DEBUG)
    watched(image_encoder, fault)
    outcomes = encode(image_encoder, [FLAT, *good])
    written = capfd.readouterr()
    assert outcomes[0] is Reason.ENCODER_FAILED
    for text in (repr(outcomes), caplog.text, written.out, written.err):
        assert MARK not in text


MEMORY_FAULTS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you"),
    "python": MemoryError,
}


@pytest.mark.parametrize("fault", MEMORY_FAULTS.values(), ids=MEMORY_FAULTS)
@pytest.mark.parametrize("fits", [1, 3])
def test_a_batch_that_does_not_fit_into_memory_is_halved(
    image_encoder: BatchEncoder[Any],
    good: list[bytes],
    alone: list[Encoded | Reason],
    fault: Callable[[], Exception],
    fits: int,
) -> None:
    network = watched(image_encoder, lambda flat: fault() if len(flat) > fits else None)
    assert close(encode(image_encoder, good), alone[: len(good)])
    assert sum(network.sizes) == len(good)
    assert max(network.sizes) <= fits


@pytest.mark.parametrize("fault", MEMORY_FAULTS.values(), ids=MEMORY_FAULTS)
def test_out_of_memory_for_a_single_item_is_no_rejection(
    image_encoder: BatchEncoder[Any], good: list[bytes], fault: Callable[[], Exception]
) -> None:
    watched(image_encoder, lambda flat: fault())
    with pytest.raises(Unavailable, match="out of memory"):
        encode(image_encoder, good[:1])


@pytest.mark.parametrize("step", ["read_header", "decode_pixels", "resize_and_crop_picture"])
def test_out_of_memory_while_an_image_is_prepared_is_no_rejection(
    image_encoder: BatchEncoder[Any], good: list[bytes], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def out_of_memory(*args: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(f"encoders.pixels.{step}", out_of_memory)
    with pytest.raises(Unavailable, match="out of memory"):
        encode(image_encoder, good[:1])


def test_out_of_memory_of_torch_while_an_image_is_prepared_is_no_rejection(
    image_encoder: BatchEncoder[Any], good: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Resizing without antialiasing works on tensors, so the error is torch's and not Python's.
    def out_of_memory(*args: Any) -> Any:
        raise MEMORY_FAULTS["cpu"]()

    monkeypatch.setattr("encoders.image_model._cropped", out_of_memory)
    with pytest.raises(Unavailable, match="out of memory"):
        encode(image_encoder, good[:1])


def test_texts_are_rejected_as_images_and_images_as_texts(
    shared: Encoder, tiny_encoder: BatchEncoder[Any], good: list[bytes]
) -> None:
    texts = [b"Where is my parcel?", b"GIF89 is a format", "東京 😀".encode(), b" "]
    assert encode(shared, texts) == [Reason.UNSUPPORTED_IMAGE_FORMAT] * 4
    assert encode(tiny_encoder, good) == [Reason.INVALID_UTF8] * len(good)


def test_limits_apply_per_call(shared: Encoder, make_image: MakeImage) -> None:
    contents = [png(make_image(100, 100)), png(make_image(101, 100)), png(make_image(150, 60))]
    limits = ImageLimits(max_pixels=10_000, max_side=149)
    first, *others = encode(shared, contents, limits=limits)
    assert isinstance(first, Encoded)
    assert others == [Reason.TOO_MANY_PIXELS] * 2
    assert all(isinstance(each, Encoded) for each in encode(shared, contents))
    only_jpeg = encode(shared, contents[:1], limits=ImageLimits(formats=("jpeg",)))
    assert only_jpeg == [Reason.UNSUPPORTED_IMAGE_FORMAT]
