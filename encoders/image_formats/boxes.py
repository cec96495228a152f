"""Boxes, of which HEIF and JPEG 2000 files consist: a length, a name and content, which may be other boxes."""

import struct
from collections.abc import Iterator

from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

MAX_BOXES = 4_096
"""In a file or a box. A camera's image has about 50 tiles, each with some boxes."""


def read(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box."""
    position, number = 0, 0
    while position < len(content):
        length, head = int.from_bytes(read_exactly(content, position, 8)[:4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(read_exactly(content, position + 8, 8), "big"), 16
        elif length == 0:  # up to the end
            length = len(content) - position
        number += 1
        if length < head or number > MAX_BOXES:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        yield content[position + 4 : position + 8], read_exactly(content, position + head, length - head)
        position += length


def by_name(content: bytes) -> dict[bytes, bytes]:
    """Return the content of the boxes by their names, of which the first counts."""
    found: dict[bytes, bytes] = {}
    for name, box in read(content):
        found.setdefault(name, box)
    return found


def written(name: bytes, *parts: bytes) -> bytes:
    """Return a box of some parts."""
    content = b"".join(parts)
    return struct.pack(">L4s", 8 + len(content), name) + content
