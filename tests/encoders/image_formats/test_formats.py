"""Image formats are detected, truncated files are rejected, and files are stripped to what decoding needs."""

import re
import struct
import zipfile
import zlib
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from encoders.image_formats import detect_format, heic, strip
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_formats.jpeg import MAX_SCANS, MAX_SEGMENTS
from rawless.content import ImageFormat, ImageLimits
from rawless.privacy import Reason, Rejected
from tests.encoders import decoding
from tests.encoders.image_files import (
    MAGIC_BYTES,
    PNG,
    SIZE,
    bmp,
    box,
    boxes,
    chunk,
    exif,
    extended_webp,
    gif,
    heif,
    heif_item,
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
    tiff_page,
    webp_frame,
)

MARK = b"zebra9131"
LIMITS = decoding.LIMITS
WHOLE = LIMITS.model_copy(update={"whole_files": True})
PREPROCESSING = decoding.PREPROCESSING.model_copy(update={"alpha": "white"})
JPEG = saved(noise("RGB"), "JPEG")
PROGRESSIVE = saved(noise("RGB"), "JPEG", progressive=True)


def format_of(content: bytes) -> ImageFormat:
    kind = detect_format(content)
    assert kind is not None
    return kind


def stripped(content: bytes) -> bytes:
    return strip(content, format_of(content))


def reason_of(content: bytes, limits: ImageLimits = LIMITS) -> Reason | None:
    try:
        decode_pixels(read_header(content, limits), PREPROCESSING)
    except Rejected as rejected:
        return rejected.reason
    return None


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_stripped_file_has_the_same_pixels_and_is_not_stripped_further(name: str) -> None:
    content = ordinary()[name]
    kept = stripped(content)
    with Image.open(BytesIO(content)) as before, Image.open(BytesIO(kept)) as after:
        assert (after.format, after.size, after.mode) == (
            before.format.replace("MPO", "JPEG"),
            before.size,
            before.mode,
        )
        assert (np.asarray(after.convert("RGBA")) == np.asarray(before.convert("RGBA"))).all()
    assert format_of(kept) == format_of(content)
    assert stripped(kept) == kept


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_bytes_after_the_image_are_removed(name: str) -> None:
    content = ordinary()[name]
    if format_of(content) != "bmp":  # the end of a BMP is not detected
        assert stripped(content + MARK) == stripped(content)


def thumbnail() -> bytes:
    """Return EXIF with a text, a comment, and a thumbnail in a second directory."""
    entries = [struct.pack(">HHLL", tag, kind, len(MARK), 128) for tag, kind in ((0x010E, 2), (0x9286, 7), (0x0201, 4))]
    whole = tiff(*entries, tail=struct.pack(">L", 8))
    return whole + bytes(128 - len(whole)) + MARK


