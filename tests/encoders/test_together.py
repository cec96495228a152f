"""Encoders for the same items: images are decoded once where they decode alike, and no outcome changes."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders import pixels
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_model import ImageModel
from encoders.together import Together
from rawless.content import ImageLimits
from rawless.privacy import Raw, Reason

LIMITS = ImageLimits()


class Mean(torch.nn.Module):
    """The mean of each channel of normalised pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def encoder(**preprocessing: Any) -> Encoder:
    spec = lookup("resnet18-seeded@1.0.0")
    assert isinstance(spec, TorchvisionSpec)
    fields = {"resize": 12, "crop": 8, **preprocessing}
    changed = spec.model_copy(update={"preprocessing": spec.preprocessing.model_copy(update=fields)})
    return BatchEncoder(changed, ImageModel(Mean, changed.preprocessing, cuda=False), torch.device("cpu"))


def file(image_format: str, size: tuple[int, int], *, cut: bool = False) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    written = BytesIO()
    Image.fromarray(pixels).save(written, image_format)
    return written.getvalue()[: len(written.getvalue()) // 2 if cut else None]


CONTENTS = (
    file("JPEG", (48, 36)),
    file("PNG", (20, 31)),
    file("PNG", (48, 36), cut=True),
    file("PNG", (10_000, 2)),  # at 4,096 pixels of its shorter side it would have 10^11
    file("PNG", (10_000, 2), cut=True),
    b"no image",
)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The preprocessing of each image that was decoded."""
    calls: list[str] = []
    decode: Callable[..., Image.Image] = pixels.decode_pixels
    monkeypatch.setattr(
        pixels, "decode_pixels", lambda image, how: calls.append(how.interpolation) or decode(image, how)
    )
    return calls


def outcome(found: Encoded | Reason) -> object:
    return found if isinstance(found, Reason) else found.vector.tobytes()


@pytest.mark.parametrize(
    ("second", "is_shared"),
    [
        ({"interpolation": "nearest"}, True),
        ({"resize": 4096}, True),
        ({"alpha": "drop"}, False),
        ({"exif_orientation": "ignore"}, False),
        ({"decoder": "pillow_draft"}, False),
    ],
)
def test_encoders_that_decode_alike_share_it_and_each_outcome_is_as_if_it_were_alone(
    decoded: list[str], second: dict[str, Any], is_shared: bool
) -> None:
    encoders = [encoder(), encoder(**second)]
    alone, counts = [], []
    for each in encoders:
        alone.append([outcome(found) for found in each.encode([Raw(item) for item in CONTENTS], LIMITS)])
        counts.append(len(decoded))
        decoded.clear()

    submitted = [Together(encoders).submit(Raw(item), LIMITS) for item in CONTENTS]
    together = [[outcome(futures[position].result()) for futures in submitted] for position in range(2)]

    assert together == alone
    assert {type(each) for each in together[0]} == {bytes, Reason}
    assert len(decoded) == (max(counts) if is_shared else sum(counts))


def test_an_encoder_that_fails_for_lack_of_memory_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from rawless.errors import Unavailable

    failures = iter([MemoryError()])
    decode = pixels.decode_pixels

    def fail_once(*arguments: Any) -> Image.Image:
        for failure in failures:
            raise failure
        return decode(*arguments)

    monkeypatch.setattr(pixels, "decode_pixels", fail_once)
    futures = Together([encoder(), encoder(interpolation="nearest")]).submit(Raw(CONTENTS[0]), LIMITS)
    errors = [future.exception() for future in futures]
    assert sorted(type(each) for each in errors if each) == [Unavailable]
