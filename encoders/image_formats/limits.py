"""What a picture may measure and be, judged from its header before any pixel is decoded."""

from dataclasses import dataclass
from typing import Literal, get_args

ImageFormat = Literal["jpeg", "png", "webp", "gif", "bmp"]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on pictures. Texts are limited in bytes alone, before they come to an encoder."""

    max_pixels: int = 50_000_000
    """Width times height, as stored."""
    max_side: int = 10_000
    """Pixels of the longer side, as stored."""
    formats: tuple[ImageFormat, ...] = get_args(ImageFormat)
