"""WEBP: the canvas, the first frame and the orientation."""

import struct
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.parts import take
from rawless.privacy import Reason, Rejected

_NEEDED = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF"}
_LARGEST_CANVAS = 1 << 28
"""Pixels: more than any stream may allow. Pillow sets memory aside for the canvas before its size can be judged."""


def needed(content: bytes) -> bytes:
    """See `containers.needed`."""
    whole = take(content, 0, 8 + int.from_bytes(content[4:8], "little"))
    body = b"WEBP" + b"".join(_chunks(whole))
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _chunks(content: bytes) -> Iterator[bytes]:
    position, framed = 12, False
    while position < len(content):
        size = int.from_bytes(take(content, position + 4, 4), "little")
        chunk = take(content, position, 8 + size)
        name = chunk[:4]
        position += 8 + size + (size & 1)
        if name == b"VP8X" and _canvas(chunk) > _LARGEST_CANVAS:
            raise Rejected(Reason.TOO_MANY_PIXELS)
        if name not in _NEEDED or (framed and name == b"ANMF"):
            continue
        framed = framed or name == b"ANMF"
        if name == b"EXIF":
            tag = exif.only(chunk[8:])
            chunk = b"EXIF" + struct.pack("<L", len(tag)) + tag
        yield chunk + bytes(len(chunk) & 1)


def _canvas(chunk: bytes) -> int:
    """Pixels of the canvas: two sides less one, of three bytes each."""
    width, height = take(chunk, 12, 3), take(chunk, 15, 3)
    return (int.from_bytes(width, "little") + 1) * (int.from_bytes(height, "little") + 1)
