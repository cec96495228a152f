"""HEIC: the primary image and its alpha plane are kept, with the one picture of HEVC that each is made of.

The sequence parameter set states the size that the decoder allocates. Only pictures that refer to no other are decoded,
since the decoder allocates those that are missing.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec

from encoders.image_formats import heif
from encoders.image_formats.bits import Bits
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(
    rb".{4}ftyp(?:hei[cxms]|hev[cxms]|(?:mif1|msf1|miaf).{4}(?:.{4}){0,16}?he(?:ic|ix|vc|vx))", re.DOTALL
)
LIBRARY = "pillow_heif"
"""The decoder, which is optional."""
_MAX_SETS = 64
"""Parameter sets of each kind."""
_HEAD = 22
"""Bytes of the configuration before its parameter sets."""
_VIDEO, _SEQUENCE, _PICTURE = 32, 33, 34
_SETS = {_VIDEO, _SEQUENCE, _PICTURE}
_REFRESHES = {19, 20}
"""Kinds of slices of a picture that refers to no other (IDR)."""
_DROPPED = {35, 36, 37, 38, 39, 40}
"""Delimiters, padding and metadata."""
_MAX_HEADER_BYTES = 256
_MAX_DEPTH = 12
_UNITS_OF_CHROMA = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""Samples of luma, across and down, by which a frame of each sampling is cropped."""


def is_installed() -> bool:
    """Return whether the library that decodes HEIC is installed."""
    return find_spec(LIBRARY) is not None


def register() -> None:
    """Let Pillow decode HEICs, with one thread each. Raises Rejected when the library is not installed."""
    from PIL import Image

    if "HEIF" in Image.OPEN:
        return
    if not is_installed():
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    import pillow_heif

    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def strip(content: bytes, *, whole_file: bool) -> bytes:
    """See `image_formats.strip`."""
    return heif.strip(content, _CODEC, whole_file=whole_file)


def without_turns(content: bytes) -> bytes:
    """Return a stripped file whose image its decoder neither rotates nor mirrors."""
    return heif.strip(content, _CODEC._replace(changes=heif.CROP), whole_file=False)


def _checked(configuration: bytes, data: bytes, size: heif.Size) -> tuple[bytes, bytes]:
    """Return the configuration and the slices of an image that decoding needs. Raises Rejected."""
    head, sets = read_exactly(configuration, 0, _HEAD), list(_sets(configuration))
    sequences = [unit for kind, unit in sets if kind == _SEQUENCE]
    if len(sequences) != 1 or len(sets) > _MAX_SETS:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    if _frame_size(sequences[0]) != size:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    arrays = [bytes([kind]) + b"\0\1" + len(unit).to_bytes(2, "big") + unit for kind, unit in sets]
    slices = list(_slices(data, (head[21] & 3) + 1))
    if not slices or [unit[2] >> 7 for unit in slices] != [1] + [0] * (len(slices) - 1):  # the first of a picture
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    written = b"".join(len(unit).to_bytes(4, "big") + unit for unit in slices)
    return head[:21] + bytes([head[21] | 3, len(arrays)]) + b"".join(arrays), written


_CODEC = heif.Codec(b"heic", b"hvc1", b"hvcC", _checked, heif.CROP | heif.TURNS)


def _sets(configuration: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the parameter sets of the base layer."""
    position = _HEAD + 1
    for _ in range(read_exactly(configuration, _HEAD, 1)[0]):
        kind, number = read_exactly(configuration, position, 1)[0] & 63, configuration[position + 1 : position + 3]
        position += 3
        for _ in range(int.from_bytes(number, "big")):
            length = int.from_bytes(read_exactly(configuration, position, 2), "big")
            unit = read_exactly(configuration, position + 2, length)
            position += 2 + length
            if kind in _SETS and _kind(unit) == kind and _is_base(unit):
                yield kind, unit


def _slices(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """Yield the slices of the base layer."""
    position = number = 0
    while position < len(data):
        length = int.from_bytes(read_exactly(data, position, length_bytes), "big")
        unit = read_exactly(data, position + length_bytes, length)
        position, number = position + length_bytes + length, number + 1
        kind = _kind(unit)
        if number > heif.MAX_ITEMS:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        if kind in _DROPPED or not _is_base(unit):
            continue
        if kind not in _REFRESHES or len(unit) < 3:
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
        yield unit


def _kind(unit: bytes) -> int:
    return read_exactly(unit, 0, 2)[0] >> 1 & 63


def _is_base(unit: bytes) -> bool:
    """Return whether a unit is of the base layer, not of a second view."""
    return not (unit[0] & 1 or unit[1] >> 3)


def _frame_size(unit: bytes) -> heif.Size:
    """Return the size of the frames of a sequence after cropping (section 7.3.2.2 of H.265).

    Raises Rejected when cropping removes more than the padding to whole blocks.
    """
    bits = Bits(unit[2:_MAX_HEADER_BYTES].replace(b"\0\0\3", b"\0\0"))
    bits.number(4)  # video parameter set
    _skip_profiles(bits, bits.number(3))
    bits.counted()
    sampling = bits.counted()
    if sampling not in _UNITS_OF_CHROMA or (sampling == 3 and bits.flag()):  # colour planes apart
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    width, height = bits.counted(), bits.counted()
    across, down = _UNITS_OF_CHROMA[sampling]
    left, right, top, bottom = (bits.counted() for _ in range(4)) if bits.flag() else (0, 0, 0, 0)
    columns, rows = across * (left + right), down * (top + bottom)
    depths = {8 + bits.counted(), 8 + bits.counted()}
    if max(columns, rows) > heif.MAX_PADDING or max(depths) > _MAX_DEPTH:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    return width - columns, height - rows


def _skip_profiles(bits: Bits, layers: int) -> None:
    bits.flag()  # whether temporal layers are nested
    bits.number(96)
    states = [(bits.flag(), bits.flag()) for _ in range(layers)]
    bits.number(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in states:
        bits.number(88 * has_profile + 8 * has_level)
