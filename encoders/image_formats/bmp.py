"""BMP: nothing to leave out, but its end is missed by no decoder; runs are refused."""

import struct

from encoders.image_formats.parts import take
from rawless.privacy import Reason, Rejected

_PLAIN, _RUNS, _MASKS = 0, (1, 2), 3
_CORE_HEADER = 12
_LARGEST = 1 << 29
"""Bytes of pixels beyond which the size is judged, not the end."""


def needed(content: bytes) -> bytes:
    """See `containers.needed`."""
    offset, header = struct.unpack("<LL", take(content, 10, 8))
    if header == _CORE_HEADER:
        width, height, _, bits = struct.unpack("<4H", take(content, 18, 8))
        compression = _PLAIN
    else:
        width, height, _, bits, compression = struct.unpack("<LlHHL", take(content, 18, 16))
    if compression in _RUNS:  # Pillow expands them step by step in Python: seconds for a small file
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    size = (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (_PLAIN, _MASKS) and size <= _LARGEST:
        take(content, offset, size)
    return content
