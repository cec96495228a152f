"""AVIF: what its container and its frames may state, and what of it reaches the decoder."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from encoders.image_formats import strip
from encoders.image_formats.avif import MAX_FRAMES
from encoders.image_formats.heif import MIN_TILE_SIDE
from rawless.privacy import Reason
from tests.encoders.decoding import decoded, outcome
from tests.encoders.image_files import SIZE, exif, heif, heif_grid, heif_item, noise, resized_heif, saved

KIND, DATA, PROPERTIES = heif_item(saved(noise("RGB"), "AVIF", quality=100, subsampling="4:4:4"))
IMAGE = (KIND, DATA, PROPERTIES)
SIDE = struct.pack(">LLL", 0, *SIZE)
TILE = saved(noise("RGB", (64, 64)), "AVIF")


def grid(rows: int, columns: int, size: tuple[int, int], tile: bytes = TILE, parts: int = 0) -> bytes:
    whole = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size), {b"ispe": struct.pack(">LLL", 0, *size)}
    count = parts or rows * columns
    items = [(b"grid", *whole), *[heif_item(tile)] * count]
    return heif(b"avif", items, (b"dimg", 1, [*range(2, count + 2)]))


@pytest.mark.parametrize("size", [(SIZE[0] + 1, SIZE[1]), (SIZE[0], SIZE[1] - 1), (4_000, 4_000)], ids=str)
def test_a_frame_must_have_the_size_that_the_container_states(size: tuple[int, int]) -> None:
    content = heif(b"avif", [IMAGE])
    assert outcome(content) == SIZE
    assert outcome(resized_heif(content, size)) is Reason.UNDECODABLE_IMAGE


def sequence(size: tuple[int, int], *, timing: str = "0", order: str = "0", screen: str = "11") -> str:
    """Return the bits of the header of a sequence that is no still picture."""
    lengths = f"{15:04b}{15:04b}{size[0] - 1:016b}{size[1] - 1:016b}"
    return f"00000{timing}0{0:05b}{0:012b}{0:05b}{lengths}0{0:07b}{order}{screen}{0:064b}"


def unit(kind: int, bits: str) -> bytes:
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return bytes([kind << 3 | 2, len(data)]) + data


FRAMES = {
    "key": ("000100", "0"),
    "key-hidden": ("00001000", "0"),
    "inter": ("0011000", "0"),
    "switch": ("011100", "1"),
    "key-of-its-own-size": ("000100", "1"),
    "inter-of-its-own-size": ("0011000", "1"),
}


@pytest.mark.parametrize("name", sorted(FRAMES))
@pytest.mark.parametrize(
    "timing", ["0", "1" + "0" * 64 + "00", "1" + "0" * 64 + "1010" + "0"], ids=["none", "time", "ticks"]
)
def test_a_frame_that_states_a_size_of_its_own_is_unsupported(name: str, timing: str) -> None:
    frame, override = FRAMES[name]
    data = unit(1, sequence(SIZE, timing=timing)) + unit(6, frame + override + "0" * 64)
    content = heif(b"avif", [(b"av01", data, PROPERTIES)])
    if override == "1":
        assert outcome(content) is Reason.UNSUPPORTED_IMAGE_FORMAT
    else:
        assert data in strip(content, "avif")


def test_an_image_of_more_frames_than_layers_is_rejected() -> None:
    head = unit(1, sequence(SIZE))
    frame = unit(6, "000100" + "0" * 64)
    assert frame * MAX_FRAMES in strip(heif(b"avif", [(b"av01", head + frame * MAX_FRAMES, PROPERTIES)]), "avif")
    many = heif(b"avif", [(b"av01", head + frame * (MAX_FRAMES + 1), PROPERTIES)])
    assert outcome(many) is Reason.UNDECODABLE_IMAGE


UNITS = {
    "no-frame": unit(1, sequence(SIZE)),
    "no-sequence": DATA[-60:],
    "nothing": b"",
    "unknown": DATA + b"\x4a\1a",
    "tile-list": DATA + b"\x42\1a",
    "longer-than-the-item": DATA + b"\x32\x7f",
    "header-cut": unit(1, "0" * 40) + DATA,
}


@pytest.mark.parametrize("name", sorted(UNITS))
def test_malformed_units_are_undecodable(name: str) -> None:
    assert outcome(heif(b"avif", [(b"av01", UNITS[name], PROPERTIES)])) is Reason.UNDECODABLE_IMAGE


def test_a_second_header_of_another_size_is_unsupported() -> None:
    data = DATA + unit(1, sequence((4_000, 4_000))) + unit(6, "000100" + "0" * 64)
    assert outcome(heif(b"avif", [(b"av01", data, PROPERTIES)])) is Reason.UNSUPPORTED_IMAGE_FORMAT


GRIDS = {
    "whole": (grid(2, 3, (192, 128)), (192, 128)),
    "partial": (grid(2, 3, (130, 66)), (130, 66)),
    "one-tile": (grid(1, 1, (64, 64)), (64, 64)),
    "too-few-columns": (grid(1, 1, (66, 64)), Reason.UNDECODABLE_IMAGE),
    "too-many-rows": (grid(3, 1, (64, 64)), Reason.UNDECODABLE_IMAGE),
    "tiles-missing": (grid(2, 2, (128, 128), parts=3), Reason.UNDECODABLE_IMAGE),
    "tiles-left-over": (grid(2, 2, (128, 128), parts=5), Reason.UNDECODABLE_IMAGE),
    "another-size-in-its-item": (resized_heif(grid(2, 2, (128, 128)), (126, 128)), Reason.UNDECODABLE_IMAGE),
    "tile-much-larger": (
        grid(1, 1, (64, 64), saved(Image.new("L", (MIN_TILE_SIDE + 1, 64)), "AVIF", speed=10)),
        Reason.UNDECODABLE_IMAGE,
    ),
    "of-grids": (
        heif(b"avif", [(b"grid", bytes(4) + struct.pack(">HH", *SIZE), {b"ispe": SIDE})], (b"dimg", 1, [1])),
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
    "cut": (heif(b"avif", [(b"grid", bytes(6), {b"ispe": SIDE})], (b"dimg", 1, [1])), Reason.UNDECODABLE_IMAGE),
}


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_the_tiles_of_a_grid_cover_its_image_exactly(name: str) -> None:
    content, expected = GRIDS[name]
    assert outcome(content) == expected


CONTAINERS: dict[str, tuple[bytes, Reason]] = {
    "no-description": (heif(b"avif", [IMAGE]).replace(b"meta", b"meto"), Reason.UNDECODABLE_IMAGE),
    "no-items": (heif(b"avif", []), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "no-size": (heif(b"avif", [(KIND, DATA, {b"av1C": PROPERTIES[b"av1C"]})]), Reason.UNDECODABLE_IMAGE),
    "no-configuration": (heif(b"avif", [(KIND, DATA, {b"ispe": SIDE})]), Reason.UNDECODABLE_IMAGE),
    "another-codec": (heif(b"avif", [(b"hvc1", DATA, PROPERTIES)]), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "a-derived-image": (heif(b"avif", [(b"iden", b"", PROPERTIES)]), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "an-essential-property": (
        heif(b"avif", [IMAGE]).replace(b"av1C", b"lsel"),
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
    "alpha-of-another-size": (
        heif(
            b"avif",
            [IMAGE, (*heif_item(TILE)[:2], heif_item(TILE)[2] | {b"auxC": bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0"})],
            (b"auxl", 2, [1]),
        ),
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
}


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_without_an_image_that_is_known_is_rejected(name: str) -> None:
    content, expected = CONTAINERS[name]
    assert outcome(content) is expected


def test_only_the_properties_of_the_container_turn_an_image() -> None:
    # Viewers ignore the orientation in EXIF, which cameras write as well.
    upright = decoded(heif(b"avif", [IMAGE]))
    metadata = (b"Exif", bytes(4) + exif(6), {})
    assert np.array_equal(decoded(heif(b"avif", [IMAGE, metadata], (b"cdsc", 2, [1]))), upright)
    for turns in range(4):
        turned = heif(b"avif", [(KIND, DATA, PROPERTIES | {b"irot": bytes([turns])})])
        assert np.array_equal(decoded(turned), np.rot90(upright, turns))
    for axis, flipped in enumerate((np.flipud(upright), np.fliplr(upright))):
        mirrored = heif(b"avif", [(KIND, DATA, PROPERTIES | {b"imir": bytes([axis])})])
        assert np.array_equal(decoded(mirrored), flipped)


def test_the_turn_of_a_grid_is_that_of_the_whole() -> None:
    content = heif_grid(saved(noise("RGB", (64, 64)), "AVIF", exif=b"Exif\0\0" + exif(6)), (128, 100))
    assert outcome(content) == (128, 100)


def test_a_second_image_never_reaches_the_decoder() -> None:
    other = heif_item(saved(noise("L", (40, 30)), "AVIF"))
    kept = strip(heif(b"avif", [IMAGE, other], (b"thmb", 2, [1])), "avif")
    assert other[1] not in kept
    assert kept == strip(heif(b"avif", [IMAGE]), "avif")
    with Image.open(BytesIO(kept)) as image:
        assert image.size == SIZE
