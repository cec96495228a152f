"""HEIF, the container of AVIF and HEIC: the primary image and its alpha plane are written anew.

A container states the size of each image, which is checked with limits, and the compressed data states it again, which
is what a decoder allocates. A codec's module checks that both are equal.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

from encoders.image_formats import boxes
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

Size = tuple[int, int]
MAX_ITEMS = boxes.MAX_BOXES
"""Images, tiles, metadata, properties or parts of them in a file."""
MIN_TILE_SIDE = 1_024
"""A side that a tile may have although the image is smaller."""
MAX_PADDING = 63
"""Columns or rows that are cropped: those that an encoder adds to have whole blocks."""
_MAX_PIXELS = 1 << 28
"""More than any stream may allow."""
_ALPHAS = {b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"}
_SIZE, _DEPTHS, _COLOUR, _AUXILIARY = b"ispe", b"pixi", b"colr", b"auxC"
_CROP, _ROTATION, _MIRROR = b"clap", b"irot", b"imir"
TURNS = frozenset({_ROTATION, _MIRROR})
CROP = frozenset({_CROP})
_IGNORED = {b"pasp", b"clli", b"mdcv", b"cclv", b"amve"}
"""Properties that decoders do not apply: the shape of a pixel, the light of a display."""
_COLOURS = b"nclx"
"""The kind of colour that states how YCbCr becomes RGB; the others are profiles."""
_CONFIGURATIONS = {b"av1C", b"hvcC"}
_CHANGES = [_CROP, _ROTATION, _MIRROR]
"""In the order in which they are applied."""
_READ = {_SIZE, _DEPTHS, _COLOUR, _AUXILIARY, *_CHANGES, *_CONFIGURATIONS}
_LENGTHS = {_COLOUR: 11, _CROP: 32, _ROTATION: 1, _MIRROR: 1}
"""Bytes of properties that may be followed by others."""
_IN_FILE, _IN_META = 0, 1
_MAX_SHARED_BYTES = 1 << 20
"""Tiles of one colour may share their bytes."""
_MAX_LIST_BYTES = 1 << 20
"""Of a list of items, their places, references or properties: 256 for each item."""
_GRID = b"grid"


_ESSENTIAL = {*_CHANGES, *_CONFIGURATIONS}
_Reference = tuple[bytes, int, list[int]]


class Codec(NamedTuple):
    """What an item of a codec is called, and how its data is checked."""

    brand: bytes
    item: bytes
    configuration: bytes
    checked: Callable[[bytes, bytes, Size], tuple[bytes, bytes]]
    """From configuration, data and stated size to what of them decoding needs; raises Rejected."""
    changes: frozenset[bytes]
    """What its decoder applies of cropping, rotating and mirroring."""


class _Item(NamedTuple):
    kind: bytes
    data: bytes
    properties: dict[bytes, bytes]
    size: Size


class _Reader:
    """Numbers and parts of a box, one after the other."""

    def __init__(self, content: bytes) -> None:
        if len(content) > _MAX_LIST_BYTES:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        self._content, self._position = content, 0

    def take(self, length: int) -> bytes:
        self._position += length
        return read_exactly(self._content, self._position - length, length)

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def count(self, length: int) -> int:
        """Return the number of parts that follow, which is bounded."""
        count = self.number(length)
        if count > MAX_ITEMS:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        return count

    def rest(self) -> bytes:
        return self._content[self._position :]


class _Meta:
    """The box that lists the items and says what and where they are."""

    def __init__(self, content: bytes, codec: Codec) -> None:
        self._content = content
        self._kept = _READ.difference(_CHANGES) | codec.changes
        self._left = 2 * len(content) + _MAX_SHARED_BYTES
        described = boxes.by_name(_meta_box(content)[4:])
        self._idat = described.get(b"idat", b"")
        self._kinds = dict(_kinds(described.get(b"iinf", b"")))
        self._references = list(_references(described.get(b"iref", b"")))
        self._places = dict(_places(described.get(b"iloc", b"")))
        self._properties = list(boxes.read(boxes.by_name(described.get(b"iprp", b"")).get(b"ipco", b"")))
        self._associations = dict(_associations(described.get(b"iprp", b"")))
        reader = _Reader(described.get(b"pitm", b""))
        self.primary = reader.number(4 if reader.number(4) >> 24 else 2)

    def kind(self, item: int) -> bytes:
        """Return what an item is."""
        return self._kinds.get(item, b"")

    def data(self, item: int) -> bytes:
        """Return the bytes of an item."""
        method, extents = self._places.get(item, (_IN_FILE, []))
        if method not in (_IN_FILE, _IN_META):
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        source = self._content if method == _IN_FILE else self._idat
        parts = [(start, length or max(0, len(source) - start)) for start, length in extents]
        self._left -= sum(length for _, length in parts)
        if self._left < 0:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        return b"".join(read_exactly(source, start, length) for start, length in parts)

    def properties(self, item: int) -> dict[bytes, bytes]:
        """Return the properties of an item that are read, each once."""
        properties: dict[bytes, bytes] = {}
        for index, is_essential in self._associations.get(item, []):
            if index == 0:  # which stands for none
                continue
            if index > len(self._properties):
                raise Rejected(Reason.UNDECODABLE_IMAGE)
            name, value = self._properties[index - 1]
            if is_essential and name not in _READ | _IGNORED:
                raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)  # without it, it would be another image
            if name not in self._kept or (name == _COLOUR and not value.startswith(_COLOURS)):
                continue
            if properties.setdefault(name, value) != value:
                raise Rejected(Reason.UNDECODABLE_IMAGE)
        return properties

    def parts(self, kind: bytes, item: int) -> list[int]:
        """Return the items to which an item refers."""
        return [each for name, start, parts in self._references if (name, start) == (kind, item) for each in parts]

    def alphas(self) -> dict[int, int]:
        """Return the alpha plane of each item that has one."""
        auxiliary = [(start, parts) for name, start, parts in self._references if name == b"auxl"]
        alphas = [(start, parts) for start, parts in auxiliary if _is_alpha(self.properties(start))]
        return {part: start for start, parts in reversed(alphas) for part in parts}


def strip(content: bytes, codec: Codec, *, whole_file: bool) -> bytes:
    """Return a file with the primary image, its alpha plane and their tiles. Raises Rejected.

    Boxes after the image are read, though not kept, if `whole_file` is true.
    """
    if whole_file:
        deque(boxes.read(content), maxlen=0)
    meta = _Meta(content, codec)
    alphas = meta.alphas()
    image = _image(meta, meta.primary, codec)
    references = _tiles_of(image, 1)
    if meta.primary not in alphas:
        if any(part in alphas for part in meta.parts(b"dimg", meta.primary)):
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)  # tiles with an alpha plane each
        return _file(codec.brand, image, references)
    alpha, number = _image(meta, alphas[meta.primary], codec), len(image) + 1
    if alpha[0].size != image[0].size or alpha[0].properties.get(_CROP) != image[0].properties.get(_CROP):
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    references += [(b"auxl", number, [1]), *_tiles_of(alpha, number)]
    if alphas[meta.primary] in meta.parts(b"prem", meta.primary):
        references.append((b"prem", 1, [number]))
    return _file(codec.brand, image + alpha, references)


def _tiles_of(image: list[_Item], number: int) -> list[_Reference]:
    return [(b"dimg", number, [*range(number + 1, number + len(image))])] if image[0].kind == _GRID else []


def _image(meta: _Meta, root: int, codec: Codec) -> list[_Item]:
    """Return an image, with its tiles after it if it is a grid."""
    if meta.kind(root) != _GRID:
        return [_coded(meta, root, codec)]
    properties, data, parts = meta.properties(root), meta.data(root), meta.parts(b"dimg", root)
    size, letters = _size(properties), ">LL" if read_exactly(data, 0, 4)[1] & 1 else ">HH"
    rows, columns = (each + 1 for each in data[2:4])
    stated = read_exactly(data, 4, struct.calcsize(letters))
    if struct.unpack(letters, stated) != size or len(parts) != rows * columns:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    sizes = {_size(meta.properties(part)) for part in parts}
    for number, tile, side in zip((columns, rows), min(sizes), size, strict=True):
        if len(sizes) > 1 or not (number - 1) * tile < side <= number * tile or tile > max(side + 63, MIN_TILE_SIDE):
            raise Rejected(Reason.UNDECODABLE_IMAGE)
    tiles = [_coded(meta, part, codec) for part in parts]
    whole = _Item(_GRID, data[:4] + stated, _without(_kept(properties), _CONFIGURATIONS), size)
    return [whole, *(tile._replace(properties=_without(tile.properties, set(_CHANGES))) for tile in tiles)]


def _coded(meta: _Meta, item: int, codec: Codec) -> _Item:
    """Return an image that is not made of others."""
    if meta.kind(item) != codec.item:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    properties = meta.properties(item)
    size = _size(properties)
    configuration, data = codec.checked(properties.get(codec.configuration, b""), meta.data(item), size)
    return _Item(codec.item, data, _kept(properties) | {codec.configuration: configuration}, size)


def _size(properties: dict[bytes, bytes]) -> Size:
    """Return width and height as stated. Raises Rejected when they are more than any stream may allow."""
    _, width, height = struct.unpack(">LLL", read_exactly(properties.get(_SIZE, b""), 0, 12))
    if width * height > _MAX_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    return width, height


def _kept(properties: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return properties without anything after what they state."""
    kept = {name: value[: _LENGTHS.get(name, len(value))] for name, value in properties.items()}
    if _DEPTHS in kept:
        kept[_DEPTHS] = kept[_DEPTHS][: 5 + read_exactly(kept[_DEPTHS], 4, 1)[0]]
    kept[_SIZE] = kept[_SIZE][:12]
    if _CROP in kept:
        _check_crop(kept[_CROP], _size(kept))
    if _is_alpha(kept):
        kept[_AUXILIARY] = kept[_AUXILIARY][: kept[_AUXILIARY].index(b"\0", 4) + 1]
    else:
        kept.pop(_AUXILIARY, None)
    return kept


