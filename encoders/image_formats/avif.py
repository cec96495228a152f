"""AVIF: the primary image and its alpha plane are kept, with the frames of AV1 that they are made of.

The sequence header states the size that the decoder allocates. A frame of another size is not decoded.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from encoders.image_formats import heif
from encoders.image_formats.bits import Bits
from encoders.image_formats.reading import read_exactly
from rawless.privacy import Reason, Rejected

SIGNATURE = re.compile(rb".{4}ftyp(?:avi[fs]|(?:mif1|msf1|miaf).{4}(?:.{4}){0,16}?avi[fs])", re.DOTALL)
MAX_FRAMES = 4
"""Layers of an image; each costs a pass over all pixels."""
_MAX_HEADER_BYTES = 256
_SEQUENCE, _FRAME_HEADER, _TILES, _FRAME = 1, 3, 4, 6
_DELIMITER, _METADATA, _COPY, _PADDING = 2, 5, 7, 15
_DROPPED = {_DELIMITER, _METADATA, _COPY, _PADDING}
_CONFIGURATION = 4
"""Bytes of the configuration that are kept, without the units that may follow."""
_CHOSEN_BY_FRAME = 2
_KEY, _SWITCH = 0, 3


def strip(content: bytes, *, whole_file: bool) -> bytes:
    """See `image_formats.strip`."""
    return heif.strip(content, _CODEC, whole_file=whole_file)


class _Sequence(NamedTuple):
    """What the header of a sequence states, as far as the headers of its frames depend on it."""

    size: heif.Size
    is_still: bool
    frame_number_bits: int
    screen_content: int
    whole_motion: int


def _checked(configuration: bytes, data: bytes, size: heif.Size) -> tuple[bytes, bytes]:
    """Return the configuration and the units of an image that decoding needs. Raises Rejected."""
    kept, frames, header, sequence = [], 0, b"", None
    for kind, unit, payload in _units(data):
        if kind == _SEQUENCE:
            if header not in (b"", payload):
                raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
            header, sequence = payload, _sequence(Bits(payload[:_MAX_HEADER_BYTES]))
        elif kind in (_FRAME, _FRAME_HEADER):
            frames += 1
            if sequence is None or sequence.size != size or frames > MAX_FRAMES:
                raise Rejected(Reason.UNDECODABLE_IMAGE)
            _check_frame(Bits(payload[:_MAX_HEADER_BYTES]), sequence)
        elif kind in _DROPPED:
            continue
        elif kind != _TILES:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        kept.append(unit)
    if not frames:
        raise Rejected(Reason.UNDECODABLE_IMAGE)
    return read_exactly(configuration, 0, _CONFIGURATION), b"".join(kept)


_CODEC = heif.Codec(b"avif", b"av01", b"av1C", _checked, heif.TURNS)


def _units(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the kind, the bytes and the payload of each unit."""
    position = number = 0
    while position < len(data):
        start, flags = position, data[position]
        position += 2 if flags & 4 else 1
        length = len(data) - position
        if flags & 2:
            length = 0
            for shift in range(0, 56, 7):
                (byte,) = read_exactly(data, position, 1)
                length |= (byte & 127) << shift
                position += 1
                if byte < 128:
                    break
        number += 1
        payload = read_exactly(data, position, length)
        position += length
        if flags & 0x80 or number > heif.MAX_ITEMS:
            raise Rejected(Reason.UNDECODABLE_IMAGE)
        yield flags >> 3 & 15, data[start:position], payload


def _sequence(bits: Bits) -> _Sequence:
    """Return what a sequence header states (section 5.5 of the AV1 specification)."""
    bits.number(4)  # profile, still picture
    is_still = bits.flag()
    if is_still:
        bits.number(5)
    else:
        _skip_operating_points(bits)
    lengths = bits.number(4) + 1, bits.number(4) + 1
    width, height = (bits.number(length) + 1 for length in lengths)
    if is_still:
        return _Sequence((width, height), is_still, 0, _CHOSEN_BY_FRAME, _CHOSEN_BY_FRAME)
    number_bits = bits.number(4) + bits.number(3) + 3 if bits.flag() else 0
    bits.number(7)  # blocks, filters and compounds
    if bits.flag():  # order of frames
        bits.number(2)
    screen_content = _CHOSEN_BY_FRAME if bits.flag() else bits.number(1)
    whole_motion = _CHOSEN_BY_FRAME
    if screen_content and not bits.flag():
        whole_motion = bits.number(1)
    return _Sequence((width, height), is_still, number_bits, screen_content, whole_motion)


def _skip_operating_points(bits: Bits) -> None:
    if bits.flag():  # timing
        bits.number(64)
        if bits.flag():
            bits.counted()
        if bits.flag():  # the model of a decoder, which lengthens the headers of frames
            raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    has_delay = bits.flag()
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > 7:
            bits.number(1)
        if has_delay and bits.flag():
            bits.number(4)


def _check_frame(bits: Bits, sequence: _Sequence) -> None:
    """Raise Rejected when the header of a frame states a size of its own (section 5.9)."""
    if sequence.is_still or bits.flag():  # a frame that was decoded before is shown
        return
    kind, is_shown = bits.number(2), bits.flag()
    if not is_shown:
        bits.number(1)
    if kind != _SWITCH and not (kind == _KEY and is_shown):
        bits.number(1)
    bits.number(1)
    screen_content = bits.number(1) if sequence.screen_content == _CHOSEN_BY_FRAME else sequence.screen_content
    if screen_content and sequence.whole_motion == _CHOSEN_BY_FRAME:
        bits.number(1)
    bits.number(sequence.frame_number_bits)
    if kind == _SWITCH or bits.flag():
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
