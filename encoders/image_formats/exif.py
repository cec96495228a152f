"""EXIF: reading the orientation, with bounded work for any tags, and removing everything else.

Pillow's reader keeps the value of every tag, and all tags may point at the whole file.
"""

import struct

PREFIX = b"Exif\0\0"
_MAX_BYTES = 1 << 16
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_TYPES = {3: "H", 4: "L"}


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8; 1 when there is none, or when it cannot be read."""
    tiff = exif[:_MAX_BYTES].removeprefix(PREFIX).removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    count = struct.unpack_from(order + "H", tiff, start)[0] if start + 2 <= len(tiff) else 0
    for position in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", tiff, position)
        if tag == _ORIENTATION and kind in _TYPES and number == 1:
            value = int(struct.unpack_from(order + _TYPES[kind], tiff, position + 8)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def strip(exif: bytes) -> bytes:
    """Return EXIF with the orientation of `exif` and no other tag."""
    entry = struct.pack(">HHLHH", _ORIENTATION, 3, 1, orientation(exif), 0)
    return PREFIX + b"MM\0*" + struct.pack(">LH", 8, 1) + entry + bytes(4)
