"""The contents of an event with several named parts, such as an image and its caption, as one sequence of bytes.

It exists in memory only, inside `Raw`, so that whatever carries the content of an event carries all of its parts.
"""

import struct
from collections.abc import Mapping

_HEADER = struct.Struct(">HQ")
"""The lengths of name and content, which follow."""


def pack(parts: Mapping[str, bytes]) -> bytes:
    """Return parts by name as one sequence, the same for the same parts in any order."""
    return b"".join(
        piece
        for name, content in sorted(parts.items())
        for piece in (_HEADER.pack(len(name.encode()), len(content)), name.encode(), content)
    )


def unpack(packed: bytes) -> dict[str, bytes]:
    """Return the parts by name. Raises ValueError for bytes that `pack` did not return."""
    parts: dict[str, bytes] = {}
    start = 0
    while start < len(packed):
        if start + _HEADER.size > len(packed):
            raise ValueError("cut off")
        name_size, size = _HEADER.unpack_from(packed, start)
        start += _HEADER.size
        end = start + name_size + size
        if end > len(packed):
            raise ValueError("cut off")
        parts[packed[start : start + name_size].decode()] = packed[start + name_size : end]
        start = end
    return parts


def overhead(name: str) -> int:
    """Return how many bytes `pack` adds to a part of this name."""
    return _HEADER.size + len(name.encode())
