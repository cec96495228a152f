"""Files told apart, held to be whole, and cut down to what decoding needs."""

import re
import struct
import zipfile
import zlib
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from encoders.image_formats import detect_format, strip
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_formats.jpeg import MAX_SCANS, MAX_SEGMENTS
from encoders.image_spec import ImagePreprocessing
from rawless.content import ImageFormat, ImageLimits
from rawless.privacy import Reason, Rejected
from tests.encoders.pictures import (
    MAGIC_BYTES,
    PNG,
    SIZE,
    bmp,
    chunk,
    exif,
    extended_webp,
    gif,
    ihdr,
    jpeg_of,
    noise,
    ordinary,
    png,
    resized_jpeg,
    saved,
    segment,
    segments,
    tiff,
    webp_frame,
)

MARK = b"zebra9131"
PREPROCESSING = ImagePreprocessing(
    exif_orientation="apply",
    alpha="white",
    resize=8,
    interpolation="bilinear",
    antialias=True,
    crop=8,
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
JPEG = saved(noise("RGB"), "JPEG")
PROGRESSIVE = saved(noise("RGB"), "JPEG", progressive=True)


def kind_of(content: bytes) -> ImageFormat:
    kind = detect_format(content)
    assert kind is not None
    return kind


def cut_down(content: bytes) -> bytes:
    return strip(content, kind_of(content))


def reason_of(content: bytes) -> Reason | None:
    try:
        decode_pixels(read_header(content, ImageLimits()), PREPROCESSING)
    except Rejected as rejected:
        return rejected.reason
    return None


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_what_is_needed_is_all_that_is_needed(name: str) -> None:
    content = ordinary()[name]
    kept = cut_down(content)
    with Image.open(BytesIO(content)) as before, Image.open(BytesIO(kept)) as after:
        assert (after.format, after.size, after.mode) == (
            before.format.replace("MPO", "JPEG"),
            before.size,
            before.mode,
        )
        assert (np.asarray(after.convert("RGBA")) == np.asarray(before.convert("RGBA"))).all()
    assert kind_of(kept) == kind_of(content)
    assert cut_down(kept) == kept


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_what_follows_a_picture_is_left_out(name: str) -> None:
    content = ordinary()[name]
    if kind_of(content) != "bmp":  # whose end its decoder knows alone
        assert cut_down(content + MARK) == cut_down(content)


def thumbnail() -> bytes:
    """EXIF with a text, a comment, and a thumbnail in a second directory."""
    entries = [struct.pack(">HHLL", tag, kind, len(MARK), 128) for tag, kind in ((0x010E, 2), (0x9286, 7), (0x0201, 4))]
    whole = tiff(*entries, tail=struct.pack(">L", 8))
    return whole + bytes(128 - len(whole)) + MARK


@cache
def marked() -> dict[str, bytes]:
    """Pictures with a mark in all that describes them, by its place."""
    text, packed = b"Comment\0" + MARK, b"Comment\0\0" + zlib.compress(MARK, 0)
    chunks = {b"tEXt": text, b"zTXt": packed, b"iCCP": packed, b"iTXt": b"Comment\0\0\0\0\0" + MARK, b"sPLT": text}
    chunks |= {b"tIME": MARK, b"prVt": MARK, b"hIST": MARK, b"PRVT": MARK, b"acTL": MARK, b"eXIf": thumbnail()}
    made = {f"png-{name.decode()}": png(8, 2, chunk(name, data)) for name, data in chunks.items()}
    made |= {f"png-{name.decode()}-after": png(8, 2, after=chunk(name, data)) for name, data in chunks.items()}
    heads = {0xE1: b"http://ns.adobe.com/xap/1.0/\0", 0xE2: b"ICC_PROFILE\0\1\1", 0xED: b"Photoshop 3.0\0"}
    for marker in (*range(0xE1, 0xEE), 0xEF, 0xFE, 0xDC, 0xDE, 0xF0, 0x02, 0xC8):
        made[f"jpeg-{marker:X}"] = JPEG[:2] + segment(marker, heads.get(marker, b"") + MARK) + JPEG[2:]
    made["jpeg-E1-exif"] = JPEG[:2] + segment(0xE1, b"Exif\0\0" + thumbnail()) + JPEG[2:]
    made["jpeg-between-segments"] = JPEG[:20] + MARK + JPEG[20:]  # after JFIF's
    made["jpeg-between-scans"] = jpeg_of(
        [each for m, d, b in segments(PROGRESSIVE) for each in ((m, d, b), (0xFE, MARK, b""))]
    )
    for name, code in {"comment": b"\xfe", "application": b"\xff", "text": b"\x01", "unknown": b"\x77"}.items():
        block = b"!" + code + bytes([len(MARK)]) + MARK + b"\0"
        made |= {f"gif-{name}": gif(SIZE, (0, 0, *SIZE), block), f"gif-{name}-after": gif(after=block)}
    made["gif-transparency"] = gif(SIZE, (0, 0, *SIZE), b"!\xf9\x04\1\0\0\2" + bytes([len(MARK)]) + MARK + b"\0")
    frame = saved(noise("RGB"), "WEBP", lossless=True)[20:]
    frame = (b"VP8L", frame[: len(frame) & ~1])
    for name, flags in {b"XMP ": 4, b"ICCP": 32, b"NOTE": 0}.items():
        made[f"webp-{name.decode().strip()}"] = extended_webp(SIZE, flags, (name, MARK), frame)
    made["webp-EXIF"] = extended_webp(SIZE, 8, frame, (b"EXIF", thumbnail()))
    return made


@pytest.mark.parametrize("name", sorted(marked()))
def test_what_describes_a_picture_never_reaches_its_decoder(name: str) -> None:
    content = marked()[name]
    assert MARK in content
    assert MARK not in cut_down(content)
    assert reason_of(content) is None


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_later_frames_never_reach_the_decoder(kind: str) -> None:
    one, two = noise("RGB"), noise("RGB").rotate(180)
    content = saved(one, kind.upper(), save_all=True, append_images=[two, one] * 3, duration=50)
    with Image.open(BytesIO(content)) as before, Image.open(BytesIO(cut_down(content))) as after:
        assert (before.n_frames, after.n_frames) == (7, 1)


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_file_that_is_cut_short_is_refused(name: str) -> None:
    content = ordinary()[name]
    if name == "jpeg-several-pictures":  # what follows the first is no part of it
        content = content[: content.index(b"\xff\xd9") + 2]
    magic = MAGIC_BYTES[kind_of(content)]
    every = name in (
        "jpeg-RGB",
        "png-RGB",
        "gif-palette",
        "webp-RGB-lossy",
        "webp-animated",
        "bmp-bits-1",
    )
    points = {*range(magic + 1), *range(len(content) - 16, len(content)), *range(0, len(content), 1 if every else 41)}
    for length in sorted(points - {len(content)}):
        wanted = Reason.UNSUPPORTED_IMAGE_FORMAT if length < magic else Reason.UNDECODABLE_IMAGE
        assert reason_of(content[: max(length, 0)]) is wanted, length


def test_a_scan_too_many_is_refused() -> None:
    parts = list(segments(PROGRESSIVE))
    scans = [each for each in parts if each[0] == 0xDA]
    rest = [each for each in parts if each[0] != 0xDA]
    assert reason_of(jpeg_of(rest + (scans * MAX_SCANS)[:MAX_SCANS])) is None
    assert reason_of(jpeg_of(rest + (scans * MAX_SCANS)[: MAX_SCANS + 1])) is Reason.UNDECODABLE_IMAGE


def test_a_segment_too_many_is_refused() -> None:
    few, fit = segment(0xFE), MAX_SEGMENTS - len(list(segments(JPEG))) - 1
    assert reason_of(JPEG[:2] + few * fit + JPEG[2:]) is None
    assert reason_of(JPEG[:2] + few * (fit + 1) + JPEG[2:]) is Reason.UNDECODABLE_IMAGE


@pytest.mark.parametrize("content", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
@pytest.mark.parametrize("filled", [1, 70_000], ids=["one", "many"])
def test_bytes_that_fill_are_left_out_and_change_nothing(content: bytes, filled: int) -> None:
    # libjpeg reads a run of them again from its start with every block that it is given.
    end = content.rindex(b"\xff\xd9")
    before = cut_down(content)
    for position in (2, end):
        assert cut_down(content[:position] + b"\xff" * filled + content[position:]) == before


def test_stuffed_and_restarted_bits_are_kept() -> None:
    content = saved(noise("RGB", (64, 64)), "JPEG", quality=100, restart_marker_blocks=2)
    assert content.count(b"\xff\x00") > 5
    assert len(re.findall(rb"\xff[\xd0-\xd7]", content)) > 5
    assert cut_down(content) == content


MALFORMED = {
    "png-header-not-first": PNG + chunk(b"PLTE", bytes(12)) + png(8, 2)[8:],
    "png-two-headers": PNG + ihdr((99, 99)) + png(8, 2)[8:],
    "png-header-after-picture": png(8, 2, after=ihdr(SIZE)),
    "png-no-header": PNG + chunk(b"IDAT", zlib.compress(bytes(400))) + chunk(b"IEND"),
    "png-no-picture": PNG + ihdr(SIZE) + chunk(b"IEND"),
    "png-no-palette": png(8, 3),
    "png-palette-too-long": png(8, 3, chunk(b"PLTE", bytes(3 * 257))),
    "png-end-alone": PNG + chunk(b"IEND"),
    "png-chunk-too-long": PNG + b"\xff\xff\xff\xffIDAT" + bytes(99),
    "jpeg-no-scan": jpeg_of([each for each in segments(JPEG) if each[0] != 0xDA]),
    "jpeg-no-frame": jpeg_of([each for each in segments(JPEG) if each[0] != 0xC0]),
    "jpeg-two-frames": jpeg_of([each for each in segments(JPEG) for _ in range(1 + (each[0] == 0xC0))]),
    "jpeg-end-alone": b"\xff\xd8\xff\xd9",
    "jpeg-lengths-of-nothing": b"\xff\xd8" + b"\xff\xc0\0\0" * 40 + b"\xff\xd9",
    "gif-no-frame": gif()[: 13 + 24] + b";",
    "gif-unknown-block": gif(SIZE, (0, 0, *SIZE), b"?"),
    "gif-short-transparency": gif(SIZE, (0, 0, *SIZE), b"!\xf9\1\1\0")[:-2] + b"?;",
    "webp-no-picture": b"RIFF\4\0\0\0WEBP",
    "webp-unknown-picture": b"RIFF\x14\0\0\0WEBPVP9 \x08\0\0\0" + bytes(8),
    "webp-shorter-than-itself": b"RIFF\0\0\0\0WEBP" + bytes(40),
    "webp-frame-unlike-its-canvas": extended_webp((99, 99), 0, (b"VP8L", webp_frame()[24:])),
    "bmp-unknown-header": b"BM" + bytes(12) + b"\x29" + bytes(60),
    "bmp-header-alone": b"BM" + bytes(12),
    "bmp-header-of-gigabytes": b"BM" + bytes(12) + b"\xff\xff\xff\xff" + bytes(60),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_malformed_file_is_undecodable(name: str) -> None:
    assert reason_of(MALFORMED[name]) is Reason.UNDECODABLE_IMAGE


LARGER = (SIZE[0], SIZE[1] + 1)
LYING: dict[str, tuple[bytes, Reason | None]] = {
    "png-taller": (PNG + ihdr(LARGER) + png(8, 2)[33:], None),  # Pillow leaves the rest black
    "png-flatter": (PNG + ihdr((SIZE[0], 1)) + png(8, 2)[33:], None),
    "png-wider": (PNG + ihdr((SIZE[0] + 1, SIZE[1])) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "png-other-depth": (PNG + ihdr(SIZE, 7) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "png-other-colour": (PNG + ihdr(SIZE, 8, 7) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "jpeg-taller": (resized_jpeg(JPEG, LARGER), None),  # libjpeg fills the rest
    "jpeg-no-width": (resized_jpeg(JPEG, (0, 9)), Reason.UNDECODABLE_IMAGE),
    "jpeg-height-told-later": (resized_jpeg(JPEG, (9, 0)), Reason.UNDECODABLE_IMAGE),
    "gif-taller": (gif().replace(struct.pack("<HH", *SIZE), struct.pack("<HH", *LARGER)), Reason.UNDECODABLE_IMAGE),
    "webp-canvas-of-one": (extended_webp((1, 1), 2, (b"ANIM", bytes(6)), (b"ANMF", webp_frame(SIZE))), None),
    "bmp-taller": (bmp(LARGER, 24, bytes(40 * SIZE[1])), Reason.UNDECODABLE_IMAGE),
    "bmp-high": (bmp((1, -(2**31)), 1, bytes(4)), Reason.TOO_MANY_PIXELS),
    "bmp-starts-in-its-header": (bmp(SIZE, 24, bytes(360)).replace(b"\x36\0\0\0", b"\1\0\0\0", 1), None),
}


@pytest.mark.parametrize("name", sorted(LYING))
def test_a_header_that_lies_is_caught_or_harmless(name: str) -> None:
    content, wanted = LYING[name]
    assert reason_of(content) in (wanted, Reason.UNDECODABLE_IMAGE)


def test_a_file_of_two_kinds_is_the_picture_that_comes_first() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("run.class", MARK)
    for kind in ("jpeg", "png", "gif", "webp"):
        for other in (packed.getvalue(), b"<script>zebra9131</script>", saved(noise("L", (3, 3)), "PNG")):
            content = saved(noise("RGB"), kind.upper(), **({"lossless": True} if kind == "webp" else {}))
            assert kind_of(content + other) == kind
            assert read_header(content + other, ImageLimits()).size == SIZE
            assert cut_down(content + other) == cut_down(content)


def test_a_gif_that_is_disposed_of_costs_no_second_picture() -> None:
    # Pillow lays it out on opening, before its size can be judged.
    for disposal in (2, 3):
        control = bytes([0x21, 0xF9, 4, disposal << 2 | 1, 0, 0, 0, 0])
        with Image.open(BytesIO(cut_down(gif(SIZE, (0, 0, *SIZE), control)))) as image:
            assert image.dispose is None
            assert image.info["transparency"] == 0


def test_an_orientation_outlives_the_cut() -> None:
    for kind in ("jpeg", "png", "webp"):
        content = saved(noise("RGB"), kind.upper(), exif=b"Exif\0\0" + exif(6))
        with Image.open(BytesIO(cut_down(content))) as image:
            assert image.getexif()[0x0112] == 6


@pytest.mark.parametrize(("compression", "bits"), [(1, 8), (2, 4)], ids=["8 bits", "4 bits"])
def test_a_bmp_of_runs_is_unsupported(compression: int, bits: int) -> None:
    """Pillow would expand them in Python, seconds for a small file."""
    runs = bmp((9_000, 5_000), bits, b"\xff\7\0\0" * 5_000 + b"\0\1", compression)
    assert reason_of(runs) is Reason.UNSUPPORTED_IMAGE_FORMAT
