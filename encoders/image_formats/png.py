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

_INDEXED = 3
_KEY_SAMPLES = {0: 1, 2: 3}
"""Samples of a colour key, by the colour types that have one: greyscale and RGB."""


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
    if read_exactly(kept[b"IHDR"], 17, 1)[0] == _INDEXED and b"PLTE" not in kept:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    parts = [content[:8], kept[b"IHDR"], kept.get(b"PLTE", b"")]
    if b"tRNS" in kept:
        parts.append(chunk(b"tRNS", _transparency(kept[b"IHDR"], kept[b"tRNS"])))
    if b"eXIf" in kept:
        parts.append(chunk(b"eXIf", exif.strip(kept[b"eXIf"][8:-4]).removeprefix(exif.PREFIX)))
    if data:
        parts.append(chunk(b"IDAT", b"".join(data)))
    return b"".join([*parts, kept[b"IEND"]])


def _transparency(header: bytes, whole: bytes) -> bytes:
    """Return the data of a chunk tRNS, a colour key in samples of 8 bits if the image has at most 8.

    Only the lower bits of a key count. Pillow reads all of them, and compares with samples that it has scaled to 8.
    """
    data, (bits, colour) = whole[8:-4], read_exactly(header, 16, 2)
    if chunk(b"tRNS", data) != whole:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    if colour not in _KEY_SAMPLES or bits not in (1, 2, 4, 8):
        return data
    highest = (1 << bits) - 1
    samples = struct.iter_unpack(">H", read_exactly(data, 0, 2 * _KEY_SAMPLES[colour]))
    return b"".join(struct.pack(">H", (sample & highest) * 255 // highest) for (sample,) in samples)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
