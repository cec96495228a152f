"""TIFF and BigTIFF: the first page is written anew, with the tags that decoding needs and its strips or tiles.

Its pixels are where tags say, which may be anywhere in the file and any number of times; here each is there once.
"""

import re
import struct
from itertools import accumulate
from typing import Any, NamedTuple

from encoders.image_formats import exif, jpeg
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb"II[*+]\0|MM\0[*+]")
ORIENTATION = 65_000
"""The private tag that the orientation is written under: Pillow would apply its own tag, whatever a spec says."""
MAX_SEGMENTS = 1 << 18
"""Strips or tiles: 67 million pixels in tiles of 16 by 16."""
MIN_TILE_SIDE = 1_024
"""A side that a tile may have although the image is smaller."""
_TAGS = 4_096
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, _SAMPLES, ROWS = 256, 257, 258, 259, 262, 277, 278
_PLANAR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, _TABLES = 284, 320, 322, 323, 338, 339, 347
FILL_ORDER, OPTIONS = 266, 292
"""The order of the bits of a byte, and how a fax of group 3 is coded."""
OFFSETS, COUNTS = 273, 279
_STRIPS, _TILES = (OFFSETS, COUNTS), (324, 325)
"""Tags of offsets and byte counts."""
_TURN, _XMP = 274, 700
_LONGS = dict.fromkeys((WIDTH, HEIGHT, ROWS, _TILE_WIDTH, _TILE_HEIGHT, OPTIONS), 1)
"""Tags that are written as 32 bits, with the number of values that count."""
_SHORTS = {
    BITS: 8,
    COMPRESSION: 1,
    PHOTOMETRIC: 1,
    FILL_ORDER: 1,
    _SAMPLES: 1,
    _PLANAR: 1,
    317: 1,  # predictor
    _COLOURS: 768,
    _EXTRA: 8,
    _FORMAT: 8,
    530: 2,  # subsampling
}
"""Tags that are written as 16 bits."""
_RATIONALS = {529: 3, 532: 6}
"""Coefficients and reference levels of YCbCr."""
_READ = {*_LONGS, *_SHORTS, *_RATIONALS, *_STRIPS, *_TILES, _TABLES, _TURN}
_PLAIN, _JPEG = 1, 7
GROUP_3 = 3
FAXES = {2, GROUP_3, 4}
"""Compressions of CCITT, which `fax` checks."""
_COMPRESSIONS = {_PLAIN, 5, _JPEG, 8, 32_773, 32_946} | FAXES
"""None, LZW, JPEG, deflate, PackBits, deflate by its older number."""
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6
_PHOTOMETRICS = {_WHITE_IS_ZERO, 1, 2, _PALETTE, 5, _YCBCR}
_DEPTHS = {1, 2, 4, 8, 16}
_UNSIGNED, _PLANES = 1, 2
_MAX_XMP_BYTES, _MAX_TABLES_BYTES = 1 << 20, 1 << 16
LONG, _RATIONAL, _BYTES = 4, 5, 7
_KINDS = {"H": 3, "L": LONG}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 13: 4, 16: 8}
_LETTERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q"}


class Tag(NamedTuple):
    """The type, the number and the bytes of the values of a tag."""

    kind: int
    number: int
    data: bytes


