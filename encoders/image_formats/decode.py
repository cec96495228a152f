"""From the bytes of a file to RGB pixels, behind limits that are judged from its header."""

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile

from encoders.image_formats import format_of, needed
from encoders.image_formats.exif import orientation
from encoders.image_spec import ImagePreprocessing
from rawless.content import ImageLimits
from rawless.privacy import Reason, Rejected

T = TypeVar("T")

ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.simplefilter("error", Image.DecompressionBombWarning)  # else it would be printed, and the file opened
_BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def opened(content: bytes, limits: ImageLimits) -> Image.Image:
    """A picture whose header was read and found within the limits; its pixels are not decoded yet.

    Raises Rejected: unsupported_image_format, too_many_pixels or undecodable_image.
    """
    kind = format_of(content)
    if kind is None or kind not in limits.formats:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    file = BytesIO(needed(content, kind))
    image = _decoding(lambda: Image.open(file, formats=(kind,)))
    width, height = image.size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    if min(width, height) < 1:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return image


def pixels(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """The decoded picture in RGB, the right way up. Raises Rejected when it cannot be decoded."""
    _decoding(image.load)
    vars(image).pop("_decoder", None)  # of WEBP, which holds the picture twice more
    applied = preprocessing.exif_orientation == "apply"
    turn = _TURNS.get(orientation(image.info.get("exif") or b"")) if applied else None
    coloured = _decoding(lambda: _rgb(image, preprocessing.alpha))
    return coloured if turn is None else coloured.transpose(turn)


def _rgb(image: Image.Image, alpha: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a channel, where Pillow would clip instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if alpha == "drop":
        image.info.pop("transparency", None)  # else Pillow warns of palettes that have it
    if alpha == "drop" or not image.has_transparency_data:
        return image.convert("RGB")
    layered = image if image.mode == "RGBA" else image.convert("RGBA")
    flat = Image.new("RGB", image.size, _BACKGROUNDS[alpha])
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat


def _decoding(step: Callable[[], T]) -> T:
    """A step of Pillow's, whose errors of whatever type mean that the file cannot be decoded."""
    try:
        return step()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Rejected(Reason.TOO_MANY_PIXELS) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - each format has errors of its own
        raise Rejected(Reason.UNDECODABLE_IMAGE) from None
