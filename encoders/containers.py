"""The files that pictures come in: told apart by their first bytes, held to be whole, cut down to what decoding needs.

Metadata (texts, profiles, thumbnails, comments), later frames and whatever follows the picture are dropped before a
decoder sees them; of EXIF the decoder reads the orientation alone. A file whose end is missing is refused, whatever
its decoder would make of it.
"""

import re
from collections.abc import Iterator

from encoders.limits import ImageFormat
from privacy import Reason, Rejected

MAX_SEGMENTS = 4_096
"""Segments of a JPEG: a profile of 16 MB has 255."""
MAX_SCANS = 32
"""Scans of a progressive JPEG. Encoders write about ten; each costs a pass over all pixels, however short it is."""
_MAGIC: tuple[tuple[ImageFormat, re.Pattern[bytes]], ...] = (
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("bmp", re.compile(rb"BM")),
)
_PNG_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
_JPEG_NEEDED = {*range(0xC0, 0xD0), 0xDB, 0xDD, 0xE0, 0xEE} - {0xC8}
"""Frames, Huffman and arithmetic tables, quantisation, restarts, JFIF and Adobe's colour transform."""
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_EXIF = b"Exif\0\0"


def format_of(content: bytes) -> ImageFormat | None:
    """What a file says it is by its first bytes; its name and declared type do not count."""
    return next((name for name, magic in _MAGIC if magic.match(content)), None)


def needed(content: bytes, kind: ImageFormat) -> bytes:
    """The file with nothing but what decoding needs. Raises Rejected for one that is cut short or malformed."""
    if kind == "png":
        return content[:8] + b"".join(_png_chunks(content))
    if kind == "jpeg":
        return b"\xff\xd8" + b"".join(_jpeg_segments(content))
    if kind == "gif":
        return b"".join(_gif_blocks(content))
    if kind == "webp":
        return _take(content, 0, 8 + int.from_bytes(content[4:8], "little"))
    return content


def _png_chunks(content: bytes) -> Iterator[bytes]:
    position, name = 8, b""
    while name != b"IEND":
        name = _take(content, position + 4, 4)
        chunk = _take(content, position, 12 + int.from_bytes(content[position : position + 4], "big"))
        if name in _PNG_NEEDED:
            yield chunk
        position += len(chunk)


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    scans, position = 0, 2
    for _ in range(MAX_SEGMENTS):
        marker, start = _jpeg_marker(content, position)
        if marker == 0xD9:
            yield b"\xff\xd9"
            return
        if marker == 0x01:  # stands alone
            position = start
            continue
        segment = _take(content, start, max(2, int.from_bytes(_take(content, start, 2), "big")))
        position = start + len(segment)
        if marker in _JPEG_NEEDED or (marker == 0xE1 and segment[2:8] == _EXIF):
            yield bytes((0xFF, marker)) + segment
        elif marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise Rejected(Reason.UNDECODABLE_IMAGE)
            _, following = _jpeg_marker(content, position)
            yield bytes((0xFF, marker)) + segment + content[position : following - 2]
            position = following - 2
    raise Rejected(Reason.UNDECODABLE_IMAGE)


def _jpeg_marker(content: bytes, position: int) -> tuple[int, int]:
    """The next marker, and the position after it."""
    found = _JPEG_MARKER.search(content, position)
    if found is None:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return found[1][0], found.end()


def _gif_blocks(content: bytes) -> Iterator[bytes]:
    """Header, the first frame with what belongs to it, and the end, which must be there."""
    flags = _take(content, 10, 1)[0]
    yield _take(content, 0, position := 13 + _gif_colours(flags))
    framed = False
    while (kind := _take(content, position, 1)) != b";":
        if kind == b",":
            length = 11 + _gif_colours(_take(content, position + 9, 1)[0])
        elif kind == b"!":
            length = 2
        else:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        block = _take(content, position, length + _gif_data(content, position + length))
        if not framed and (kind == b"," or block[1] == 0xF9):  # the picture, or its transparency
            yield block
        framed = framed or kind == b","
        position += len(block)
    yield b";"


def _gif_colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_data(content: bytes, start: int) -> int:
    """The length of a run of sub-blocks, with the empty one that ends it."""
    position = start
    while size := _take(content, position, 1)[0]:
        position += 1 + size
    return position + 1 - start


def _take(content: bytes, start: int, length: int) -> bytes:
    if start + length > len(content):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return content[start : start + length]
