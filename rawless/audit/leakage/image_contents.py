"""What attacks make of images: small pictures, changed copies, and metadata. It reads contents: run it in `guarded`."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance
from torch.nn import functional

from encoders.composite import CompositeSpec
from encoders.image_formats import detect_format
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_spec import ImagePreprocessing, ImageSpec
from encoders.image_transforms import resize_and_crop
from encoders.spec import EncoderSpec
from rawless.content import IMAGE_FORMATS, ImageLimits

SIDE = 32
"""Pixels of the side of the pictures that an attacker reconstructs."""
_LARGEST = 1024
"""Pixels of the longer side of a changed copy: an attacker has the picture, maybe not in full size."""
_LIMITS = ImageLimits(formats=IMAGE_FORMATS)

Pictures = npt.NDArray[np.float32]
"""Pixels between 0 and 1, of shape (n, 3, side, side)."""


def _recompressed(image: Image.Image) -> bytes:
    return _saved(image, "JPEG", quality=50)


def _cropped(image: Image.Image) -> bytes:
    width, height = image.size
    x, y = width // 20, height // 20
    return _saved(image.crop((x, y, width - x, height - y)), "PNG", compress_level=1)


def _brightened(image: Image.Image) -> bytes:
    return _saved(ImageEnhance.Brightness(image).enhance(1.2), "PNG", compress_level=1)


_CHANGES: tuple[Callable[[Image.Image], bytes], ...] = (_recompressed, _cropped, _brightened)
"""JPEG of quality 50; 5% less on each side; 1.2 times as bright."""


def pictures_of(contents: Sequence[bytes], spec: EncoderSpec, side: int = SIDE) -> Pictures:
    """Return what an encoder sees of images, made small."""
    preprocessing = _preprocessing(spec)
    pictures = np.empty((len(contents), 3, side, side), np.float32)
    for number, content in enumerate(contents):
        seen = resize_and_crop(_decoded(content, preprocessing), preprocessing).float().unsqueeze(0)
        small = functional.interpolate(seen, (side, side), mode="bilinear", antialias=True, align_corners=False)
        pictures[number] = torch.clamp(small.squeeze(0) / 255, 0, 1).numpy()
    return pictures


def changed_copies(content: bytes, spec: EncoderSpec) -> list[bytes]:
    """Return near-duplicates of an image: compressed again, cropped, and brightened."""
    image = _decoded(content, _preprocessing(spec))
    image.thumbnail((_LARGEST, _LARGEST))
    return [change(image) for change in _CHANGES]


def size_of_image(content: bytes) -> tuple[float, ...]:
    """Return what is known of an image without its vector: logarithms of bytes, width and height, and the format."""
    sizes = np.log([len(content), *read_header(content, _LIMITS).size])
    return (*sizes.tolist(), *(float(detect_format(content) == each) for each in IMAGE_FORMATS))


def _decoded(content: bytes, preprocessing: ImagePreprocessing) -> Image.Image:
    return decode_pixels(read_header(content, _LIMITS), preprocessing)


def _preprocessing(spec: EncoderSpec) -> ImagePreprocessing:
    single = spec.parts[0].encoder if isinstance(spec, CompositeSpec) else spec
    return cast(ImageSpec, single).preprocessing.model_copy(update={"decoder": "pillow"})


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
