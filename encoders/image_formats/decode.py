"""From the bytes of an image file to RGB pixels, within limits that are checked on its header."""

import ctypes
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin, _imaging

from encoders.image_formats import bmp, detect_format, fax, heic, strip, tiff
from encoders.image_formats.exif import orientation
from encoders.resizing import resized_size
from rawless.privacy import Reason, Rejected

if TYPE_CHECKING:
    from encoders.image_spec import ImagePreprocessing
    from rawless.content import ImageLimits

T = TypeVar("T")

ImageFile.LOAD_TRUNCATED_IMAGES = False
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded in parallel
warnings.simplefilter("error", Image.DecompressionBombWarning)  # by default it is printed, and the file opened
with suppress(AttributeError, OSError):  # libtiff would print where in the pixels it found a fault
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
_PLUGINS = {"jp2": "jpeg2000", "heic": "HEIF"}
"""Pillow's names of formats, where they are others."""
_BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_header(content: bytes, limits: "ImageLimits") -> Image.Image:
    """Return an image whose header was read and is within the limits; its pixels are not decoded yet.

    Raises Rejected: unsupported_image_format, too_many_pixels or undecodable_image.
    """
    image_format = detect_format(content)
    if image_format is None or image_format not in limits.formats:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    if image_format == "heic":
        heic.register()
    file = BytesIO(strip(content, image_format, whole_file=limits.whole_files))
    image = _reject_errors(lambda: Image.open(file, formats=(_PLUGINS.get(image_format, image_format),)))
    width, height = image.size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    if min(width, height) < 1:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return image


def decode_pixels(image: Image.Image, preprocessing: "ImagePreprocessing") -> Image.Image:
    """Return the decoded image in RGB, with the orientation applied. Raises Rejected when it cannot be decoded."""
    is_applied = preprocessing.exif_orientation == "apply"
    image = _reject_errors(lambda: _rewritten(image, is_turned=is_applied))
    if preprocessing.decoder == "pillow_draft":  # of formats other than JPEG nothing changes
        image.draft(None, resized_size(image.size, preprocessing))
    keyed = None if preprocessing.alpha == "drop" else _reject_errors(lambda: _keyed_pixels(image))
    _reject_errors(image.load)
    vars(image).pop("_decoder", None)  # that of WEBP keeps two more copies of the image
    transposition = _TRANSPOSITIONS.get(_orientation(image)) if is_applied else None
    rgb = _reject_errors(lambda: _to_rgb(image, preprocessing.alpha if keyed is None else "drop"))
    if keyed is not None:
        rgb.paste(_BACKGROUNDS[preprocessing.alpha], mask=keyed)
    return rgb if transposition is None else rgb.transpose(transposition)


def _orientation(image: Image.Image) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(tiff.ORIENTATION, 1))
    return orientation(image.info.get("exif") or b"") or 1


def _rewritten(image: Image.Image, *, is_turned: bool) -> Image.Image:
    """Return the image, opened again if it is a BMP with runs, or a HEIC that its decoder would turn and should not."""
    if not isinstance(image, ImageFile.ImageFile):
        return image
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        return Image.open(BytesIO(bmp.without_runs(cast(BytesIO, image.fp).getvalue())), formats=("bmp",))
    if image.format == _PLUGINS["heic"] and not is_turned:
        return Image.open(BytesIO(heic.without_turns(cast(BytesIO, image.fp).getvalue())), formats=("HEIF",))
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(tiff.COMPRESSION) in tiff.FAXES:
        fax.check(cast(BytesIO, image.fp).getvalue())
    return image


def _keyed_pixels(image: Image.Image) -> Image.Image | None:
    """Return a mask of the pixels that have the key's colour, for a PNG of 16 bits a channel with one, else None.

    The key is compared at 16 bits. Of RGB Pillow keeps the upper bytes only; those of little-endian samples, which it
    is told to read the second time, are the lower bytes of a PNG's.
    """
    if not isinstance(image, ImageFile.ImageFile) or not image.tile or "transparency" not in image.info:
        return None
    samples, key = image.tile[0].args, np.asarray(image.info["transparency"])
    if samples == "I;16B":
        return Image.fromarray(np.asarray(image) == key)
    if samples != "RGB;16B":
        return None
    lower = Image.open(BytesIO(cast(BytesIO, image.fp).getvalue()), formats=("png",))
    lower.tile = [lower.tile[0]._replace(args="RGB;16L")]
    keyed = (np.asarray(lower) == key & 255).all(axis=2)
    lower.close()
    return Image.fromarray(keyed & (np.asarray(image) == key >> 8).all(axis=2))


def _to_rgb(image: Image.Image, alpha: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a channel, which Pillow would clip instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if alpha == "drop":
        image.info.pop("transparency", None)  # Pillow would warn about a palette with transparency
    if alpha == "drop" or not image.has_transparency_data:
        return image.convert("RGB")
    layered = image if image.mode == "RGBA" else image.convert("RGBA")
    flat = Image.new("RGB", image.size, _BACKGROUNDS[alpha])
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat


def _reject_errors(step: Callable[[], T]) -> T:
    """Return the result of a step of Pillow. Raises Rejected when it raises, since any error means a bad file."""
    try:
        return step()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Rejected(Reason.TOO_MANY_PIXELS) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - each format raises its own types
        raise Rejected(Reason.UNDECODABLE_IMAGE) from None
