"""GIF: the colours, the first frame and its transparency."""

from collections.abc import Iterator

from encoders.image_formats.parts import take
from rawless.privacy import Reason, Rejected

_FRAME, _EXTENSION, _END = b",", b"!", b";"
_CONTROL = b"\xf9\x04"


def needed(content: bytes) -> bytes:
    """See `containers.needed`."""
    return b"".join(_blocks(content))


def _blocks(content: bytes) -> Iterator[bytes]:
    yield take(content, 0, position := 13 + _colours(take(content, 10, 1)[0]))
    framed, control = False, b""
    while (kind := take(content, position, 1)) != _END:
        if kind == _FRAME:
            length = 11 + _colours(take(content, position + 9, 1)[0])
        elif kind == _EXTENSION:
            length = 2
        else:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        block = take(content, position, length + _data(content, position + length))
        position += len(block)
        if framed:
            continue
        if kind == _FRAME:
            framed = True
            yield control + block
        elif block[1:3] == _CONTROL and len(block) == 8:
            # Its transparency alone: how a frame is disposed of would cost memory before its size was judged.
            control = block[:3] + bytes([block[3] & 1]) + block[4:]
    yield _END


def _colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _data(content: bytes, start: int) -> int:
    """The length of a run of sub-blocks, with the empty one that ends it."""
    position = start
    while size := take(content, position, 1)[0]:
        position += 1 + size
    return position + 1 - start
