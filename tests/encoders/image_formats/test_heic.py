"""HEIC: what its container, its parameter sets and its slices may state, and what of it reaches the decoder."""

import re
import struct

import numpy as np
import pytest
from PIL import Image

from encoders.image_formats import check_installed, heic, strip
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_formats.heif import MAX_PADDING
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.errors import UserError
from rawless.privacy import Reason, Rejected
from tests.encoders.decoding import LIMITS, PREPROCESSING, decoded, outcome
from tests.encoders.image_files import SIZE, boxes, heif, heif_grid, heif_item, noise, resized_heif, saved

pytest.importorskip("pillow_heif", reason="makes the files; it is in the extra heic")

MARK = b"zebra9131"
SIDE = 64
"""The encoder's smallest."""
_, SLICE, PROPERTIES = heif_item(saved(noise("RGB", (SIDE, SIDE)), "HEIC"))
PROPERTIES = {name: value for name, value in PROPERTIES.items() if name != b"clap"}
HEAD, SETS = PROPERTIES[b"hvcC"][:22], PROPERTIES[b"hvcC"][22:]
Outcome = tuple[int, int] | Reason


def reason_of(content: bytes) -> Reason | None:
    """Return the reason for which a file never reaches the decoder."""
    try:
        strip(content, "heic")
    except Rejected as rejected:
        return rejected.reason
    return None


def image(data: bytes = SLICE, **properties: bytes) -> bytes:
    """Return a HEIC of one image, with other properties."""
    return heif(b"heic", [(b"hvc1", data, PROPERTIES | {name.encode(): each for name, each in properties.items()})])


def array(kind: int, *units: bytes) -> bytes:
    """Return the parameter sets of a kind, as a configuration has them."""
    return struct.pack(">BH", kind, len(units)) + b"".join(struct.pack(">H", len(each)) + each for each in units)


def unit(kind: int, content: bytes = b"\x80", layer: int = 0) -> bytes:
    return bytes([kind << 1 | layer >> 5, (layer & 31) << 3 | 1]) + content


