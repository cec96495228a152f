"""EXIF and XMP: reading the orientation, with bounded work for any tags, and writing it without anything else.

Pillow's reader keeps the value of every tag, and all tags may point at the whole file.
"""

import re
import struct

PREFIX = b"Exif\0\0"
MAX_BYTES = 1 << 16
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_TYPES = {3: "H", 4: "L"}
_IN_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")


def orientation(exif: bytes, xmp: bytes = b"") -> int | None:
    """Return the orientation of EXIF, else that of XMP, as Pillow does; None when neither states one.

    It is 1, as stored, where the one that is stated is none of the 1 to 8.
    """
    stated = _in_exif(exif)
    if stated is None and (match := _IN_XMP.search(xmp)):
        stated = int(match[1])
    return stated if stated is None or 1 <= stated <= 8 else 1


def _in_exif(exif: bytes) -> int | None:
    tiff = exif[:MAX_BYTES].removeprefix(PREFIX).removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    count = struct.unpack_from(order + "H", tiff, start)[0] if start + 2 <= len(tiff) else 0
    for position in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", tiff, position)
        if tag == _ORIENTATION:
            is_number = kind in _TYPES and number == 1
            return int(struct.unpack_from(order + _TYPES[kind], tiff, position + 8)[0]) if is_number else 0
    return None


def written(orientation: int) -> bytes:
    """Return EXIF with an orientation and no other tag."""
    entry = struct.pack(">HHLHH", _ORIENTATION, 3, 1, orientation, 0)
    return PREFIX + b"MM\0*" + struct.pack(">LH", 8, 1) + entry + bytes(4)