@cache
def marked() -> dict[str, bytes]:
    """Return image files with a marker in their metadata, by its location."""
    text, packed = b"Comment\0" + MARK, b"Comment\0\0" + zlib.compress(MARK, 0)
    chunks = {b"tEXt": text, b"zTXt": packed, b"iCCP": packed, b"iTXt": b"Comment\0\0\0\0\0" + MARK, b"sPLT": text}
    chunks |= {b"tIME": MARK, b"prVt": MARK, b"hIST": MARK, b"PRVT": MARK, b"acTL": MARK, b"eXIf": thumbnail()}
    files = {f"png-{name.decode()}": png(8, 2, chunk(name, data)) for name, data in chunks.items()}
    files |= {f"png-{name.decode()}-after": png(8, 2, after=chunk(name, data)) for name, data in chunks.items()}
    heads = {0xE1: b"http://ns.adobe.com/xap/1.0/\0", 0xE2: b"ICC_PROFILE\0\1\1", 0xED: b"Photoshop 3.0\0"}
    for marker in (*range(0xE1, 0xEE), 0xEF, 0xFE, 0xDC):
        files[f"jpeg-{marker:X}"] = JPEG[:2] + segment(marker, heads.get(marker, b"") + MARK) + JPEG[2:]
    files["jpeg-E1-exif"] = JPEG[:2] + segment(0xE1, b"Exif\0\0" + thumbnail()) + JPEG[2:]
    files["jpeg-between-segments"] = JPEG[:20] + MARK + JPEG[20:]  # after JFIF's
    files["jpeg-between-scans"] = jpeg_of(
        [each for m, d, b in segments(PROGRESSIVE) for each in ((m, d, b), (0xFE, MARK, b""))]
    )
    for name, code in {"comment": b"\xfe", "application": b"\xff", "text": b"\x01", "unknown": b"\x77"}.items():
        block = b"!" + code + bytes([len(MARK)]) + MARK + b"\0"
        files |= {f"gif-{name}": gif(SIZE, (0, 0, *SIZE), block), f"gif-{name}-after": gif(after=block)}
    files["gif-transparency"] = gif(SIZE, (0, 0, *SIZE), b"!\xf9\x04\1\0\0\2" + bytes([len(MARK)]) + MARK + b"\0")
    frame = saved(noise("RGB"), "WEBP", lossless=True)[20:]
    frame = (b"VP8L", frame[: len(frame) & ~1])
    for name, flags in {b"XMP ": 4, b"ICCP": 32, b"NOTE": 0}.items():
        files[f"webp-{name.decode().strip()}"] = extended_webp(SIZE, flags, (name, MARK), frame)
    files["webp-EXIF"] = extended_webp(SIZE, 8, frame, (b"EXIF", thumbnail()))
    texts = dict.fromkeys((270, 700, 33_432, 65_000), MARK)
    page = saved(noise("RGB"), "TIFF", tiffinfo=texts, icc_profile=MARK)
    files["tiff-tags"] = page
    files["tiff-next-page"] = saved(noise("RGB"), "TIFF", save_all=True, append_images=[noise("L")]) + MARK
    jpeg = saved(noise("RGB"), "JPEG", subsampling=0)
    files["tiff-jpeg"] = tiff_page(SIZE, {259: (7,)}, jpeg[:2] + segment(0xFE, MARK) + jpeg[2:])
    files["avif-xmp"] = saved(noise("RGB"), "AVIF", xmp=MARK)
    files["avif-profile"] = saved(noise("RGB"), "AVIF", icc_profile=MARK)
    _, data, properties = heif_item(saved(noise("RGB"), "AVIF"))
    properties |= {b"av1C": properties[b"av1C"] + MARK, b"note": MARK, b"ispe": properties[b"ispe"] + MARK}
    metadata = (b"Exif", bytes(4) + thumbnail(), {})
    files["avif-exif"] = heif(b"avif", [(b"av01", data, properties), metadata], (b"cdsc", 2, [1]))
    unit = bytes([5 << 3 | 2, len(MARK)]) + MARK
    files["avif-units"] = heif(b"avif", [(b"av01", unit + data + unit, properties)], after=MARK + b"___")
    files["avif-box"] = files["avif-xmp"] + box(b"free", MARK)
    if heic.is_installed():
        metadata = {"exif": b"Exif\0\0" + thumbnail(), "xmp": MARK, "icc_profile": MARK}
        files |= {f"heic-{name}": saved(noise("RGB"), "HEIC", **{name: data}) for name, data in metadata.items()}
    files |= {"jp2-comment": saved(noise("RGB"), "JP2", comment=MARK.decode())}
    whole = saved(noise("RGB"), "JP2")
    stream = boxes(whole, 12)[b"jp2c"]
    header = boxes(boxes(whole, 12)[b"jp2h"])[b"ihdr"]
    profile = box(b"jp2h", box(b"ihdr", header), box(b"colr", b"\2\0\0" + MARK), box(b"uinf", MARK))
    files["jp2-profile"] = whole[:12] + box(b"ftyp", b"jp2 ", MARK) + profile + box(b"jp2c", stream)
    files["jp2-boxes"] = whole[:32] + box(b"uuid", MARK) + box(b"xml ", MARK) + whole[32:] + box(b"uuid", MARK)
    return files


