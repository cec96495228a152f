"""The decoder of a spec: what it changes, and where it is refused."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageOps

from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_model import prepare
from encoders.image_spec import ImagePreprocessing
from encoders.load import load
from encoders.nvjpeg import turned
from encoders.resizing import resized_size
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.content import ImageLimits
from rawless.errors import UserError
from tests.encoders.conftest import PREPROCESSING
from tests.encoders.image_files import saved

MakeImage = Callable[..., Image.Image]
SIZES = [(1024, 768), (700, 1100), (577, 577), (145, 143), (143, 2000), (72, 72), (30, 40)]


def pixels(content: bytes, decoder: str) -> npt.NDArray[np.uint8]:
    return prepare(content, ImagePreprocessing.model_validate(PREPROCESSING | {"decoder": decoder}), ImageLimits())


def photograph(width: int, height: int) -> Image.Image:
    """Return a smooth image, as photographs are."""
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    waves = [np.sin(x + y), np.cos(2 * x - y), np.sin(x) * np.cos(3 * y)]
    return Image.fromarray((127.5 + 120 * np.stack(waves, axis=2)).astype(np.uint8))


def with_orientation(orientation: int) -> Image.Exif:
    """Return EXIF with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_draft_is_decoded_smaller_but_never_below_the_resized_side(size: tuple[int, int], orientation: int) -> None:
    content = saved(photograph(*size), "JPEG", quality=95, exif=with_orientation(orientation))
    how = ImagePreprocessing.model_validate(PREPROCESSING | {"decoder": "pillow_draft"})

    decoded = decode_pixels(read_header(content, ImageLimits()), how).size[:: 1 if orientation == 1 else -1]

    least = [min(sides) for sides in zip(resized_size(size, how), size, strict=True)]
    assert all(side >= enough for side, enough in zip(decoded, least, strict=True))
    scale = max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(size) // how.resize >= factor)
    assert decoded == tuple(-(-side // scale) for side in size)
    difference = pixels(content, "pillow_draft").astype(float) - pixels(content, "pillow")
    assert np.abs(difference).mean() < 6  # where a side is no multiple of the scale, a part of a pixel becomes one


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_are_decoded_as_before(image_format: str, make_image: MakeImage) -> None:
    content = saved(make_image(300, 290), image_format)

    assert np.array_equal(pixels(content, "pillow_draft"), pixels(content, "pillow"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_on_the_device_are_turned_as_pillow_turns_images(orientation: int, make_image: MakeImage) -> None:
    image = make_image(7, 5)
    file = BytesIO(saved(image, "PNG", exif=with_orientation(orientation)))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))

    found = turned(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1), orientation)

    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_a_draft_is_another_encoder_that_is_sealed_and_loaded(image_spec: Callable[..., EncoderSpec]) -> None:
    sealed = seal(image_spec(preprocessing={"decoder": "pillow_draft"}))

    assert load(sealed, "cpu").spec == sealed
    assert sealed.fingerprint != seal(image_spec()).fingerprint


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_nvjpeg_is_refused_on_a_machine_without_cuda(image_spec: Callable[..., EncoderSpec]) -> None:
    spec = image_spec(preprocessing={"decoder": "nvjpeg"})

    with pytest.raises(UserError, match=r"small@1\.0\.0 decodes images by nvjpeg, which needs a CUDA device: use"):
        seal(spec)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_nvjpeg_decodes_nearly_what_pillow_decodes() -> None:
    content = saved(photograph(300, 200), "JPEG", quality=95)

    found = pixels(content, "nvjpeg").astype(float)

    assert np.abs(found - pixels(content, "pillow")).mean() < 2
