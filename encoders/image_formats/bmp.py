"""BMP: nothing is removed, but truncated files are rejected, which no decoder does, and so is run-length encoding."""

import re
import struct

from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"BM")
_PLAIN, _RUN_LENGTH, _MASKS = 0, (1, 2), 3
_CORE_HEADER = 12
_MAX_CHECKED_BYTES = 1 << 29
"""Bytes of pixels above which the end of the file is not checked, since the size of the image is rejected."""


def strip(content: bytes, *, whole_file: bool) -> bytes:  # noqa: ARG001
    """See `image_formats.strip`; the file is always read to the end of its image."""
    offset, header = struct.unpack("<LL", read_exactly(content, 10, 8))
    if header == _CORE_HEADER:
        width, height, _, bits = struct.unpack("<4H", read_exactly(content, 18, 8))
        compression = _PLAIN
    else:
        width, height, _, bits, compression = struct.unpack("<LlHHL", read_exactly(content, 18, 16))
    if compression in _RUN_LENGTH:  # Pillow decodes it in Python, which takes seconds for a small file
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    size = (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (_PLAIN, _MASKS) and size <= _MAX_CHECKED_BYTES:
        read_exactly(content, offset, size)
    return content
