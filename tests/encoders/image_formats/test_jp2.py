"""JPEG 2000: what a codestream and its container may state, and what of it reaches the decoder."""

import re
import struct

import numpy as np
import pytest

from encoders.image_formats import strip
from encoders.image_formats.jp2 import MAX_TILES
from rawless.privacy import Reason
from tests.encoders.decoding import LIMITS, decoded, outcome
from tests.encoders.image_files import SIZE, box, boxes, noise, resized_jp2, saved, with_codestream

WHOLE = saved(noise("RGB"), "JP2")
STREAM = saved(noise("RGB"), "JP2", no_jp2=True)
TILES = saved(noise("RGB"), "JP2", no_jp2=True, tile_size=(8, 8))


def with_style(*, precincts: bytes = b"", block: int = 4, layers: int = 1, levels: int = 5) -> bytes:
    """Return a codestream of 4,000 by 4,000 pixels whose header states another coding style."""
    style = struct.pack(">BBHBBBBBB", int(bool(precincts)), 0, layers, 0, levels, block, block, 0, 1) + precincts
    large = resized_jp2(strip(STREAM, "jp2"), (4_000, 4_000))
    old = large.index(b"\xff\x52")
    length = int.from_bytes(large[old + 2 : old + 4], "big")
    return large[:old] + b"\xff\x52" + struct.pack(">H", 2 + len(style)) + style + large[old + 2 + length :]


STYLES = {
    "blocks-of-4-by-4": with_style(block=0),
    "precincts-of-2-by-2": with_style(precincts=b"\x11" * 6),
    "layers-times-precincts": with_style(precincts=b"\x77" * 6, layers=65_535),
}


@pytest.mark.parametrize("name", sorted(STYLES))
def test_a_tile_of_too_many_parts_is_unsupported(name: str) -> None:
    assert outcome(STYLES[name]) is Reason.UNSUPPORTED_IMAGE_FORMAT


def test_ordinary_parts_of_tiles_are_supported() -> None:
    for content in (with_style(), with_style(precincts=b"\x77" * 5 + b"\x88", layers=12), with_style(block=2)):
        assert strip(content, "jp2") == content


def test_an_image_of_too_many_tiles_is_unsupported() -> None:
    at = STREAM.index(b"\xff\x51") + 22
    large = resized_jp2(STREAM, (MAX_TILES + 1, 1))
    assert outcome(large[:at] + struct.pack(">LL", 1, 1) + large[at + 8 :]) is Reason.UNSUPPORTED_IMAGE_FORMAT


def test_the_container_must_state_the_size_of_the_codestream() -> None:
    assert outcome(with_codestream(WHOLE, STREAM)) == SIZE
    for size in ((SIZE[0] + 1, SIZE[1]), (SIZE[0], SIZE[1] - 1), (4_000, 4_000)):
        assert outcome(with_codestream(WHOLE, resized_jp2(STREAM, size))) is Reason.UNDECODABLE_IMAGE
    assert outcome(with_codestream(WHOLE, saved(noise("L"), "JP2", no_jp2=True))) is Reason.UNDECODABLE_IMAGE


def parts(content: bytes) -> tuple[bytes, list[bytes]]:
    """Return the main header, and the parts of tiles."""
    head, *tiles = re.split(rb"(?=\xff\x90\0\x0a)", content[:-2])
    return head, tiles


def test_all_tiles_must_be_there_in_any_order() -> None:
    head, tiles = parts(TILES)
    assert len(tiles) == 4
    expected = decoded(TILES)
    turned = head + b"".join(reversed(tiles)) + TILES[-2:]
    assert np.array_equal(decoded(turned), expected)
    for missing in range(4):
        kept = b"".join(tile for number, tile in enumerate(tiles) if number != missing)
        assert outcome(head + kept + TILES[-2:]) is Reason.UNDECODABLE_IMAGE
    assert outcome(head + b"".join([*tiles, tiles[0]]) + TILES[-2:]) is Reason.UNDECODABLE_IMAGE


def test_a_codestream_without_its_end_is_whole_if_all_parts_are_there() -> None:
    head, tiles = parts(TILES)
    whole = LIMITS.model_copy(update={"whole_files": True})
    assert outcome(TILES[:-2]) == SIZE
    assert outcome(TILES[:-2], whole) is Reason.UNDECODABLE_IMAGE
    uncounted = [tile[:11] + b"\0" + tile[12:] for tile in tiles]
    assert outcome(head + b"".join(uncounted) + TILES[-2:]) == SIZE
    assert outcome(head + b"".join(uncounted)) is Reason.UNDECODABLE_IMAGE


MALFORMED: dict[str, tuple[bytes, Reason]] = {
    "no-codestream": (WHOLE[: WHOLE.index(b"jp2c") - 4], Reason.UNDECODABLE_IMAGE),
    "no-header": (WHOLE[:32] + box(b"jp2c", STREAM), Reason.UNDECODABLE_IMAGE),
    "size-twice": (STREAM[:51] + STREAM[2:51] + STREAM[51:], Reason.UNDECODABLE_IMAGE),
    "size-missing": (STREAM[:2] + STREAM[51:], Reason.UNSUPPORTED_IMAGE_FORMAT),
    "five-components": (
        STREAM[:2] + b"\xff\x51" + struct.pack(">H", 53) + STREAM[6:40] + b"\0\5" + b"\7\1\1" * 5 + STREAM[51:],
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
    "a-step-of-nothing": (STREAM[:43] + b"\0" + STREAM[44:], Reason.UNDECODABLE_IMAGE),
    "a-side-of-nothing": (resized_jp2(STREAM, (0, 9)), Reason.UNDECODABLE_IMAGE),
    "an-unknown-marker": (STREAM[:51] + b"\xff\x74\0\2" + STREAM[51:], Reason.UNSUPPORTED_IMAGE_FORMAT),
    "a-header-of-nothing": (STREAM[:51] + b"\xff\x64\0\0" + STREAM[51:], Reason.UNDECODABLE_IMAGE),
    "a-tile-past-the-end": (
        STREAM.replace(b"\xff\x90\0\x0a\0\0", b"\xff\x90\0\x0a\0\1"),
        Reason.UNDECODABLE_IMAGE,
    ),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_malformed_file_is_rejected(name: str) -> None:
    content, expected = MALFORMED[name]
    assert outcome(content) is expected


def test_only_colours_and_pixels_reach_the_decoder() -> None:
    kept = strip(WHOLE + box(b"uuid", b"zebra9131"), "jp2")
    assert list(boxes(kept, 12)) == [b"ftyp", b"jp2h", b"jp2c"]
    assert set(boxes(boxes(kept, 12)[b"jp2h"])) <= {b"ihdr", b"colr"}
    assert b"\xff\x64" in STREAM[: STREAM.index(b"\xff\x90")]  # OpenJPEG's own comment
    assert b"\xff\x64" not in strip(STREAM, "jp2")[: STREAM.index(b"\xff\x90")]
