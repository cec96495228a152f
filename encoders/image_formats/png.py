"""PNG: the header, which comes first and once; palette, transparency and orientation once; the picture in one piece."""

import struct
import zlib

from encoders.image_formats import exif
from encoders.image_formats.parts import take
from rawless.privacy import Reason, Rejected

_COLOURS = {b"PLTE": 768, b"tRNS": 256}
"""Chunks of which the first counts and that come before the picture, with what they may measure."""


def needed(content: bytes) -> bytes:
    """See `containers.needed`."""
    position, name, data = 8, b"", []
    found: dict[bytes, bytes] = {}
    while name != b"IEND":
        name = take(content, position + 4, 4)
        whole = take(content, position, 12 + int.from_bytes(content[position : position + 4], "big"))
        if (name == b"IHDR") != (position == 8) or len(whole) - 12 > _COLOURS.get(name, len(whole)):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if name == b"IDAT":
            data.append(whole[8:-4])
        elif name in (b"IHDR", b"eXIf", b"IEND") or (name in _COLOURS and not data):
            found.setdefault(name, whole)
        position += len(whole)
    parts = [content[:8], found[b"IHDR"], found.get(b"PLTE", b""), found.get(b"tRNS", b"")]
    if b"eXIf" in found:
        parts.append(chunk(b"eXIf", exif.only(found[b"eXIf"][8:-4]).removeprefix(exif.PREFIX)))
    if data:
        parts.append(chunk(b"IDAT", b"".join(data)))
    return b"".join([*parts, found[b"IEND"]])


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
