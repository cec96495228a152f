"""WEBP: the canvas, the first frame and the orientation are kept."""

import re
import struct
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"RIFF....WEBP", re.DOTALL)
_IMAGE = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
_METADATA = {b"EXIF": 8, b"XMP ": 4}
"""The chunks that may state the orientation, with their flags in VP8X."""
_MAX_CANVAS = 1 << 28
"""Pixels: more than any stream may allow. Pillow allocates memory for the canvas before its size can be checked."""


def strip(content: bytes, *, whole_file: bool) -> bytes:  # noqa: ARG001
    """See `image_formats.strip`; the file is always read to the end of its image."""
    whole = read_exactly(content, 0, 8 + int.from_bytes(content[4:8], "little"))
    kept: list[bytes] = []
    metadata: dict[bytes, bytes] = {}
    for name, chunk in _chunks(whole):
        if name in _METADATA:
            metadata.setdefault(name, chunk[8:])
        else:
            kept.append(chunk)
    if kept and kept[0].startswith(b"VP8X"):  # which says what metadata there is
        flags = kept[0][8]
        turn = exif.orientation(*(metadata.get(name, b"") if flags & flag else b"" for name, flag in _METADATA.items()))
        if turn is not None:
            written = exif.written(turn)
            kept.append(b"EXIF" + struct.pack("<L", len(written)) + written)
        flags = flags & ~_METADATA[b"EXIF"] | (0 if turn is None else _METADATA[b"EXIF"])
        kept[0] = kept[0][:8] + bytes([flags]) + kept[0][9:]
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the bytes of each chunk that is read, with its padding."""
    position, has_frame = 12, False
    while position < len(content):
        size = int.from_bytes(read_exactly(content, position + 4, 4), "little")
        read_exactly(content, position, 8 + size)
        # libwebp reads the padding as pixels when those before it are damaged.
        chunk = content[position : position + 8 + size + (size & 1)]
        name = chunk[:4]
        position += 8 + size + (size & 1)
        if name == b"VP8X" and _canvas_pixels(chunk) > _MAX_CANVAS:
            raise Rejected(Reason.TOO_MANY_PIXELS)
        if (name in _IMAGE and not (has_frame and name == b"ANMF")) or name in _METADATA:
            yield name, chunk
        has_frame = has_frame or name == b"ANMF"


def _canvas_pixels(chunk: bytes) -> int:
    """Return the pixels of the canvas, whose sides are stored less one, in three bytes each."""
    width, height = read_exactly(chunk, 12, 3), read_exactly(chunk, 15, 3)
    return (int.from_bytes(width, "little") + 1) * (int.from_bytes(height, "little") + 1)