def _check_crop(crop: bytes, size: Size) -> None:
    """Raise Rejected unless an area of whole pixels within the image is kept, and no more than padding is cropped.

    The size that is checked with limits is that of the area, but all of the image is decoded.
    """
    values = struct.unpack(">LLLLlLlL", read_exactly(crop, 0, 32))
    if 0 in values[1::2]:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    lengths = [Fraction(*values[start : start + 2]) for start in range(0, 8, 2)]
    for kept, shift, side in zip(lengths[:2], lengths[2:], size, strict=True):
        start = shift + (side - kept) / 2
        if kept.denominator != 1 or start.denominator != 1 or kept < 1 or not 0 <= start <= side - kept:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if side - kept > MAX_PADDING:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)


def _without(properties: dict[bytes, bytes], names: set[bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in properties.items() if name not in names}


def _is_alpha(properties: dict[bytes, bytes]) -> bool:
    name, end, _ = properties.get(_AUXILIARY, b"")[4:].partition(b"\0")
    return name in _ALPHAS and end == b"\0"


def _meta_box(content: bytes) -> bytes:
    """Return the content of the box that describes the file. Boxes after it are not read."""
    for name, box in boxes.read(content):
        if name == b"meta":
            return box
    raise Rejected(Reason.UNDECODABLE_IMAGE)


def _kinds(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the items with what they are."""
    head = 4 + (4 if content[:1] > b"\0" else 2)
    for _, entry in boxes.read(content[head:]):
        reader = _Reader(entry)
        version = reader.number(4) >> 24
        item, protection = reader.number(4 if version == 3 else 2), reader.number(2)
        if version in (2, 3) and protection == 0:
            yield item, reader.take(4)


def _references(content: bytes) -> Iterator[_Reference]:
    """Yield the references between items: their kind, the item, and those to which it refers."""
    if not content:
        return
    lists = _Reader(content)
    length = 4 if lists.number(4) >> 24 else 2
    for name, box in boxes.read(lists.rest()):
        reader = _Reader(box)
        yield name, reader.number(length), [reader.number(length) for _ in range(reader.count(2))]


def _places(content: bytes) -> Iterator[tuple[int, tuple[int, list[tuple[int, int]]]]]:
    """Yield the items with the method by which they are found, and starts and lengths of their parts."""
    reader = _Reader(content)
    if not content:
        return
    version, lengths = reader.number(4) >> 24, reader.number(2)
    offset, length, base, index = (lengths >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(reader.count(4 if version == 2 else 2)):
        item = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else _IN_FILE
        if reader.number(2):  # in another file
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        start, extents = reader.number(base), []
        for _ in range(reader.count(2)):
            reader.take(index if version else 0)
            extents.append((start + reader.number(offset), reader.number(length)))
        yield item, (method, extents)


def _associations(content: bytes) -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    """Yield the items with the numbers of their properties, and whether each is essential."""
    left = _MAX_LIST_BYTES
    for name, box in boxes.read(content):
        if name != b"ipma":
            continue
        left -= len(box)
        if left < 0:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        reader = _Reader(box)
        flags = reader.number(4)
        length = 2 if flags & 1 else 1
        for _ in range(reader.count(4)):
            item = reader.number(4 if flags >> 24 else 2)
            numbers = [reader.number(length) for _ in range(reader.number(1))]
            essential = 1 << (8 * length - 1)
            yield item, [(number & essential - 1, bool(number & essential)) for number in numbers]


def _file(brand: bytes, items: list[_Item], references: list[_Reference]) -> bytes:
    """Return a file of the items, which are numbered from 1, the number of the primary image."""
    properties = list(dict.fromkeys(each for item in items for each in item.properties.items()))
    numbers = {each: number for number, each in enumerate(properties, start=1)}
    associations, entries = [], []
    for number, item in enumerate(items, start=1):
        of_item = [
            numbers[each] | (name in _ESSENTIAL) << 15 for each in _in_order(item.properties) for name in each[:1]
        ]
        associations.append(struct.pack(f">HB{len(of_item)}H", number, len(of_item), *of_item))
        entries.append(boxes.written(b"infe", struct.pack(">LHH4sx", 2 << 24, number, 0, item.kind)))
    head = boxes.written(b"ftyp", brand, bytes(4), brand, b"mif1miaf")
    described = [
        boxes.written(b"hdlr", bytes(8), b"pict", bytes(13)),
        boxes.written(b"pitm", struct.pack(">LH", 0, 1)),
        boxes.written(b"iinf", struct.pack(">LH", 0, len(items)), *entries),
        boxes.written(
            b"iref",
            bytes(4),
            *(
                boxes.written(name, struct.pack(f">HH{len(parts)}H", start, len(parts), *parts))
                for name, start, parts in references
            ),
        ),
        boxes.written(
            b"iprp",
            boxes.written(b"ipco", *(boxes.written(*each) for each in properties)),
            boxes.written(b"ipma", struct.pack(">LL", 1, len(items)), *associations),
        ),
    ]
    size = len(head) + 12 + sum(map(len, described)) + 8 + 8 + 14 * len(items) + 8
    places = []
    for number, item in enumerate(items, start=1):
        places.append(struct.pack(">HHHLL", number, 0, 1, size, len(item.data)))
        size += len(item.data)
    described.append(boxes.written(b"iloc", struct.pack(">LHH", 0, 0x4400, len(items)), *places))
    return head + boxes.written(b"meta", bytes(4), *described) + boxes.written(b"mdat", *(item.data for item in items))


def _in_order(properties: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Return properties with those that change an image last."""
    return sorted(properties.items(), key=lambda each: _CHANGES.index(each[0]) if each[0] in _CHANGES else -1)
