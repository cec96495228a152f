"""JPEG: frame, tables, scans and orientation are kept, up to the end of the first image."""

import re
import struct
from collections.abc import Iterator

from encoders.image_formats import exif
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"\xff\xd8\xff")
MAX_SEGMENTS = 4_096
"""A profile of 16 MB has 255 segments."""
MAX_SCANS = 32
"""Encoders write about ten for a progressive image; each costs a pass over all pixels, however short it is."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_KEPT = {*_FRAMES, 0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE}
"""Frames, Huffman and arithmetic tables, quantisation, restarts, JFIF and Adobe's colour transform."""
_START, _SCAN, _END, _APP1 = 0xD8, 0xDA, 0xD9, 0xE1
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MARKERS = {*_KEPT, _SCAN, _END, 0xDC, *range(0xE0, 0xF0), 0xFE}
"""All that libjpeg knows beside restarts. Of others it ignores some within a scan, with the bits before the restart."""
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_FILL = re.compile(rb"\xff+(?=\xff)")
"""Fill bytes, of which any number may precede a marker. libjpeg reads a long run of them repeatedly."""


def strip(content: bytes, *, whole_file: bool) -> bytes:  # noqa: ARG001
    """See `image_formats.strip`; the file is always read to the end of its image."""
    metadata: dict[bytes, bytes] = {}
    kept = b"".join(_segments(content, metadata))
    turn = exif.orientation(metadata.get(exif.PREFIX, b""), metadata.get(_XMP, b""))
    return bytes((0xFF, _START)) + (b"" if turn is None else _orientation(turn)) + kept


def frame_size(stripped: bytes) -> tuple[int, int]:
    """Return width and height by the frame of a JPEG that `strip` returned."""
    frame = next((each for each in _segments(stripped, {}) if each[1] in _FRAMES), b"")
    height, width = struct.unpack(">HH", read_exactly(frame, 5, 4))
    return width, height


def _segments(content: bytes, metadata: dict[bytes, bytes]) -> Iterator[bytes]:
    """Yield what is kept, and add EXIF and XMP to the metadata by their prefixes."""
    position, scans, has_frame = 2, 0, False
    for _ in range(MAX_SEGMENTS):
        marker, start = _next_marker(content, position)
        if marker not in _MARKERS:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if marker == _END:
            yield bytes((0xFF, _END))
            return
        length = max(2, int.from_bytes(read_exactly(content, start, 2), "big"))
        segment, position = read_exactly(content, start, length), start + length
        if (has_frame and marker in _FRAMES) or (scans == MAX_SCANS and marker == _SCAN):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        has_frame = has_frame or marker in _FRAMES
        if marker in _KEPT:
            yield bytes((0xFF, marker)) + segment
        elif marker == _APP1 and not scans:  # as Pillow, which reads the first EXIF and the last XMP
            metadata |= {_XMP: segment} if segment.startswith(_XMP, 2) else {segment[2:8]: segment[2:]} | metadata
        elif marker == _SCAN:
            scans += 1
            _, following = _next_marker(content, position)
            yield bytes((0xFF, _SCAN)) + segment + _FILL.sub(b"", content[position : following - 1])[:-1]
            position = following - 2
    raise Rejected(Reason.UNDECODABLE_IMAGE)


def _orientation(orientation: int) -> bytes:
    written = exif.written(orientation)
    return bytes((0xFF, _APP1)) + struct.pack(">H", 2 + len(written)) + written


def _next_marker(content: bytes, position: int) -> tuple[int, int]:
    """Return the next marker, and the position after it."""
    match = _MARKER.search(content, position)
    if match is None:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return match[1][0], match.end()
