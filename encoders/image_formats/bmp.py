"""BMP: nothing is removed, but truncated files are rejected, which no decoder does. Runs are decoded here."""

import re
import struct

from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"BM")
_PLAIN, _MASKS = 0, 3
_BITS_OF_RUNS = {1: 8, 2: 4}
"""Bits a pixel of the two kinds of run-length encoding."""
_LINE_END, _IMAGE_END, _MOVE = 0, 1, 2
_HALVES = [bytes(divmod(pair, 16)) for pair in range(256)]
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
    if bits != _BITS_OF_RUNS.get(compression, bits):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    size = (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (_PLAIN, _MASKS) and size <= _MAX_CHECKED_BYTES:
        read_exactly(content, offset, size)
    return content


def without_runs(content: bytes) -> bytes:
    """Return a run-length encoded file as one of 8 bits a pixel that is not encoded. Raises Rejected or IndexError.

    Pillow would do it byte by byte. Here it takes a step for each run, of which a file has at most one in two bytes.
    Pixels that are skipped, or come after the mark of the image's end, have the first colour of the palette.
    """
    offset, header = struct.unpack_from("<LL", content, 10)
    width, height, _, bits = struct.unpack_from("<LlHH", content, 18)
    pixels = _pixels_of_runs(content, offset, (width, abs(height)), is_halved=bits == _BITS_OF_RUNS[2])
    palette = content[14 + header : offset][:1024].ljust(1024, b"\0")
    info = struct.pack("<LLLlHHLLLLLL", 54 + 1024, 40, width, height, 1, 8, _PLAIN, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LL", 54 + 1024 + len(pixels), 0) + info + palette + pixels


def _pixels_of_runs(content: bytes, position: int, size: tuple[int, int], *, is_halved: bool) -> bytes:
    """Return the rows, padded to four bytes, from their runs."""
    width, height = size
    stride = (width + 3) // 4 * 4
    pixels, x, y = bytearray(stride * height), 0, 0
    while y < height:
        count, value = content[position], content[position + 1]
        position += 2
        if count:
            run = (_HALVES[value] * (count // 2 + 1))[:count] if is_halved else content[position - 1 : position] * count
        elif value == _LINE_END:
            x, y = 0, y + 1
            continue
        elif value == _IMAGE_END:
            break
        elif value == _MOVE:
            right, up = read_exactly(content, position, 2)
            x, y, position = x + right, y + up, position + 2
            continue
        else:
            length = (value + 1) // 2 if is_halved else value
            run = read_exactly(content, position, length)
            run = b"".join(_HALVES[pair] for pair in run)[:value] if is_halved else run
            position += length + (length & 1)
        if x + len(run) > width:
            run = run[: max(0, width - x)]
        start = y * stride + x
        pixels[start : start + len(run)] = run
        x += len(run)
    return bytes(pixels)
