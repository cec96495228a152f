"""Decoding image files: the pixels of Pillow, under the rules of the spec, within limits."""

import struct
import time
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from encoders.catalogue import lookup
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_spec import ImagePreprocessing
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.privacy import Reason, Rejected
from tests.encoders.image_files import (
    MAGIC_BYTES,
    PNG,
    SIZE,
    animated_webp,
    bmp,
    chunk,
    exif,
    gif,
    ihdr,
    interlaced_png,
    noise,
    ordinary,
    png,
    saved,
    segment,
    tiff,
    tiff_page,
)

Pixels = npt.NDArray[np.uint8]
LIMITS = ImageLimits(formats=IMAGE_FORMATS)
TURNED = [
    None,
    None,
    np.fliplr,
    lambda each: np.rot90(each, 2),
    np.flipud,
    lambda each: each.swapaxes(0, 1),
    lambda each: np.rot90(each, -1),
    lambda each: np.rot90(each, 2).swapaxes(0, 1),
    np.rot90,
]
"""The transformation of each orientation, without Pillow."""


@cache
def policy(**fields: str) -> ImagePreprocessing:
    spec = lookup("resnet18-seeded@1.0.0")
    assert isinstance(spec, TorchvisionSpec)
    return spec.preprocessing.model_copy(update=fields)


def decoded(content: bytes, **fields: str) -> Pixels:
    image = read_header(content, LIMITS)
    checked_size = image.size
    rgb = decode_pixels(image, policy(**fields))
    assert image.size == checked_size
    assert rgb.mode == "RGB"
    return np.asarray(rgb)


def reason_of(content: bytes, limits: ImageLimits = LIMITS) -> Reason:
    with pytest.raises(Rejected) as caught:
        decode_pixels(read_header(content, limits), policy())
    return caught.value.reason


