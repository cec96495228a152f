"""WEBP: the canvas, the first frame and the orientation are kept."""

import re
import struct
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"RIFF....WEBP", re.DOTALL)
_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF"}
_MAX_CANVAS = 1 << 28
"""Pixels: more than any stream may allow. Pillow allocates memory for the canvas before its size can be checked."""


def strip(content: bytes, *, whole_file: bool) -> bytes:  # noqa: ARG001
    """See `image_formats.strip`; the file is always read to the end of its image."""
    whole = read_exactly(content, 0, 8 + int.from_bytes(content[4:8], "little"))
    body = b"WEBP" + b"".join(_chunks(whole))
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _chunks(content: bytes) -> Iterator[bytes]:
    position, has_frame = 12, False
    while position < len(content):
        size = int.from_bytes(read_exactly(content, position + 4, 4), "little")
        chunk = read_exactly(content, position, 8 + size)
        name = chunk[:4]
        end = position + 8 + size
        position = end + (size & 1)
        padding = content[end:position]  # libwebp reads it as pixels when those before it are damaged
        if name == b"VP8X" and _canvas_pixels(chunk) > _MAX_CANVAS:
            raise Rejected(Reason.TOO_MANY_PIXELS)
        if name not in _KEPT or (has_frame and name == b"ANMF"):
            continue
        has_frame = has_frame or name == b"ANMF"
        if name == b"EXIF":
            orientation = exif.strip(chunk[8:])
            chunk, padding = b"EXIF" + struct.pack("<L", len(orientation)) + orientation, b""
        yield chunk + padding


def _canvas_pixels(chunk: bytes) -> int:
    """Return the pixels of the canvas, whose sides are stored less one, in three bytes each."""
    width, height = read_exactly(chunk, 12, 3), read_exactly(chunk, 15, 3)
    return (int.from_bytes(width, "little") + 1) * (int.from_bytes(height, "little") + 1)
