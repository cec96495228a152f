"""EXIF: which way up a picture is, and nothing else of it. Bounded work, whatever the tags say.

Pillow's own reader keeps the value of every tag, and tags may all point at the whole file.
"""

import struct

PREFIX = b"Exif\0\0"
_LONGEST = 1 << 16
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_KINDS = {3: "H", 4: "L"}


def orientation(exif: bytes) -> int:
    """1 to 8; 1 when there is none to read."""
    tiff = exif[:_LONGEST].removeprefix(PREFIX).removeprefix(PREFIX)
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "L", tiff, 4)
    count = struct.unpack_from(order + "H", tiff, start)[0] if start + 2 <= len(tiff) else 0
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", tiff, at)
        if tag == _ORIENTATION and kind in _KINDS and number == 1:
            value = int(struct.unpack_from(order + _KINDS[kind], tiff, at + 8)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def only(exif: bytes) -> bytes:
    """EXIF that says the orientation of this one and nothing else."""
    entry = struct.pack(">HHLHH", _ORIENTATION, 3, 1, orientation(exif), 0)
    return PREFIX + b"MM\0*" + struct.pack(">LH", 8, 1) + entry + bytes(4)
