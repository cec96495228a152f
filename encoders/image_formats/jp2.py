"""JPEG 2000, a codestream alone or in a JP2: its main header, its tiles and what states the colours are kept.

A decoder allocates memory for each tile, and within a tile for each block, layer and precinct that a header states,
before it reads any of them. Their numbers are limited here.
"""

import re
import struct
from collections import Counter
from typing import NamedTuple

from encoders.image_formats import boxes
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

_RAW, _JP2 = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
SIGNATURE = re.compile(re.escape(_RAW) + b"|" + re.escape(_JP2))
MAX_TILES = 4_096
"""A decoder keeps about 10 KB for each."""
MAX_TILE_PARTS = 1 << 16
_MAX_PIXELS = 1 << 28
"""More than any stream may allow."""
_MAX_HEADERS = 4_096
_MAX_TILE_BLOCKS, _MAX_BLOCKS, _BLOCK_SAMPLES = 1 << 16, 1 << 20, 32
"""Blocks and precincts that a tile, and an image, may have; more if each has as many samples."""
_MAX_PACKETS = 1 << 24
"""Layers times the precincts of a tile, as a decoder counts them. A decoder keeps two bytes for each."""
_MAX_COMPONENTS, _MAX_LEVELS, _MAX_BLOCK_SIDE, _MAX_BLOCK = 4, 32, 10, 12
"""What decoders know; the sides of blocks and their product are exponents."""
_SIZE, _STYLE, _STYLE_OF_COMPONENT, _TILE, _DATA, _END = 0x51, 0x52, 0x53, 0x90, 0x93, 0xD9
_KEPT = {0x50, _SIZE, _STYLE, _STYLE_OF_COMPONENT, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61}
"""Capabilities, size, coding style, quantisation, regions, progression, and headers of packets."""
_DROPPED = {0x55, 0x57, 0x58, 0x63, 0x64}
"""Lengths of tiles and packets, which decoders need not know, registration, and comments."""
_COLOURS = {b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap"}
_ENUMERATED, _COLOUR_BYTES = 1, 7
_HAS_PRECINCTS, _LARGEST_PRECINCT = 1, 15
_Headers = list[tuple[int, bytes]]


class _Size(NamedTuple):
    """The image, its tiles, and the number of components."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    tiles: int
    components: int


class _Style(NamedTuple):
    """How the components of a tile are divided: levels, exponents of the sides of blocks and precincts."""

    levels: int
    block: tuple[int, int]
    precincts: bytes


def strip(content: bytes, *, whole_file: bool) -> bytes:
    """See `image_formats.strip`. Boxes after the image are read, though not kept, if `whole_file` is true."""
    if content.startswith(_RAW):
        return _codestream(content, whole_file=whole_file)[1]
    header, stripped = b"", b""
    for name, box in boxes.read(content[len(_JP2) :]):
        if name == b"jp2h" and not header:
            header = box
        elif name == b"jp2c" and not stripped:
            size, stream = _codestream(box, whole_file=whole_file)
            ftyp = boxes.written(b"ftyp", b"jp2 ", bytes(4), b"jp2 ")
            stripped = _JP2 + ftyp + _header(header, size) + boxes.written(b"jp2c", stream)
        if stripped and not whole_file:
            break
    if not stripped:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return stripped


def _header(content: bytes, size: _Size) -> bytes:
    """Return the box that states size and colours, which must be those of the codestream."""
    found = {name: box for name, box in boxes.by_name(content).items() if name in _COLOURS}
    if struct.unpack(">LLH", read_exactly(found.get(b"ihdr", b""), 0, 10)) != (
        size.height,
        size.width,
        size.components,
    ):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    if found.get(b"colr", b"")[:1] != bytes([_ENUMERATED]):  # the others are profiles
        found.pop(b"colr", None)
    lengths = {b"ihdr": 14, b"bpcc": size.components, b"colr": _COLOUR_BYTES}
    return boxes.written(
        b"jp2h",
        *(boxes.written(name, read_exactly(box, 0, lengths.get(name, len(box)))) for name, box in found.items()),
    )


def _codestream(content: bytes, *, whole_file: bool) -> tuple[_Size, bytes]:
    """Return the size, and the codestream with only what decoding needs."""
    headers, position = _headers(content, 2, _TILE)
    if [marker for marker, _ in headers if marker == _SIZE] != [_SIZE] or headers[0][0] != _SIZE:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    size = _size(headers[0][1])
    layers = _checked_styles(headers, size, 0)
    kept, ends, parts = [_RAW[:2], *_written(headers)], dict[int, int](), Counter[int]()
    while position:
        start, (_, tile, length, number, total) = (
            position - 2,
            struct.unpack(">HHLBB", read_exactly(content, position, 10)),
        )
        tile_headers, data = _headers(content, position + 10, _DATA)
        end = start + length if length else len(content) - 2
        if number != parts[tile] or tile >= size.tiles or data > end or parts.total() == MAX_TILE_PARTS:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        parts[tile] += 1
        ends[tile] = total or ends.get(tile, 0)
        _checked_styles(tile_headers, size, layers)
        body = b"".join([*_written(tile_headers), bytes((0xFF, _DATA)), read_exactly(content, data, end - data)])
        kept += [bytes((0xFF, _TILE)), struct.pack(">HHLBB", 10, tile, 12 + len(body), number, total), body]
        position = _next_tile(content, end, is_open=not whole_file and ends == parts)
    if len(parts) != size.tiles or any(ends[tile] not in (0, number) for tile, number in parts.items()):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return size, b"".join([*kept, bytes((0xFF, _END))])


def _next_tile(content: bytes, position: int, *, is_open: bool) -> int:
    """Return the position after the marker of the next part of a tile; 0 at the end."""
    if is_open and len(content) - position < 2:
        return 0
    marker = read_exactly(content, position, 2)
    if marker == bytes((0xFF, _END)):
        return 0
    if marker != bytes((0xFF, _TILE)):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return position + 2


def _headers(content: bytes, position: int, last: int) -> tuple[_Headers, int]:
    """Return the headers up to a marker that decoding needs, and the position after it."""
    headers: _Headers = []
    for _ in range(_MAX_HEADERS):
        prefix, marker = read_exactly(content, position, 2)
        if prefix == 0xFF and marker == last:
            return headers, position + 2
        length = int.from_bytes(read_exactly(content, position + 2, 2), "big")
        if prefix != 0xFF or length < 2:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if marker not in _KEPT | _DROPPED:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        segment = read_exactly(content, position + 4, length - 2)
        if marker in _KEPT:
            headers.append((marker, segment))
        position += 2 + length
    raise Rejected(Reason.UNDECODABLE_IMAGE)


def _written(headers: _Headers) -> list[bytes]:
    return [bytes((0xFF, marker)) + struct.pack(">H", 2 + len(each)) + each for marker, each in headers]


def _size(segment: bytes) -> _Size:
    """Return the size that the codestream states. Raises Rejected when no stream may allow it."""
    numbers = struct.unpack(">8LH", read_exactly(segment, 2, 34))
    right, bottom, left, top, across, down, tiles_left, tiles_top, components = numbers
    steps = segment[36:]
    width, height = right - left, bottom - top
    if len(steps) != 3 * components or 0 in steps[1::3] + steps[2::3] or min(width, height, across, down) < 1:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    if components > _MAX_COMPONENTS:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    if width * height > _MAX_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    if not (tiles_left <= left < tiles_left + across and tiles_top <= top < tiles_top + down):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    tiles = -(-(right - tiles_left) // across) * -(-(bottom - tiles_top) // down)
    if tiles > MAX_TILES:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    return _Size(width, height, min(across, width), min(down, height), tiles, components)


def _checked_styles(headers: _Headers, size: _Size, layers: int) -> int:
    """Return the number of layers. Raises Rejected when a tile is divided into too many parts."""
    styles = [_style(segment[:1] + segment[5:]) for marker, segment in headers if marker == _STYLE]
    styles += [_style(segment[1:]) for marker, segment in headers if marker == _STYLE_OF_COMPONENT]
    stated = [int.from_bytes(read_exactly(segment, 2, 2), "big") for marker, segment in headers if marker == _STYLE]
    layers = max([layers, *stated])
    for style in styles:
        _check_style(style, size, layers)
    return layers


def _style(segment: bytes) -> _Style:
    """Return a coding style of its flags, and what follows the number of layers and the colour transform."""
    flags, levels, across, down = read_exactly(segment, 0, 4)
    block = (across & 15) + 2, (down & 15) + 2
    if levels > _MAX_LEVELS or max(block) > _MAX_BLOCK_SIDE or sum(block) > _MAX_BLOCK:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    if not flags & _HAS_PRECINCTS:
        return _Style(levels, block, bytes([_LARGEST_PRECINCT * 17]) * (levels + 1))
    return _Style(levels, block, read_exactly(segment, 6, levels + 1))


def _check_style(style: _Style, size: _Size, layers: int) -> None:
    """Raise Rejected when a decoder would keep too much for the blocks, precincts and layers of a tile."""
    number = most = 0
    for level, exponents in enumerate(style.precincts):
        sides = [-(-side >> (style.levels - level)) for side in (size.tile_width, size.tile_height)]
        of_bands = [-(-side // 2) if level else side for side in sides]
        precincts = blocks = 1
        for side, of_band, exponent, block in zip(
            sides, of_bands, (exponents & 15, exponents >> 4), style.block, strict=True
        ):
            limit = exponent - 1 if level else exponent
            if limit < 0:
                raise Rejected(Reason.UNDECODABLE_IMAGE)
            precincts *= -(-side >> exponent)
            blocks *= -(-of_band >> min(limit, block))
        number += precincts + blocks * (3 if level else 1)
        most = max(most, precincts)
    number *= size.components
    samples = size.tile_width * size.tile_height * size.components
    if (
        number > max(_MAX_TILE_BLOCKS, samples // _BLOCK_SAMPLES)
        or number * size.tiles > max(_MAX_BLOCKS, samples * size.tiles // _BLOCK_SAMPLES)
        or (layers + 1) * size.components * (style.levels + 1) * most > _MAX_PACKETS
    ):
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
