"""JPEG: frames, tables and scans, up to the end of the picture."""

import re
import struct
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.parts import take
from rawless.privacy import Reason, Rejected

MAX_SEGMENTS = 4_096
"""A profile of 16 MB has 255."""
MAX_SCANS = 32
"""Encoders write about ten for a progressive picture; each costs a pass over all pixels, however short it is."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_NEEDED = {*_FRAMES, 0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE}
"""Frames, Huffman and arithmetic tables, quantisation, restarts, JFIF and Adobe's colour transform."""
_START, _SCAN, _END, _ALONE, _APP1 = 0xD8, 0xDA, 0xD9, 0x01, 0xE1
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_FILL = re.compile(rb"\xff+(?=\xff)")
"""Any number of these may stand before a marker. libjpeg reads a long run again and again."""


def needed(content: bytes) -> bytes:
    """See `containers.needed`."""
    return b"".join(_segments(content))


def _segments(content: bytes) -> Iterator[bytes]:
    yield bytes((0xFF, _START))
    position, scans, framed, turned = 2, 0, False, False
    for _ in range(MAX_SEGMENTS):
        marker, start = _marker(content, position)
        if marker == _END:
            yield bytes((0xFF, _END))
            return
        length = 0 if marker == _ALONE else max(2, int.from_bytes(take(content, start, 2), "big"))
        segment, position = take(content, start, length), start + length
        if (framed and marker in _FRAMES) or (scans == MAX_SCANS and marker == _SCAN):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        framed = framed or marker in _FRAMES
        if marker in _NEEDED:
            yield bytes((0xFF, marker)) + segment
        elif marker == _APP1 and segment[2:8] == exif.PREFIX and not turned:
            turned = True
            yield _orientation(segment)
        elif marker == _SCAN:
            scans += 1
            _, following = _marker(content, position)
            yield bytes((0xFF, _SCAN)) + segment + _FILL.sub(b"", content[position : following - 1])[:-1]
            position = following - 2
    raise Rejected(Reason.UNDECODABLE_IMAGE)


def _orientation(segment: bytes) -> bytes:
    only = exif.only(segment[2:])
    return bytes((0xFF, _APP1)) + struct.pack(">H", 2 + len(only)) + only


def _marker(content: bytes, position: int) -> tuple[int, int]:
    """The next marker, and the position after it."""
    found = _MARKER.search(content, position)
    if found is None:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return found[1][0], found.end()
