"""The kinds of content that an event may carry: modalities, image formats, and the limits on images."""

from typing import Literal, get_args

from pydantic import Field, StrictBool, StrictInt

from rawless.config import FrozenModel

Modality = Literal["text", "image", "parts"]
"""`parts` is several named ones of the others, of one event."""
PartModality = Literal["text", "image"]
ImageFormat = Literal["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "jp2", "heic"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
DEFAULT_FORMATS: tuple[ImageFormat, ...] = ("jpeg", "png", "webp", "gif", "bmp")
"""The formats that a stream accepts unless it names others: those of the web, whose decoders are the most tested."""


class ImageLimits(FrozenModel):
    """Limits on an image, checked from its header before any pixel is decoded."""

    max_pixels: StrictInt = Field(default=50_000_000, ge=1, le=89_000_000)
    """Width times height, as stored; decoding takes up to about 16 bytes of memory for each."""
    max_side: StrictInt = Field(default=10_000, ge=1, le=65_535)
    """Pixels of the longer side, as stored."""
    formats: tuple[ImageFormat, ...] = Field(default=DEFAULT_FORMATS, min_length=1)
    """The formats that are decoded."""
    whole_files: StrictBool = False
    """True also rejects a PNG, GIF, AVIF or JPEG 2000 that is cut or malformed after the pixels that are decoded."""