def plain(content: bytes, orientation: str = "apply", alpha: str = "white") -> Pixels:
    """Return the expected pixels, by Pillow alone, and by arithmetic where Rawless defines the rule."""
    image = Image.open(BytesIO(content))
    image.load()
    if orientation == "apply":
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(high[..., None], 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    layered = np.asarray(image.convert("RGBA")).astype(np.float64)
    if alpha == "drop":
        return layered[..., :3].astype(np.uint8)
    share = layered[..., 3:] / 255
    return np.round(layered[..., :3] * share + (255 if alpha == "white" else 0) * (1 - share)).astype(np.uint8)


def far(one: Pixels, other: Pixels) -> int:
    """Return the largest difference of two images of one shape."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("alpha", ["white", "black", "drop"])
@pytest.mark.parametrize("name", sorted(ordinary()))
def test_an_ordinary_image_has_the_pixels_of_pillow(name: str, alpha: str) -> None:
    content = ordinary()[name]
    rounding = 1 if alpha != "drop" else 0
    assert far(decoded(content, alpha=alpha), plain(content, alpha=alpha)) <= rounding


@pytest.mark.parametrize("name", [name for name in sorted(ordinary()) if "turned" in name])
def test_an_orientation_is_not_applied_when_the_spec_ignores_it(name: str) -> None:
    content = ordinary()[name]
    found = decoded(content, exif_orientation="ignore")
    upright = ordinary()["heic-turned-1"] if name.startswith("heic") else content  # its decoder turns the others
    assert far(found, plain(upright, orientation="ignore")) == 0
    assert found.shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("turn", range(2, 9))
def test_each_orientation_is_applied(turn: int, kind: int, order: str) -> None:
    source = np.asarray(noise("RGB"))
    found = decoded(saved(noise("RGB"), "PNG", exif=b"Exif\0\0" + exif(turn, order, kind)))
    assert far(found, TURNED[turn](source)) == 0


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_of_a_tiff_is_applied_once_or_ignored(turn: int) -> None:
    # Pillow applies it whenever it decodes a TIFF.
    source, packet = np.asarray(noise("RGB")), xmp(turn)
    for compression in ("raw", "tiff_lzw"):
        for stated in ({274: turn}, {700: packet}, {274: turn, 700: xmp(3)}):
            content = saved(noise("RGB"), "TIFF", compression=compression, tiffinfo=stated)
            expected = source if turn == 1 else TURNED[turn](source)
            assert far(decoded(content), expected) == 0
            assert far(decoded(content, exif_orientation="ignore"), source) == 0


TIFF_DATA = b"\x12" * 3 * SIZE[0] * SIZE[1]
UNSUPPORTED_TIFFS: dict[str, bytes] = {
    **{f"compression-{code}": tiff_page(SIZE, {259: (code,)}, TIFF_DATA) for code in (2, 3, 4, 6, 34_925, 50_000)},
    "CIELAB": tiff_page(SIZE, {262: (8,)}, TIFF_DATA),
    "YCbCr-without-JPEG": tiff_page(SIZE, {262: (6,)}, TIFF_DATA),
    "white-is-zero-of-16-bits": tiff_page(SIZE, {258: (16,), 262: (0,), 277: (1,)}, TIFF_DATA),
    "12-bits": tiff_page(SIZE, {258: (12,), 262: (1,), 277: (1,)}, TIFF_DATA),
    "floats": saved(noise("L").convert("F"), "TIFF"),
    "32-bits": saved(noise("L").convert("I"), "TIFF"),
    "signed": tiff_page(SIZE, {258: (16,), 262: (1,), 277: (1,), 339: (2,)}, TIFF_DATA),
}


@pytest.mark.parametrize("name", sorted(UNSUPPORTED_TIFFS))
def test_a_tiff_that_would_be_decoded_wrongly_is_unsupported(name: str) -> None:
    assert reason_of(UNSUPPORTED_TIFFS[name]) is Reason.UNSUPPORTED_IMAGE_FORMAT


def test_a_tiff_must_be_named_by_the_stream() -> None:
    assert reason_of(saved(noise("RGB"), "TIFF"), ImageLimits()) is Reason.UNSUPPORTED_IMAGE_FORMAT


def xmp(turn: int, form: str = "attribute") -> bytes:
    attribute, element = f' tiff:Orientation="{turn}"', f"<tiff:Orientation>{turn}</tiff:Orientation>"
    return f"<rdf:Description{attribute if form == 'attribute' else '>' + element}".encode()


def raw_profile(turn: int) -> bytes:
    digits = (b"Exif\0\0" + exif(turn)).hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\nexif\n{len(digits) // 2:8}\n{lines}\n".encode()


def with_xmp(kind: str, packet: bytes, **options: Any) -> bytes:
    if kind == "png":
        return png(8, 2, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet), *options.values())
    return saved(noise("RGB"), kind.upper(), xmp=packet, **options)


RAW, PACKET = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"
STATED: dict[str, Callable[[int], bytes]] = {
    "png-raw-profile": lambda turn: png(8, 2, chunk(b"tEXt", RAW + raw_profile(turn))),
    "png-raw-profile-packed": lambda turn: png(8, 2, chunk(b"zTXt", RAW + b"\0" + zlib.compress(raw_profile(turn)))),
    "png-raw-profile-international": lambda turn: png(8, 2, chunk(b"iTXt", RAW + bytes(4) + raw_profile(turn))),
    "png-raw-profile-after-the-image": lambda turn: png(8, 2, after=chunk(b"tEXt", RAW + raw_profile(turn))),
    "png-xmp": lambda turn: with_xmp("png", xmp(turn)),
    "png-xmp-element": lambda turn: with_xmp("png", xmp(turn, "element")),
    "png-xmp-packed": lambda turn: png(8, 2, chunk(b"iTXt", PACKET + b"\1\0\0\0" + zlib.compress(xmp(turn)))),
    "jpeg-xmp": lambda turn: with_xmp("jpeg", xmp(turn)),
    "webp-xmp": lambda turn: with_xmp("webp", xmp(turn)),
    "jpeg-exif-and-xmp": lambda turn: with_xmp("jpeg", xmp(3), exif=b"Exif\0\0" + exif(turn)),
    "webp-exif-and-xmp": lambda turn: with_xmp("webp", xmp(3), exif=b"Exif\0\0" + exif(turn)),
    "png-exif-and-xmp": lambda turn: with_xmp("png", xmp(3), tag=chunk(b"eXIf", exif(turn))),
    "jpeg-other-exif-and-xmp": lambda turn: with_xmp("jpeg", xmp(turn), exif=b"Exif\0\0" + tiff()),
}
"""Files that state an orientation elsewhere than in EXIF alone."""


@pytest.mark.parametrize("name", sorted(STATED))
def test_an_orientation_in_xmp_or_a_raw_profile_is_applied_as_pillow_does(name: str) -> None:
    for turn in (1, 5, 6, 8, 9):
        content = STATED[name](turn)
        assert far(decoded(content), plain(content)) == 0, turn
        assert decoded(content).shape[:2] == (SIZE if 5 <= turn <= 8 else SIZE[::-1]), turn
        assert decoded(content, exif_orientation="ignore").shape[:2] == SIZE[::-1]


def test_a_malformed_raw_profile_or_text_states_no_orientation() -> None:
    bomb = zlib.compress(bytes(30_000_000))
    for text in (b"\nexif\n4\nzebra", b"", raw_profile(6)[:5]):
        assert decoded(png(8, 2, chunk(b"tEXt", RAW + text))).shape[:2] == SIZE[::-1]
    for packed in (b"\0" + bomb, b"\0zebra", b"\1" + zlib.compress(raw_profile(6)), b""):
        assert decoded(png(8, 2, chunk(b"zTXt", RAW + packed))).shape[:2] == SIZE[::-1]
    assert decoded(png(8, 2, chunk(b"iTXt", PACKET[:-1]), chunk(b"iTXt", PACKET + b"\1"))).shape[:2] == SIZE[::-1]


def test_transparent_pixels_become_the_background_or_keep_their_colour() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    half = Image.new("RGBA", (4, 4), (10, 20, 30, 128))
    found = {
        alpha: [decoded(saved(each, "PNG"), alpha=alpha)[0, 0].tolist() for each in (clear, half)]
        for alpha in ("white", "black", "drop")
    }
    assert found == {
        "white": [[255, 255, 255], [132, 137, 142]],
        "black": [[0, 0, 0], [5, 10, 15]],
        "drop": [[10, 20, 30], [10, 20, 30]],
    }


def samples_of(bits: int, count: int) -> list[int]:
    """Return distinct samples; those of 16 bits share their upper byte, then their lower one."""
    return [0x1234, 0x1235, 0x1134, 0xFFFF][:count] if bits == 16 else [n % (1 << bits) for n in range(1, count + 1)]


@pytest.mark.parametrize("unused", [0, 0xFFFF], ids=["zeros", "ones"])
@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
def test_exactly_the_pixels_of_a_colour_key_are_transparent(bits: int, colour: int, unused: int) -> None:
    values = samples_of(bits, 2 if bits == 1 else 3)
    width, channels = len(values), 3 if colour else 1
    packed = "".join(f"{value:0{bits}b}" * channels for value in values)
    row = int(packed.ljust(-(-len(packed) // 8) * 8, "0"), 2).to_bytes(-(-len(packed) // 8), "big")
    unused_bits = unused & ~((1 << bits) - 1) & 0xFFFF  # which a decoder ignores
    key = struct.pack(">H", values[0] | unused_bits) * channels
    head = PNG + ihdr((width, 1), bits, colour) + chunk(b"tRNS", key)
    content = head + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND")
    scaled = [value >> 8 if bits == 16 else value * 255 // ((1 << bits) - 1) for value in values]
    found = {alpha: decoded(content, alpha=alpha)[0, :, 1].tolist() for alpha in ("white", "black", "drop")}
    assert found == {"white": [255, *scaled[1:]], "black": [0, *scaled[1:]], "drop": scaled}


def test_a_colour_key_of_interlaced_samples_of_16_bits_is_compared_whole() -> None:
    content = interlaced_png(16, 2)
    first = decoded(content)[0, 0]
    low = zlib.decompress(content[content.index(b"IDAT") + 4 :])[2:7:2]
    for change, expected in ((0, [0, 0, 0]), (1, first.tolist())):
        key = bytes(each for pair in zip(first, (low[0] ^ change, *low[1:]), strict=True) for each in pair)
        keyed = content[:33] + chunk(b"tRNS", key) + content[33:]
        assert decoded(keyed, alpha="black")[0, 0].tolist() == expected


@pytest.mark.parametrize("name", ["png-palette-4-transparent", "png-palette-8", "png-RGB-transparent"])
def test_dropping_transparency_warns_about_nothing(name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoded(ordinary()[name], alpha="drop")
    assert caught == []


def test_the_upper_eight_of_sixteen_bits_are_kept() -> None:
    values = np.array([[0x0000, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFFFF]], dtype=np.uint16)
    found = decoded(saved(Image.fromarray(values), "PNG"))
    assert found[0, :, 0].tolist() == [0x00, 0x00, 0x01, 0x7F, 0x80, 0xFF]
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    "kind", ["jpeg", "webp", "gif", "png"], ids=["several-images-jpeg", "animated-webp", "animated-gif", "apng"]
)
def test_the_first_frame_of_an_animation_is_used(kind: str) -> None:
    first, second = Image.new("RGB", SIZE, (250, 0, 0)), Image.new("RGB", SIZE, (0, 0, 250))
    maker = "MPO" if kind == "jpeg" else kind.upper()
    found = decoded(saved(first, maker, save_all=True, append_images=[second, second]))
    assert found.mean(axis=(0, 1)) == pytest.approx([250, 0, 0], abs=4)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_wrong_colour_profile_changes_no_pixel(kind: str) -> None:
    quality = {"jpeg": {}, "png": {}, "webp": {"lossless": True}}[kind]
    with_profile = saved(noise("RGB"), kind.upper(), icc_profile=b"swap all colours" * 99, **quality)
    assert far(decoded(with_profile), decoded(saved(noise("RGB"), kind.upper(), **quality))) == 0


DOWN = struct.pack(">HHLHH", 0x0112, 3, 1, 6, 0)
ODD_EXIF = {
    "nothing": (b"", 1),
    "not-tiff": (b"zebra9131" * 9, 1),
    "head-alone": (b"MM\0*", 1),
    "starts-past-its-end": (tiff(DOWN, start=4_000_000_000), 1),
    "starts-at-itself": (tiff(DOWN, start=0), 1),
    "cut": (tiff(DOWN)[:16], 1),
    "counts-too-many": (tiff(DOWN, count=65_535), 6),
    "counts-none": (tiff(DOWN, count=0), 1),
    "without-an-end": (tiff(DOWN, tail=b""), 6),
    "next-is-itself": (tiff(DOWN, tail=struct.pack(">L", 8)), 6),
    "contains-itself": (tiff(DOWN, *[struct.pack(">HHLL", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0x014A)]), 6),
    "value-past-its-end": (tiff(struct.pack(">HHLL", 0x010E, 2, 4_000_000_000, 4_000_000_000), DOWN), 6),
    "unknown-type": (tiff(struct.pack(">HHLL", 0x010E, 99, 1, 1), DOWN), 6),
    "none-of-eight": (exif(9), 1),
    "zero": (exif(0), 1),
    "largest": (exif(65_535), 1),
    "text": (tiff(struct.pack(">HHL4s", 0x0112, 2, 1, b"6")), 1),
    "digits": (tiff(struct.pack(">HHLL", 0x0112, 2, 5_000, 26), tail=b"1" * 6_000), 1),
    "prefixed-again": (b"Exif\0\0" + exif(6), 6),
}


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("name", sorted(ODD_EXIF))
def test_malformed_exif_breaks_no_image_and_warns_about_nothing(name: str, kind: str) -> None:
    tag, turn = ODD_EXIF[name]
    jpeg = saved(noise("RGB"), "JPEG")
    jpeg_with_exif = jpeg[:2] + segment(0xE1, b"Exif\0\0" + tag) + jpeg[2:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = decoded(jpeg_with_exif if kind == "jpeg" else png(8, 2, chunk(b"eXIf", tag)))
    assert caught == []
    assert found.shape[:2] == (SIZE if turn == 6 else SIZE[::-1])


@cache
def others() -> dict[str, bytes]:
    """Return files of formats that are not allowed, and of no format."""
    files = {each: saved(noise("RGB", (32, 32)), each) for each in ("TIFF", "ICO", "PPM", "JPEG2000", "AVIF", "PCX")}
    files |= {each: saved(noise("RGB", (32, 32)), each) for each in ("TGA", "DDS", "ICNS", "SGI", "PDF", "EPS")}
    brand = {"HEIC": b"heic", "MP4": b"isom"}
    files |= {name: b"\0\0\0\x18ftyp" + code + bytes(4) + code + b"mif1" for name, code in brand.items()}
    words = {
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "text": b"an image of a cat",
        "HTML": b"<!doctype html>",
    }
    empty = {"nothing": b"", "zero": b"\0", "zeros": bytes(4096), "PSD": b"8BPS\0\1" + bytes(40), "ZIP": b"PK\3\4" * 9}
    wave = {
        "WAVE": b"RIFF\x24\0\0\0WAVEfmt ",
        "TIFF-of-Motorola": b"MM\0*" + bytes(40),
        "DIB": saved(noise("L"), "DIB"),
    }
    late = {f"{kind}-after-a-space": b" " + saved(noise("RGB"), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP")}
    return files | words | empty | wave | late


@pytest.mark.parametrize("name", sorted(others()))
def test_a_file_of_another_format_is_unsupported(name: str) -> None:
    assert reason_of(others()[name], ImageLimits()) is Reason.UNSUPPORTED_IMAGE_FORMAT


@pytest.mark.parametrize("kind", sorted(MAGIC_BYTES))
@pytest.mark.parametrize("allowed", sorted(MAGIC_BYTES))
def test_only_allowed_formats_are_decoded(kind: str, allowed: str) -> None:
    content, limits = saved(noise("RGB"), kind.upper()), ImageLimits(formats=(allowed,))
    if kind == allowed:
        assert read_header(content, limits).size == SIZE
    else:
        assert reason_of(content, limits) is Reason.UNSUPPORTED_IMAGE_FORMAT


@pytest.mark.parametrize("kind", sorted(MAGIC_BYTES))
def test_the_limits_are_exact(kind: str) -> None:
    content, (width, height) = saved(noise("RGB"), kind.upper()), SIZE
    exact = LIMITS.model_copy(update={"max_pixels": width * height, "max_side": width})
    assert read_header(content, exact).size == SIZE
    assert reason_of(content, LIMITS.model_copy(update={"max_pixels": width * height - 1})) is Reason.TOO_MANY_PIXELS
    assert reason_of(content, LIMITS.model_copy(update={"max_side": width - 1})) is Reason.TOO_MANY_PIXELS


def test_a_first_frame_larger_than_its_screen_is_checked_by_its_decoded_size() -> None:
    content = gif((1, 1), (40, 60, 10, 10))
    assert read_header(content, LIMITS).size == (50, 70)
    assert reason_of(content, ImageLimits(max_pixels=50 * 70 - 1)) is Reason.TOO_MANY_PIXELS


RUNS_8 = b"\3\7" + b"\0\4\1\2\3\4" + b"\0\0" + b"\0\3\5\6\7\0" + b"\0\2\2\0" + b"\xff\x09" + b"\0\0" + b"\0\2\1\1"
RUNS_8 += b"\2\x11" + b"\0\1"
ROWS_8 = [[7, 7, 7, 1, 2, 3, 4], [5, 6, 7, 0, 0, 9, 9], [0] * 7, [0, 17, 17, 0, 0, 0, 0], [0] * 7]
RUNS_4 = b"\5\x12" + b"\0\3\x34\x50" + b"\0\0" + b"\0\5\x67\x89\xa0\0" + b"\1\xb0" + b"\0\0" + b"\0\1"
ROWS_4 = [[1, 2, 1, 2, 1, 3, 4], [6, 7, 8, 9, 10, 11, 0], [0] * 7]


@pytest.mark.parametrize(
    ("bits", "compression", "runs", "rows"), [(8, 1, RUNS_8, ROWS_8), (4, 2, RUNS_4, ROWS_4)], ids=["8", "4"]
)
def test_the_runs_of_a_bmp_are_decoded(bits: int, compression: int, runs: bytes, rows: list[list[int]]) -> None:
    """Runs, absolute pixels, moves, ends of lines and of the image; the lowest row is first."""
    found = decoded(bmp((7, len(rows)), bits, runs, compression))
    assert found[::-1, :, 2].tolist() == rows  # the blue of the palette of `bmp` is the index
    from_the_top = bmp((7, -len(rows)), bits, runs, compression)
    assert decoded(from_the_top)[:, :, 2].tolist() == rows


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 20])
def test_runs_without_their_end_are_rejected(cut: int) -> None:
    assert reason_of(bmp((7, 5), 8, RUNS_8[:-cut], 1)) is Reason.UNDECODABLE_IMAGE


def test_runs_are_decoded_within_the_limits_and_soon() -> None:
    runs = bmp((9_000, 5_000), 8, b"\xff\7\0\0" * 5_000 + b"\0\1", 1)
    assert reason_of(runs, ImageLimits(max_pixels=44_999_999)) is Reason.TOO_MANY_PIXELS
    started = time.process_time()
    assert decoded(runs)[:, 254:256, 1].tolist() == [[248, 255]] * 5_000
    assert time.process_time() - started < 2  # byte by byte it takes longer


NOTHING = {
    "png": png(8, 2, size=(0, 5)),
    "png-flat": png(8, 2, size=(5, 0)),
    "gif": gif((0, 0), (0, 0, 0, 0)),
    "gif-flat": gif((5, 0), (0, 0, 5, 0)),
    "bmp": bmp((0, 5), 24, b""),
    "bmp-flat": bmp((5, 0), 24, b""),
    "bmp-negative": bmp((-5, 5), 24, bytes(80)),
}


@pytest.mark.parametrize("name", ["png", "png-flat", "gif", "gif-flat", "bmp", "bmp-flat"])
def test_an_image_without_pixels_cannot_be_decoded(name: str) -> None:
    assert reason_of(NOTHING[name]) is Reason.UNDECODABLE_IMAGE


def test_a_negative_width_is_rejected() -> None:
    assert reason_of(NOTHING["bmp-negative"]) in (Reason.TOO_MANY_PIXELS, Reason.UNDECODABLE_IMAGE)


def test_a_canvas_larger_than_its_only_frame_counts_as_large() -> None:
    content = animated_webp((300, 200))
    assert decoded(content).shape == (200, 300, 3)
    assert reason_of(content, ImageLimits(max_pixels=59_999)) is Reason.TOO_MANY_PIXELS