def counted(number: int) -> str:
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def sequence(
    size: tuple[int, int],
    window: tuple[int, int, int, int] | None = None,
    *,
    sampling: int = 1,
    depth: int = 8,
    layers: str = "",
) -> bytes:
    """Return a sequence parameter set up to the depths of its samples."""
    count = len(layers) // 2
    profiles = "0" * 96 + layers + ("00" * (8 - count) if count else "") + "0" * (88 * layers[::2].count("1"))
    bits = f"0000{count:03b}1" + profiles + "0" * (8 * layers[1::2].count("1")) + counted(0) + counted(sampling)
    bits += ("0" if sampling == 3 else "") + counted(size[0]) + counted(size[1])
    bits += "0" if window is None else "1" + "".join(map(counted, window))
    bits += counted(depth - 8) * 2 + "1" + "0" * 64
    content = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return unit(33, re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", content))


def stated(*sequences: bytes, size: tuple[int, int] = SIZE, data: bytes = SLICE) -> bytes:
    """Return a HEIC whose configuration has the sequence parameter sets, and whose container states a size."""
    configuration = HEAD + bytes([1]) + array(33, *sequences)
    return image(data, hvcC=configuration, ispe=struct.pack(">LLL", 0, *size))


ACCEPTED = {
    "plain": sequence(SIZE),
    "window": sequence((16, 16), (0, 1, 2, 1), sampling=1),
    "window-of-422": sequence((14, 10), (0, 0, 1, 0), sampling=2),
    "window-of-444": sequence((16, 16), (3, 0, 0, 7), sampling=3),
    "layers": sequence(SIZE, layers="11" * 6),
    "layers-of-some": sequence(SIZE, layers="1001"),
    "12-bits": sequence(SIZE, depth=12),
}
SIZES = {"window": (14, 10), "window-of-422": (14, 9)}


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_the_size_of_frames_is_read_as_the_standard_writes_it(name: str) -> None:
    size = SIZES.get(name, SIZE)
    assert ACCEPTED[name] in strip(stated(ACCEPTED[name], size=size), "heic")
    for other in ((size[0] + 1, size[1]), (size[0], size[1] - 1)):
        assert reason_of(stated(ACCEPTED[name], size=other)) is Reason.UNDECODABLE_IMAGE


SEQUENCES = {
    "none": (stated(), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "several": (stated(sequence(SIZE), sequence((9_000, 9_000))), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "much-larger": (stated(sequence((30_000, 30_000))), Reason.UNDECODABLE_IMAGE),
    "window-of-more-than-padding": (
        stated(sequence((SIZE[0] + 64, SIZE[1]), (0, 32, 0, 0))),
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
    "window-without-a-frame": (stated(sequence((8, 8), (0, 9, 0, 0))), Reason.UNDECODABLE_IMAGE),
    "more-than-12-bits": (stated(sequence(SIZE, depth=16)), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "sampling-of-nothing": (stated(sequence(SIZE, sampling=4)), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "cut": (stated(sequence(SIZE)[:14]), Reason.UNDECODABLE_IMAGE),
    "of-a-second-view": (stated(unit(33, sequence(SIZE)[2:], layer=1)), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "configuration-cut": (image(hvcC=PROPERTIES[b"hvcC"][:-9]), Reason.UNDECODABLE_IMAGE),
    "no-configuration": (image(hvcC=b""), Reason.UNDECODABLE_IMAGE),
    "many-sets": (
        image(hvcC=HEAD + bytes([4]) + SETS[1:] + array(34, *[unit(34)] * 64)),
        Reason.UNSUPPORTED_IMAGE_FORMAT,
    ),
}


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_an_image_has_one_sequence_of_its_size(name: str) -> None:
    content, expected = SEQUENCES[name]
    assert reason_of(content) is expected


def lengthy(*units: bytes) -> bytes:
    return b"".join(struct.pack(">L", len(each)) + each for each in units)


PICTURE = SLICE[4:]
SLICES = {
    "two-pictures": (lengthy(PICTURE, PICTURE), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "not-the-first": (lengthy(PICTURE[:2] + b"\0" + PICTURE[3:]), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "one-that-refers-to-others": (lengthy(unit(1, PICTURE[2:])), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "one-after-which-others-may-come-before": (lengthy(unit(21, PICTURE[2:])), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "a-parameter-set": (lengthy(sequence((9_000, 9_000)), PICTURE), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "none": (b"", Reason.UNSUPPORTED_IMAGE_FORMAT),
    "only-metadata": (lengthy(unit(39)), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "cut-in-its-head": (lengthy(PICTURE[:2]), Reason.UNSUPPORTED_IMAGE_FORMAT),
    "longer-than-the-item": (SLICE + struct.pack(">L", 9) + b"abc", Reason.UNDECODABLE_IMAGE),
    "empty-units": (lengthy(b"") + SLICE, Reason.UNDECODABLE_IMAGE),
    "units-without-number": (lengthy(*[unit(38)] * 5_000, PICTURE), Reason.UNDECODABLE_IMAGE),
}


@pytest.mark.parametrize("name", sorted(SLICES))
def test_an_image_is_one_picture_that_needs_no_other(name: str) -> None:
    data, expected = SLICES[name]
    assert reason_of(image(data)) is expected


def test_metadata_and_a_second_view_never_reach_the_decoder() -> None:
    sei, view = unit(39, MARK), unit(19, PICTURE[2:9] + MARK, layer=1)
    configuration = HEAD + bytes([SETS[0] + 2]) + SETS[1:] + array(39, sei) + array(33, unit(33, MARK, layer=1))
    content = image(lengthy(sei, PICTURE, view, unit(38, MARK)), hvcC=configuration)
    kept = strip(content, "heic")
    assert MARK not in kept
    assert kept == strip(image(), "heic")
    assert np.array_equal(decoded(content), decoded(image()))


def test_units_may_have_lengths_of_each_size() -> None:
    for length_bytes in (2, 4):
        configuration = HEAD[:21] + bytes([HEAD[21] & ~3 | length_bytes - 1]) + SETS
        content = image(len(PICTURE).to_bytes(length_bytes, "big") + PICTURE, hvcC=configuration)
        assert np.array_equal(decoded(content), decoded(image()))


def crop(columns: int, rows: int, right: float = 0, down: float = 0) -> bytes:
    """Return the area of so many columns and rows, moved from the middle."""
    return struct.pack(">LLLLlLlL", columns, 1, rows, 1, round(2 * right), 2, round(2 * down), 2)


CROPS: dict[str, tuple[bytes, Outcome]] = {
    "left-and-top": (crop(13, 9, -25.5, -27.5), SIZE),
    "right-and-bottom": (crop(13, 9, 25.5, 27.5), SIZE),
    "nothing": (crop(SIDE, SIDE), (SIDE, SIDE)),
    "one-pixel": (crop(1, 1, 0.5, 0.5), (1, 1)),
    "half-a-pixel": (crop(13, 9), Reason.UNDECODABLE_IMAGE),
    "outside": (crop(13, 9, 26.5, 0.5), Reason.UNDECODABLE_IMAGE),
    "larger": (crop(65, 64, 0.5), Reason.UNDECODABLE_IMAGE),
    "empty": (crop(0, 64), Reason.UNDECODABLE_IMAGE),
    "divided-by-nothing": (struct.pack(">LLLLlLlL", 64, 0, 64, 1, 0, 1, 0, 1), Reason.UNDECODABLE_IMAGE),
    "cut": (crop(13, 9)[:30], Reason.UNDECODABLE_IMAGE),
}


@pytest.mark.parametrize("name", sorted(CROPS))
def test_the_area_that_the_container_states_is_cropped(name: str) -> None:
    area, expected = CROPS[name]
    assert outcome(image(clap=area)) == expected
    if name == "left-and-top":
        assert np.array_equal(decoded(image(clap=area)), decoded(image())[: SIZE[1], : SIZE[0]])


def test_more_than_padding_is_not_cropped() -> None:
    # The limits are compared with the size of the area, but all of the image is decoded.
    tile = heif(b"heic", [(b"hvc1", SLICE, PROPERTIES)])
    for columns, expected in ((128 - MAX_PADDING, (65, 128)), (127 - MAX_PADDING, Reason.UNSUPPORTED_IMAGE_FORMAT)):
        content = heif_grid(tile, (128, 128), clap=crop(columns, 128, (columns - 128) / 2))
        assert outcome(content) == expected


def test_rotation_follows_cropping_and_mirroring_follows_rotation() -> None:
    grey = heif_item(saved(noise("L", (SIDE, SIDE)), "HEIC"))[1:]  # whose colours have no pixels of their own
    properties = {name: value for name, value in grey[1].items() if name != b"clap"} | {b"clap": crop(20, 10)}
    upright = decoded(heif(b"heic", [(b"hvc1", grey[0], properties)]))
    assert upright.shape == (10, 20, 3)
    for turns in range(4):
        for axis, flip in ((None, lambda each: each), (0, np.flipud), (1, np.fliplr)):
            changes = {b"irot": bytes([turns])} | ({} if axis is None else {b"imir": bytes([axis])})
            content = heif(b"heic", [(b"hvc1", grey[0], properties | changes)])
            assert np.array_equal(decoded(content), flip(np.rot90(upright, turns)))
            ignoring = PREPROCESSING.model_copy(update={"exif_orientation": "ignore"})
            assert np.array_equal(np.asarray(decode_pixels(read_header(content, LIMITS), ignoring)), upright)


def test_the_alpha_plane_is_cropped_like_its_image() -> None:
    assert outcome(saved(noise("RGBA"), "HEIC")) == SIZE
    auxiliary = {b"auxC": bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0"}
    items = [(b"hvc1", SLICE, PROPERTIES | {b"clap": crop(20, 10)}), (b"hvc1", SLICE, PROPERTIES | auxiliary)]
    assert outcome(heif(b"heic", items, (b"auxl", 2, [1]))) is Reason.UNSUPPORTED_IMAGE_FORMAT


def test_the_image_is_checked_with_limits_before_its_frame_is_decoded() -> None:
    assert outcome(resized_heif(image(), (4_000, 4_000))) is Reason.UNDECODABLE_IMAGE
    assert outcome(image(), ImageLimits(formats=("heic",), max_pixels=SIDE * SIDE - 1)) is Reason.TOO_MANY_PIXELS
    assert boxes(strip(image(), "heic")).keys() == {b"ftyp", b"meta", b"mdat"}


def test_a_heic_without_its_decoder_is_unsupported_and_the_user_is_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed(IMAGE_FORMATS)
    monkeypatch.setattr(heic, "LIBRARY", "pillow_heif_that_is_missing")
    monkeypatch.setattr(Image, "OPEN", {})
    assert outcome(image()) is Reason.UNSUPPORTED_IMAGE_FORMAT
    check_installed(["jpeg", "avif"])
    with pytest.raises(UserError, match=r"limits.formats: heic needs .*pip install 'rawless\[heic\]'"):
        check_installed(["jpeg", "heic"])
