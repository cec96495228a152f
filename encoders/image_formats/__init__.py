"""The files that pictures come in: told apart by their first bytes, held to be whole, cut down to what decoding needs.

Metadata (texts, profiles, thumbnails, comments), later frames and whatever follows the picture are dropped before a
decoder sees them; of EXIF the orientation alone is left. A file whose end is missing is refused, whatever its decoder
would make of it. One module a format; each raises Rejected.
"""

import re
from collections.abc import Callable

from encoders.image_formats import bmp, gif, jpeg, png, webp
from rawless.content import ImageFormat

_MAGIC: tuple[tuple[ImageFormat, re.Pattern[bytes]], ...] = (
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("bmp", re.compile(rb"BM")),
)
_NEEDED: dict[ImageFormat, Callable[[bytes], bytes]] = {
    "jpeg": jpeg.needed,
    "png": png.needed,
    "gif": gif.needed,
    "webp": webp.needed,
    "bmp": bmp.needed,
}


def format_of(content: bytes) -> ImageFormat | None:
    """What a file says it is by its first bytes; its name and declared type do not count."""
    return next((name for name, magic in _MAGIC if magic.match(content)), None)


def needed(content: bytes, kind: ImageFormat) -> bytes:
    """The file with nothing but what decoding needs. Raises Rejected for one that is cut short or malformed."""
    return _NEEDED[kind](content)
