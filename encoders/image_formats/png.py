"""PNG: header, palette, transparency and orientation are kept once, and the image data in one chunk."""

import re
import struct
import zlib

from encoders.image_formats import exif
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"\x89PNG\r\n\x1a\n")
_COLOURS = {b"PLTE": 768, b"tRNS": 256}
"""Chunks that precede the image data and of which the first counts, with their maximum length."""


def strip(content: bytes) -> bytes:
    """See `image_formats.strip`."""
    position, name, data = 8, b"", []
    kept: dict[bytes, bytes] = {}
    while name != b"IEND":
        name = read_exactly(content, position + 4, 4)
        whole = read_exactly(content, position, 12 + int.from_bytes(content[position : position + 4], "big"))
        if (name == b"IHDR") != (position == 8) or len(whole) - 12 > _COLOURS.get(name, len(whole)):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if name == b"IDAT":
            data.append(whole[8:-4])
        elif name in (b"IHDR", b"eXIf", b"IEND") or (name in _COLOURS and not data):
            kept.setdefault(name, whole)
        position += len(whole)
    parts = [content[:8], kept[b"IHDR"], kept.get(b"PLTE", b""), kept.get(b"tRNS", b"")]
    if b"eXIf" in kept:
        parts.append(chunk(b"eXIf", exif.strip(kept[b"eXIf"][8:-4]).removeprefix(exif.PREFIX)))
    if data:
        parts.append(chunk(b"IDAT", b"".join(data)))
    return b"".join([*parts, kept[b"IEND"]])


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