@pytest.mark.parametrize("name", sorted(marked()))
def test_metadata_never_reaches_the_decoder(name: str) -> None:
    content = marked()[name]
    assert MARK in content
    assert MARK not in stripped(content)
    assert reason_of(content) is None


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "avif"])
def test_later_frames_never_reach_the_decoder(kind: str) -> None:
    one, two = noise("RGB"), noise("RGB").rotate(180)
    content = saved(one, kind.upper(), save_all=True, append_images=[two, one] * 3, duration=50)
    with Image.open(BytesIO(content)) as before, Image.open(BytesIO(stripped(content))) as after:
        assert (before.n_frames, after.n_frames) == (7, 1)


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_truncated_file_is_rejected_where_files_must_be_whole(name: str) -> None:
    content = ordinary()[name]
    if name == "jpeg-several-images":  # bytes after the first image are removed
        content = content[: content.index(b"\xff\xd9") + 2]
    magic = 4 if name == "jp2-codestream" else MAGIC_BYTES[format_of(content)]
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
        expected = Reason.UNSUPPORTED_IMAGE_FORMAT if length < magic else Reason.UNDECODABLE_IMAGE
        part = content[: max(length, 0)]
        assert reason_of(part, WHOLE) is expected, length
        assert reason_of(part) is expected or has_same_pixels(part, content), length


def has_same_pixels(one: bytes, other: bytes) -> bool:
    first, second = (np.asarray(decode_pixels(read_header(each, LIMITS), PREPROCESSING)) for each in (one, other))
    return np.array_equal(first, second)


