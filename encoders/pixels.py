"""From the bytes of an image file to the pixels for several networks. Imports neither torch nor pydantic."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from encoders.image_formats.decode import decode_pixels, read_header
from encoders.resizing import resize_and_crop_picture, resized_size
from encoders.weighted_semaphore import WeightedSemaphore
from rawless.privacy import Reason, Rejected

if TYPE_CHECKING:
    from encoders.image_spec import ImagePreprocessing
    from rawless.content import ImageLimits

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Of shape (height, width, 3)."""
Reserve: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""Waits until so many pixels may be decoded."""
ReadPixels: TypeAlias = "Callable[[bytes, Sequence[ImagePreprocessing], ImageLimits], list[Pixels | Reason]]"
"""`read_pixels`, here or in a child."""
RESIZED_PIXELS = 50_000_000
"""A thin strip is within all limits as it is stored, but takes gigabytes once its short side is resized."""
decoding = WeightedSemaphore(max(RESIZED_PIXELS, 12_500_000 * (os.cpu_count() or 1)))
"""Pixels decoded at a time, here and in children: a phone's photograph for each core, or one of the largest images."""


def read_pixels(
    content: bytes,
    preprocessings: "Sequence[ImagePreprocessing]",
    limits: "ImageLimits",
    reserve: Reserve = decoding.acquire,
) -> list[Pixels | Reason]:
    """Return the pixels of an image file by each preprocessing, or its reason; the image is decoded once.

    All of them decode alike, by Pillow. The pixels are resized and cropped, except for preprocessing without
    antialiasing, which torch does. Raises Rejected for an image that none can take.
    """
    image = read_header(content, limits)
    sizes = [math.prod(resized_size(image.size, each)) for each in preprocessings]
    fitting = [size for size in sizes if size <= RESIZED_PIXELS]
    if not fitting:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    with reserve(max(math.prod(image.size), *fitting)):
        decoded = _decoded(image, preprocessings[0])
        return [
            Reason.TOO_MANY_PIXELS if size > RESIZED_PIXELS else _resized(decoded, preprocessing)
            for preprocessing, size in zip(preprocessings, sizes, strict=True)
        ]


def _decoded(image: Image.Image, preprocessing: "ImagePreprocessing") -> Image.Image | Reason:
    try:
        return decode_pixels(image, preprocessing)
    except Rejected as rejected:
        return rejected.reason


def _resized(decoded: Image.Image | Reason, preprocessing: "ImagePreprocessing") -> Pixels | Reason:
    if isinstance(decoded, Reason):
        return decoded
    return np.array(resize_and_crop_picture(decoded, preprocessing) if preprocessing.antialias else decoded)
