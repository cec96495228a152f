"""PNG: header, palette, transparency and orientation are kept once, and the image data in one chunk."""

import re
import struct
import zlib
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"\x89PNG\r\n\x1a\n")
_COLOURS = {b"PLTE": 768, b"tRNS": 256}
"""Chunks that precede the image data and of which the first counts, with their maximum length."""
_WRITTEN = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT")
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_RAW_PROFILE, _XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"
"""The keywords of texts that may state the orientation."""
_MAX_TEXT_BYTES = 1 << 20
_CHECKED = {b"IHDR", *_COLOURS}
"""Chunks whose checksums are verified: a damaged one would change all pixels."""
_INDEXED = 3
_KEY_SAMPLES = {0: 1, 2: 3}
"""Samples of a colour key, by the colour types that have one: greyscale and RGB."""


def strip(content: bytes, *, whole_file: bool) -> bytes:
    """See `image_formats.strip`."""
    images: list[bytes] = []
    kept: dict[bytes, bytes] = {}
    texts: dict[bytes, tuple[bytes, bytes]] = {}
    for name, data in _chunks(content, whole_file=whole_file):
        if name == b"IDAT":
            images.append(data)
        elif name == b"IHDR" or (name in _COLOURS and not images):
            kept.setdefault(name, data)
        elif name == b"eXIf":
            kept[name] = data
        elif name in _TEXTS and (keyword := data.partition(b"\0")[0]) in (_RAW_PROFILE, _XMP):
            texts[keyword] = name, data
    if read_exactly(kept[b"IHDR"], 9, 1)[0] == _INDEXED and b"PLTE" not in kept:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    if b"tRNS" in kept:
        kept[b"tRNS"] = _transparency(kept[b"IHDR"], kept[b"tRNS"])
    tags = kept.pop(b"eXIf", None)
    turn = exif.orientation(_raw_profile(texts) if tags is None else tags, _text(texts, _XMP))
    if turn is not None:
        kept[b"eXIf"] = exif.written(turn).removeprefix(exif.PREFIX)
    kept[b"IDAT"] = b"".join(images)
    parts = [chunk(name, kept[name]) for name in _WRITTEN if name in kept]
    return b"".join([content[:8], *parts, chunk(b"IEND", b"")])


def _chunks(content: bytes, *, whole_file: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and data of the chunks before the end. After image data they stop where the file is cut or malformed.

    Whether all of the image data is there is found by decoding it.
    """
    position, name, has_image = 8, b"", False
    while name != b"IEND":
        try:
            name = read_exactly(content, position + 4, 4)
            length = int.from_bytes(content[position : position + 4], "big")
            data = read_exactly(content, position + 8, length)
            if whole_file or name != b"IDAT":
                read_exactly(content, position + 8 + length, 4)
        except Rejected:
            if whole_file or not has_image:
                raise
            return
        checksum = content[position + 8 + length : position + 12 + length]
        if (name == b"IHDR") != (position == 8) or length > _COLOURS.get(name, length):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if name in _CHECKED and not has_image and chunk(name, data)[-4:] != checksum:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        yield name, data
        position += 12 + length
        has_image = has_image or name == b"IDAT"


def _transparency(header: bytes, data: bytes) -> bytes:
    """Return the data of a chunk tRNS, a colour key in samples of 8 bits if the image has at most 8.

    Only the lower bits of a key count. Pillow reads all of them, and compares with samples that it has scaled to 8.
    """
    bits, colour = read_exactly(header, 8, 2)
    if colour not in _KEY_SAMPLES or bits not in (1, 2, 4, 8):
        return data
    highest = (1 << bits) - 1
    samples = struct.iter_unpack(">H", read_exactly(data, 0, 2 * _KEY_SAMPLES[colour]))
    return b"".join(struct.pack(">H", (sample & highest) * 255 // highest) for (sample,) in samples)


def _raw_profile(texts: dict[bytes, tuple[bytes, bytes]]) -> bytes:
    """Return the EXIF that ImageMagick writes as a text of hexadecimal digits after three lines."""
    digits = b"".join(_text(texts, _RAW_PROFILE).split(b"\n")[3:])[: 2 * exif.MAX_BYTES]
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _text(texts: dict[bytes, tuple[bytes, bytes]], keyword: bytes) -> bytes:
    """Return a text, or at most its first megabyte when it is compressed; nothing when it is absent or malformed."""
    name, data = texts.get(keyword, (b"tEXt", b""))
    text = data.partition(b"\0")[2]
    is_packed = name == b"zTXt"
    if name == b"iTXt":
        is_packed = text[:1] != b"\0"
        text = text[1:2] * is_packed + text[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not is_packed:
        return text
    try:
        return zlib.decompressobj().decompress(text[1:], _MAX_TEXT_BYTES) if text[:1] == b"\0" else b""
    except zlib.error:
        return b""


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
