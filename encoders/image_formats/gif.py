"""GIF: the colour tables, the first frame and its transparency are kept."""

import re
from collections.abc import Iterator

from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"GIF8[79]a")
_FRAME, _EXTENSION, _END = b",", b"!", b";"
_GRAPHIC_CONTROL = b"\xf9\x04"


def strip(content: bytes, *, whole_file: bool) -> bytes:
    """See `image_formats.strip`."""
    return b"".join(_blocks(content, whole_file=whole_file))


def _blocks(content: bytes, *, whole_file: bool) -> Iterator[bytes]:
    yield read_exactly(content, 0, position := 13 + _colour_table_size(read_exactly(content, 10, 1)[0]))
    has_frame, control = False, b""
    while (kind := read_exactly(content, position, 1)) != _END:
        if kind == _FRAME:
            length = 11 + _colour_table_size(read_exactly(content, position + 9, 1)[0])
        elif kind == _EXTENSION:
            length = 2
        else:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        block = read_exactly(content, position, length + _sub_blocks_size(content, position + length))
        position += len(block)
        if has_frame:
            continue
        if kind == _FRAME:
            has_frame = True
            yield control + block
            if not whole_file:
                break
        elif block[1:3] == _GRAPHIC_CONTROL and len(block) == 8:
            # Only transparency is kept: for a disposal method Pillow allocates memory before the size is checked.
            control = block[:3] + bytes([block[3] & 1]) + block[4:]
    yield _END


def _colour_table_size(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks_size(content: bytes, start: int) -> int:
    """Return the bytes of a sequence of sub-blocks, including the empty one that ends it."""
    position = start
    while size := read_exactly(content, position, 1)[0]:
        position += 1 + size
    return position + 1 - start
