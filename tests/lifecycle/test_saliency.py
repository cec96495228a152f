"""Saliency: the parts that a vector depends on are found, and a map shows where they are and nothing of the content."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_model import ImageModel
from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.lifecycle.saliency import GRID, Method, of_image, of_text
from rawless.lifecycle.saliency_picture import picture
from rawless.privacy import Raw

METHODS: list[Method] = ["occlusion", "gradient"]
TEXT = "Where is my parcel?"
PLACES = [(0, 5), (6, 8), (9, 11), (12, 18), (18, 19)]
IMAGE = lookup("resnet18-seeded@1.0.0")


class LeftHalf(torch.nn.Module):
    """A network that sees the left half of an image only."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean colour of four quarters of it."""
        half = images[..., : images.shape[-1] // 2]
        return torch.nn.functional.adaptive_avg_pool2d(half, 2).flatten(1)


@pytest.fixture
def left_half() -> BatchEncoder[Any]:
    """An encoder of the left half of the crop."""
    assert isinstance(IMAGE, TorchvisionSpec)
    spec = IMAGE.model_copy(update={"dimension": 12})
    return BatchEncoder(spec, ImageModel(LeftHalf, IMAGE.preprocessing, cuda=False), torch.device("cpu"))


@pytest.fixture
def tiny(tiny_sealed: EncoderSpec) -> BatchEncoder[Any]:
    """The tiny text encoder on torch."""
    return build(tiny_sealed, torch.device("cpu"))


def photograph(width: int = 600, height: int = 300) -> Raw[bytes]:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Raw(file.getvalue())


@pytest.mark.parametrize("method", METHODS)
def test_the_part_of_an_image_that_an_encoder_sees_is_found(left_half: BatchEncoder[Any], method: Method) -> None:
    found = of_image(left_half, photograph(), method)

    assert found.heat.shape == (GRID, GRID)
    left, right = found.heat[:, : GRID // 2 - 1], found.heat[:, GRID // 2 + 1 :]
    assert left.mean() > 0.1
    assert right.max() == 0
    assert found.heat.max() == 1
    # The shorter side is resized to 256, of which the crop takes 224.
    assert found.box == pytest.approx((0.28125, 0.0625, 0.71875, 0.9375), abs=0.002)


def test_a_map_has_the_shape_of_its_image_and_shows_what_is_not_seen(left_half: BatchEncoder[Any]) -> None:
    drawn = Image.open(BytesIO(picture(of_image(left_half, photograph(3000, 1500), "occlusion"))))

    assert drawn.size == (1024, 512)
    assert drawn.getpixel((5, 256)) == drawn.getpixel((1018, 256)) == (128, 128, 128, 170)
    seen = np.asarray(drawn)[40:470, 300:730]
    assert (seen[..., :3] == (213, 94, 0)).all()
    assert seen[:, :180, 3].mean() > 20 > seen[:, 260:, 3].max()


@pytest.mark.parametrize("method", METHODS)
def test_the_words_of_a_text_are_named_by_their_places(
    tiny: BatchEncoder[Any], tiny_spec: Callable[..., EncoderSpec], method: Method
) -> None:
    with_prompt = build(tiny_spec(preprocessing={"prompts": {"document": "paid for: "}}), torch.device("cpu"))

    for encoder in (tiny, with_prompt):
        found = of_text(encoder, Raw(TEXT.encode()), method)
        assert [(word.start, word.end) for word in found] == PLACES
        shares = [word.share for word in found]
        assert max(shares) == 1
        assert min(shares) == 0
    assert [word.share for word in found] != [word.share for word in of_text(tiny, Raw(TEXT.encode()), method)]


def test_the_word_without_which_a_vector_changes_most_has_the_largest_share(tiny: BatchEncoder[Any]) -> None:
    found = of_text(tiny, Raw(TEXT.encode()), "occlusion")

    def vector(text: str) -> Any:
        (outcome,) = tiny.encode([Raw(text.encode())])
        return outcome.vector / np.linalg.norm(outcome.vector)  # type: ignore[union-attr]

    cosines = [float(vector(TEXT) @ vector(TEXT[:start] + TEXT[end:])) for start, end in PLACES]
    assert np.argmax([word.share for word in found]) == np.argmin(cosines)


def test_what_an_encoder_rejects_is_refused_without_its_content(tiny: BatchEncoder[Any]) -> None:
    with pytest.raises(UserError, match=r"^tiny@1\.0\.0 rejects the content \(forbidden_characters\)") as caught:
        of_text(tiny, Raw(b"secret4711\0"), "occlusion")
    assert caught.value.__context__ is None
