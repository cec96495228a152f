"""Image formats: detecting the format of a file, and stripping the file to what decoding needs.

Metadata (texts, profiles, thumbnails, comments), later frames and bytes after the image are removed before a decoder
reads the file; of EXIF and XMP only the orientation is kept. A file without all pixels is rejected, even if its decoder
would accept it.

`rawless.content` has the names of the formats and the limits on images. Each format has one module here, with the
`SIGNATURE` of its first bytes and a function `strip`; `decode` turns a file into pixels.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from encoders.image_formats import avif, bmp, gif, heic, jp2, jpeg, png, tiff, webp
from rawless.errors import UserError

if TYPE_CHECKING:
    from rawless.content import ImageFormat

_FORMATS: "dict[ImageFormat, ModuleType]" = {
    "jpeg": jpeg,
    "png": png,
    "gif": gif,
    "webp": webp,
    "bmp": bmp,
    "tiff": tiff,
    "avif": avif,
    "jp2": jp2,
    "heic": heic,
}


def check_installed(formats: "Iterable[ImageFormat]") -> None:
    """Raise UserError unless the optional library that one of the formats needs is installed."""
    if "heic" in formats and not heic.is_installed():
        raise UserError("limits.formats: heic needs pillow-heif, which is missing: run `pip install 'rawless[heic]'`.")


def detect_format(content: bytes) -> "ImageFormat | None":
    """Return the format of a file by its first bytes; its name and declared type are ignored."""
    return next((name for name, module in _FORMATS.items() if module.SIGNATURE.match(content)), None)


def strip(content: bytes, image_format: "ImageFormat", *, whole_file: bool = False) -> bytes:
    """Return the file with only what decoding needs. Raises Rejected when it is truncated or malformed.

    Faults after the image of a PNG or AVIF, or after the first frame of a GIF, count only if `whole_file` is true.
    """
    stripped: bytes = _FORMATS[image_format].strip(content, whole_file=whole_file)
    return stripped
