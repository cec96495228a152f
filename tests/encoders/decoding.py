"""Decoding image files in tests, with every format allowed and nothing changed but the orientation."""

import numpy as np

from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_spec import ImagePreprocessing
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.privacy import Reason, Rejected

LIMITS = ImageLimits(formats=IMAGE_FORMATS)
PREPROCESSING = ImagePreprocessing(
    exif_orientation="apply",
    alpha="drop",
    resize=8,
    interpolation="bilinear",
    antialias=True,
    crop=8,
    mean=(0, 0, 0),
    std=(1, 1, 1),
)


def decoded(content: bytes) -> np.ndarray:
    """Return the pixels of an image."""
    return np.asarray(decode_pixels(read_header(content, LIMITS), PREPROCESSING))


def outcome(content: bytes, limits: ImageLimits = LIMITS) -> tuple[int, int] | Reason:
    """Return the size of the decoded image, or the reason for its rejection."""
    try:
        return decode_pixels(read_header(content, limits), PREPROCESSING).size
    except Rejected as rejected:
        return rejected.reason