class Directory:
    """The tags of the first page."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.order = "<" if content[:2] == b"II" else ">"
        self._entries: dict[int, tuple[int, int, bytes]] = {}
        is_big = b"+" in content[:4]
        head, entry, link = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHL4s", "L")
        self._link = self.order + link
        start = self._unpack(link, 8 if is_big else 4)[0]
        count = self._unpack(head, start)[0]
        position = start + struct.calcsize(self.order + head)
        for _ in range(min(count, _TAGS)):
            tag, kind, number, value = self._unpack(entry, position)
            if tag in _READ and self._entries.get(tag, (kind, number, value)) != (kind, number, value):
                raise Rejected(Reason.UNDECODABLE_IMAGE)  # some decoders read the first of them, others the last
            self._entries[tag] = kind, number, value
            position += struct.calcsize(self.order + entry)

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def numbers(self, tag: int, default: tuple[int, ...] = (), *, limit: int = MAX_SEGMENTS) -> tuple[int, ...]:
        """Return at most `limit` values of a tag."""
        if tag not in self._entries:
            return default
        letter = _LETTERS.get(self._entries[tag][0])
        data = self.data(tag, limit)
        if letter is None or not data:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        return tuple(value for (value,) in struct.iter_unpack(self.order + letter, data))

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return self.numbers(tag, (default,), limit=1)[0]

    def data(self, tag: int, limit: int) -> bytes:
        """Return the bytes of at most `limit` values of a tag."""
        kind, number, value = self._entries[tag]
        if kind not in _SIZES:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        size, length = _SIZES[kind] * number, _SIZES[kind] * min(number, limit)
        if size <= len(value):
            return value[:length]
        return read_exactly(self.content, struct.unpack(self._link, value)[0], length)

    def packed(self, letters: str, values: tuple[int, ...]) -> bytes:
        """Return numbers in the byte order of the file. Raises Rejected when one does not fit."""
        layout = letters if len(letters) > 1 else f"{len(values)}{letters}"
        try:
            return struct.pack(self.order + layout, *values)
        except struct.error:
            raise Rejected(Reason.UNDECODABLE_IMAGE) from None

    def _unpack(self, layout: str, start: int) -> tuple[Any, ...]:
        return struct.unpack(
            self.order + layout, read_exactly(self.content, start, struct.calcsize(self.order + layout))
        )


def strip(content: bytes, *, whole_file: bool) -> bytes:  # noqa: ARG001
    """See `image_formats.strip`; all strips or tiles of the first page must be there. A BigTIFF becomes a TIFF."""
    page = Directory(content)
    offsets, counts = _TILES if _TILES[0] in page else _STRIPS
    segments = _segments(page, offsets, counts)
    unused = set() if page.number(COMPRESSION, _PLAIN) == GROUP_3 else {OPTIONS}
    limits = {tag: limit for tag, limit in (_LONGS | _SHORTS).items() if tag in page and tag not in unused}
    numbers = {tag: page.numbers(tag, limit=limit) for tag, limit in limits.items()}
    numbers |= {offsets: (0,) * len(segments), counts: tuple(len(each) for each in segments)}
    xmp = page.data(_XMP, _MAX_XMP_BYTES) if _XMP in page else b""
    turn = page.number(_TURN, 0) if _TURN in page else exif.orientation(b"", xmp)
    if turn is not None:
        numbers[ORIENTATION] = (turn if 1 <= turn <= 8 else 1,)
    letters = {tag: "L" if tag in _LONGS or tag in (offsets, counts) else "H" for tag in numbers}
    tags = {tag: Tag(_KINDS[letters[tag]], len(each), page.packed(letters[tag], each)) for tag, each in numbers.items()}
    for tag, number in _RATIONALS.items():
        if tag in page and len(data := page.data(tag, number)) == 8 * number:
            tags[tag] = Tag(_RATIONAL, number, data)
    if _TABLES in page and page.number(COMPRESSION, _PLAIN) == _JPEG:
        tables = _stripped_jpeg(page.data(_TABLES, _MAX_TABLES_BYTES))
        tags[_TABLES] = Tag(_BYTES, len(tables), tables)
    return written(page, tags, offsets, segments)


def written(page: Directory, tags: dict[int, Tag], offsets: int, segments: list[bytes]) -> bytes:
    """Return a file of one page, with the offsets of its strips or tiles filled in."""
    position = 8 + 2 + 12 * len(tags) + 4
    end = position + sum(len(tag.data) + len(tag.data) % 2 for tag in tags.values() if len(tag.data) > 4)
    starts = accumulate((len(each) for each in segments[:-1]), initial=end)
    tags[offsets] = tags[offsets]._replace(data=page.packed("L", tuple(starts)))
    entries, values = [], []
    for number, tag in sorted(tags.items()):
        value = tag.data.ljust(4, b"\0")
        if len(tag.data) > 4:
            value = page.packed("L", (position,))
            values.append(tag.data + b"\0" * (len(tag.data) % 2))
            position += len(values[-1])
        entries.append(page.packed("HH", (number, tag.kind)) + page.packed("L", (tag.number,)) + value)
    head = (b"II*\0" if page.order == "<" else b"MM\0*") + page.packed("L", (8,)) + page.packed("H", (len(entries),))
    return b"".join([head, *entries, bytes(4), *values, *segments])


def _segments(page: Directory, offsets_tag: int, counts_tag: int) -> list[bytes]:
    """Return the strips or tiles. Raises Rejected when they are not all in the file."""
    bits, planes, compression = _layout(page)
    sizes = _sizes(page, planes, is_tiled=offsets_tag in _TILES)
    expected = sizes * planes
    offsets = page.numbers(offsets_tag)
    if compression == _PLAIN:
        lengths = [(across * each + 7) // 8 * down for each in bits for across, down in sizes]
    elif counts_tag in page:
        lengths = list(page.numbers(counts_tag))
    else:
        lengths = [max(0, len(page.content) - offsets[0])] if len(offsets) == 1 else []
    pieces = list(zip(offsets, lengths, expected, strict=False))
    if len(pieces) < len(expected) or sum(length for _, length, _ in pieces) > len(page.content):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    segments = [(read_exactly(page.content, start, length), size) for start, length, size in pieces]
    return [_stripped_jpeg(each, size) if compression == _JPEG else each for each, size in segments]


def _sizes(page: Directory, planes: int, *, is_tiled: bool) -> list[tuple[int, int]]:
    """Return width and height of the strips or tiles of a plane."""
    width, height = page.number(WIDTH, 0), page.number(HEIGHT, 0)
    if is_tiled:
        across, down = page.number(_TILE_WIDTH, 0), page.number(_TILE_HEIGHT, 0)
        if across > max(width + 15, MIN_TILE_SIDE) or down > max(height + 15, MIN_TILE_SIDE):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
    else:
        across, down = width, min(page.number(ROWS, height), height)
    if min(across, down, width, height) < 1:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    columns, rows = -(-width // across), -(-height // down)
    if columns * rows * planes > MAX_SEGMENTS:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    sizes = [(across, down)] * (columns * rows)
    return sizes if is_tiled else [*sizes[:-1], (across, height - down * (rows - 1))]


def _layout(page: Directory) -> tuple[list[int], int, int]:
    """Return the bits a pixel of each plane, the number of planes and the compression. Raises Rejected."""
    photometric, compression = page.number(PHOTOMETRIC, _WHITE_IS_ZERO), page.number(COMPRESSION, _PLAIN)
    samples, depths = page.number(_SAMPLES, 1), page.numbers(BITS, (1,), limit=_SHORTS[BITS])
    depths = depths * samples if len(depths) == 1 and samples <= _SHORTS[BITS] else depths[:samples]
    is_planar = page.number(_PLANAR, 1) == _PLANES
    if (
        photometric not in _PHOTOMETRICS
        or compression not in _COMPRESSIONS
        or len(depths) != samples
        or not _DEPTHS.issuperset(depths)
        or set(page.numbers(_FORMAT, (_UNSIGNED,), limit=samples)) != {_UNSIGNED}
        or (compression in FAXES and (depths != (1,) or photometric > 1 or _TILES[0] in page))
        or (photometric == _WHITE_IS_ZERO and max(depths) > 8)  # which Pillow does not invert
        or (photometric == _YCBCR and samples > 1 and (compression != _JPEG or is_planar))
    ):
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    if photometric == _PALETTE and len(page.numbers(_COLOURS, limit=_SHORTS[_COLOURS])) != 3 << depths[0]:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return (list(depths), samples, compression) if is_planar else ([sum(depths)], 1, compression)


def _stripped_jpeg(content: bytes, size: tuple[int, int] | None = None) -> bytes:
    """Return a JPEG of a strip or tile, whose frame must have the size, with only what decoding needs."""
    if not jpeg.SIGNATURE.match(content):
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    stripped = jpeg.strip(content, whole_file=False)
    if size is not None and jpeg.frame_size(stripped) != size:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return stripped