@cache
def faulty_after_the_pixels() -> dict[str, bytes]:
    """Return a PNG and a GIF whose pixels are all there, with a fault after them."""
    one, two, frames = png(8, 2), noise("P"), saved(noise("P"), "GIF", save_all=True, append_images=[noise("L")] * 2)
    files = {
        "png-no-end": one[:-12],
        "png-cut-in-the-end": one[:-5],
        "png-cut-in-the-checksum": one[:-14],
        "png-end-renamed": one.replace(b"IEND", b"JEND"),
        "png-end-with-a-length": one[:-12] + b"\0\0\1\0IEND\xae\x42\x60\x82",
        "png-zeros": one[:-12] + bytes(500),
        "png-junk": one[:-12] + MARK * 9,
        "png-text-cut": one[:-12] + chunk(b"tEXt", b"k\0" + MARK)[:-9],
        "gif-no-end": saved(two, "GIF")[:-1],
        "gif-zeros": saved(two, "GIF")[:-1] + bytes(500),
        "gif-junk": saved(two, "GIF")[:-1] + MARK * 9,
        "gif-second-frame-cut": frames[: len(frames) // 2],
        "gif-comment-cut": saved(two, "GIF")[:-1] + b"!\xfe\x20abc",
    }
    return files | {"png-text-damaged": one[:-12] + chunk(b"tEXt", b"k\0" + MARK)[:-1] + b"!" + one[-12:]}


@pytest.mark.parametrize("name", sorted(faulty_after_the_pixels()))
def test_a_fault_after_all_pixels_rejects_only_where_files_must_be_whole(name: str) -> None:
    content = faulty_after_the_pixels()[name]
    assert has_same_pixels(content, png(8, 2) if name.startswith("png") else saved(noise("P"), "GIF"))
    if name != "png-text-damaged":  # texts are removed unread
        assert reason_of(content, WHOLE) is Reason.UNDECODABLE_IMAGE
    assert MARK not in stripped(content)


@pytest.mark.parametrize("at", ["within", "between"])
def test_a_png_that_lacks_pixels_is_rejected(at: str) -> None:
    content = ordinary()["png-many-parts"]
    last = content.rindex(b"IDAT", 0, content.rindex(b"IDAT", 0, -30)) - 4
    assert reason_of(content[: last + (20 if at == "within" else 0)]) is Reason.UNDECODABLE_IMAGE


def test_a_jpeg_of_too_many_scans_is_rejected() -> None:
    parts = list(segments(PROGRESSIVE))
    scans = [each for each in parts if each[0] == 0xDA]
    rest = [each for each in parts if each[0] != 0xDA]
    assert reason_of(jpeg_of(rest + (scans * MAX_SCANS)[:MAX_SCANS])) is None
    assert reason_of(jpeg_of(rest + (scans * MAX_SCANS)[: MAX_SCANS + 1])) is Reason.UNDECODABLE_IMAGE


def test_a_jpeg_of_too_many_segments_is_rejected() -> None:
    few, fit = segment(0xFE), MAX_SEGMENTS - len(list(segments(JPEG))) - 1
    assert reason_of(JPEG[:2] + few * fit + JPEG[2:]) is None
    assert reason_of(JPEG[:2] + few * (fit + 1) + JPEG[2:]) is Reason.UNDECODABLE_IMAGE


@pytest.mark.parametrize("content", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
@pytest.mark.parametrize("filled", [1, 70_000], ids=["one", "many"])
def test_fill_bytes_are_removed(content: bytes, filled: int) -> None:
    # libjpeg reads a run of them from its start again with every block of input.
    end = content.rindex(b"\xff\xd9")
    before = stripped(content)
    for position in (2, end):
        assert stripped(content[:position] + b"\xff" * filled + content[position:]) == before


RESERVED = (*range(0x01, 0xC0), 0xC8, 0xD8, 0xDE, 0xDF, *range(0xF0, 0xFE))


@pytest.mark.parametrize("where", ["before the scan", "within the scan"])
def test_a_jpeg_with_a_reserved_marker_is_rejected(where: str) -> None:
    # libjpeg ignores it within a scan with restarts, and fails elsewhere.
    restarts = saved(noise("RGB", (40, 30)), "JPEG", restart_marker_blocks=1)
    scan = restarts.index(b"\xff\xda") + 14
    for marker in RESERVED:
        changed = bytes((0xFF, marker, 0, 3, 0))
        for position in (2,) if where == "before the scan" else (scan, scan + 60):
            content = restarts[:position] + changed + restarts[position:]
            assert reason_of(content) is Reason.UNDECODABLE_IMAGE, (marker, position)


def test_stuffed_and_restarted_bits_are_kept() -> None:
    content = saved(noise("RGB", (64, 64)), "JPEG", quality=100, restart_marker_blocks=2)
    assert content.count(b"\xff\x00") > 5
    assert len(re.findall(rb"\xff[\xd0-\xd7]", content)) > 5
    assert stripped(content) == content


DATA = bytes(3 * SIZE[0] * SIZE[1])
MALFORMED = {
    "png-header-not-first": PNG + chunk(b"PLTE", bytes(12)) + png(8, 2)[8:],
    "png-two-headers": PNG + ihdr((99, 99)) + png(8, 2)[8:],
    "png-header-after-image": png(8, 2, after=ihdr(SIZE)),
    "png-no-header": PNG + chunk(b"IDAT", zlib.compress(bytes(400))) + chunk(b"IEND"),
    "png-no-image": PNG + ihdr(SIZE) + chunk(b"IEND"),
    **{f"png-no-palette-{bits}": png(bits, 3) for bits in (1, 2, 4, 8)},
    "png-no-bits": PNG + ihdr(SIZE, 0, 0) + chunk(b"tRNS", bytes(2)) + png(8, 0)[33:],
    "png-short-key": png(8, 2, chunk(b"tRNS", bytes(4))),
    "png-damaged-key": png(8, 0, chunk(b"tRNS", bytes(2))[:-1] + b"!"),
    "png-palette-too-long": png(8, 3, chunk(b"PLTE", bytes(3 * 257))),
    "png-end-alone": PNG + chunk(b"IEND"),
    "png-chunk-too-long": PNG + b"\xff\xff\xff\xffIDAT" + bytes(99),
    "jpeg-no-scan": jpeg_of([each for each in segments(JPEG) if each[0] != 0xDA]),
    "jpeg-no-frame": jpeg_of([each for each in segments(JPEG) if each[0] != 0xC0]),
    "jpeg-two-frames": jpeg_of([each for each in segments(JPEG) for _ in range(1 + (each[0] == 0xC0))]),
    "jpeg-end-alone": b"\xff\xd8\xff\xd9",
    "jpeg-lengths-of-nothing": b"\xff\xd8" + b"\xff\xc0\0\0" * 40 + b"\xff\xd9",
    "gif-no-frame": gif()[: 13 + 24] + b";",
    "gif-frame-cut": gif()[:-3],
    "gif-unknown-block": gif(SIZE, (0, 0, *SIZE), b"?"),
    "gif-short-transparency": gif(SIZE, (0, 0, *SIZE), b"!\xf9\1\1\0")[:-2] + b"?;",
    "webp-no-image": b"RIFF\4\0\0\0WEBP",
    "webp-unknown-image": b"RIFF\x14\0\0\0WEBPVP9 \x08\0\0\0" + bytes(8),
    "webp-shorter-than-itself": b"RIFF\0\0\0\0WEBP" + bytes(40),
    "webp-frame-unlike-its-canvas": extended_webp((99, 99), 0, (b"VP8L", webp_frame()[24:])),
    "tiff-no-tags": tiff(order="<"),
    "tiff-cut-in-its-tags": tiff_page(SIZE, {}, DATA)[:60],
    "tiff-no-pixels": tiff_page((0, 9), {}, DATA),
    "tiff-strip-missing": tiff_page(SIZE, {278: (3,)}, DATA),
    "tiff-strip-cut": tiff_page(SIZE, {}, DATA[:-1]),
    "tiff-strip-past-the-end": tiff_page(SIZE, {273: (4_000_000_000,)}, DATA),
    "tiff-strips-longer-than-the-file": tiff_page(SIZE, {259: (5,), 278: (3,), 273: (8,) * 3, 279: (300,) * 3}, DATA),
    "tiff-rows-of-nothing": tiff_page(SIZE, {278: (0,)}, DATA),
    "tiff-tile-larger-than-the-image": tiff_page(SIZE, {322: (60_000,), 323: (60_000,), 324: (8,), 325: (9,)}, DATA),
    "tiff-tile-of-nothing": tiff_page(SIZE, {322: (0,), 323: (0,), 324: (8,), 325: (9,)}, DATA),
    "tiff-tiles-without-number": tiff_page((2**32 - 1,) * 2, {322: (1,), 323: (1,), 324: (8,), 325: (9,)}, DATA),
    "tiff-strips-without-number": tiff_page((9, 2**32 - 1), {278: (1,), 259: (5,)}, DATA),
    "tiff-no-palette": tiff_page(SIZE, {258: (8,), 277: (1,), 262: (3,)}, DATA),
    "tiff-jpeg-of-another-size": tiff_page(SIZE, {259: (7,)}, saved(noise("RGB", (99, 99)), "JPEG")),
    "tiff-number-too-large": tiff_page(SIZE, {284: (70_000,)}, DATA),
    "tiff-tag-twice": tiff(*(struct.pack("<HHLL", 256, 4, 1, side) for side in SIZE), order="<"),
    "tiff-jpeg-cut": tiff_page(SIZE, {259: (7,)}, saved(noise("RGB"), "JPEG")[:-2]),
    "bmp-unknown-header": b"BM" + bytes(12) + b"\x29" + bytes(60),
    "bmp-header-alone": b"BM" + bytes(12),
    "bmp-header-of-gigabytes": b"BM" + bytes(12) + b"\xff\xff\xff\xff" + bytes(60),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_malformed_file_is_undecodable(name: str) -> None:
    assert reason_of(MALFORMED[name]) is Reason.UNDECODABLE_IMAGE


LARGER = (SIZE[0], SIZE[1] + 1)
WRONG_HEADERS: dict[str, tuple[bytes, Reason | None]] = {
    "png-taller": (PNG + ihdr(LARGER) + png(8, 2)[33:], None),  # Pillow leaves the rest black
    "png-flatter": (PNG + ihdr((SIZE[0], 1)) + png(8, 2)[33:], None),
    "png-wider": (PNG + ihdr((SIZE[0] + 1, SIZE[1])) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "png-other-depth": (PNG + ihdr(SIZE, 7) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "png-other-colour": (PNG + ihdr(SIZE, 8, 7) + png(8, 2)[33:], Reason.UNDECODABLE_IMAGE),
    "jpeg-taller": (resized_jpeg(JPEG, LARGER), None),  # libjpeg fills the rest
    "jpeg-no-width": (resized_jpeg(JPEG, (0, 9)), Reason.UNDECODABLE_IMAGE),
    "jpeg-height-stated-later": (resized_jpeg(JPEG, (9, 0)), Reason.UNDECODABLE_IMAGE),
    "gif-taller": (gif().replace(struct.pack("<HH", *SIZE), struct.pack("<HH", *LARGER)), Reason.UNDECODABLE_IMAGE),
    "webp-canvas-of-one": (extended_webp((1, 1), 2, (b"ANIM", bytes(6)), (b"ANMF", webp_frame(SIZE))), None),
    "bmp-taller": (bmp(LARGER, 24, bytes(40 * SIZE[1])), Reason.UNDECODABLE_IMAGE),
    "bmp-high": (bmp((1, -(2**31)), 1, bytes(4)), Reason.TOO_MANY_PIXELS),
    "bmp-starts-in-its-header": (bmp(SIZE, 24, bytes(360)).replace(b"\x36\0\0\0", b"\1\0\0\0", 1), None),
}


@pytest.mark.parametrize("name", sorted(WRONG_HEADERS))
def test_a_wrong_header_is_rejected_or_harmless(name: str) -> None:
    content, expected = WRONG_HEADERS[name]
    assert reason_of(content) in (expected, Reason.UNDECODABLE_IMAGE)


def test_a_file_of_two_formats_is_decoded_as_the_first() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("run.class", MARK)
    for kind in ("jpeg", "png", "gif", "webp"):
        for other in (packed.getvalue(), b"<script>zebra9131</script>", saved(noise("L", (3, 3)), "PNG")):
            content = saved(noise("RGB"), kind.upper(), **({"lossless": True} if kind == "webp" else {}))
            assert format_of(content + other) == kind
            assert read_header(content + other, ImageLimits()).size == SIZE
            assert stripped(content + other) == stripped(content)


def test_the_disposal_method_of_a_gif_is_removed() -> None:
    # Pillow allocates the image on opening, before its size can be checked.
    for disposal in (2, 3):
        control = bytes([0x21, 0xF9, 4, disposal << 2 | 1, 0, 0, 0, 0])
        with Image.open(BytesIO(stripped(gif(SIZE, (0, 0, *SIZE), control)))) as image:
            assert image.dispose is None
            assert image.info["transparency"] == 0


def test_the_orientation_is_kept() -> None:
    for kind in ("jpeg", "png", "webp"):
        content = saved(noise("RGB"), kind.upper(), exif=b"Exif\0\0" + exif(6))
        with Image.open(BytesIO(stripped(content))) as image:
            assert image.getexif()[0x0112] == 6
