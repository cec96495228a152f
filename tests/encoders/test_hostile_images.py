"""Hostile image files: each has a reason or a vector, costs little, and breaks nothing."""

import json
import logging
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from encoders.catalogue import lookup
from encoders.encoder import Encoded
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.image_formats import heic
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_model import prepare
from encoders.image_spec import ImagePreprocessing
from encoders.load import load
from encoders.pixels import Pixels
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.privacy import Raw, Reason, Rejected, guarded
from tests.encoders.image_files import (
    HERE,
    PNG,
    SIZE,
    animated_webp,
    arithmetic_jpeg,
    bmp,
    box,
    chunk,
    exif,
    extended_webp,
    gif,
    heif,
    heif_grid,
    heif_item,
    ihdr,
    noise,
    ordinary,
    png,
    resized_heif,
    resized_jp2,
    resized_jpeg,
    resized_webp,
    saved,
    segment,
    tiff,
    tiff_page,
    webp_frame,
    with_codestream,
)

ROOT = Path(__file__).parent.parent.parent
FOUND = Path(__file__).parent / "hostile"
MARK = "zebra9131"
SMALL = ImageLimits(max_pixels=1_000_000, formats=IMAGE_FORMATS)
EXPECTED = {Reason.UNDECODABLE_IMAGE, Reason.UNSUPPORTED_IMAGE_FORMAT, Reason.TOO_MANY_PIXELS}
JPEG = saved(noise("RGB"), "JPEG")
PREPROCESSING = cast(TorchvisionSpec, lookup("resnet18-seeded@1.0.0")).preprocessing
TO_FEW_PIXELS = PREPROCESSING.model_copy(update={"resize": 64, "crop": 56})
"""Resizing strips to 256 pixels would take longer than decoding them."""

KEEPING_COLOURS = PREPROCESSING.model_copy(update={"alpha": "drop"})


def prepared(
    content: bytes, preprocessing: ImagePreprocessing = TO_FEW_PIXELS, limits: ImageLimits = SMALL
) -> Pixels | Reason:
    """Return the pixels of a file, or the reason for its rejection."""
    return guarded(prepare, content, preprocessing, limits)


def is_expected(outcome: Pixels | Reason) -> bool:
    """Return whether the outcome is pixels for the model, or a reason that the file causes."""
    return outcome in EXPECTED if isinstance(outcome, Reason) else outcome.shape == (56, 56, 3)


def with_exif(kind: str, tag: bytes) -> bytes:
    """Return a valid image file with the given EXIF."""
    if kind == "jpeg":
        parts = [tag[at : at + 65_000] for at in range(0, max(len(tag), 1), 65_000)]
        return JPEG[:2] + b"".join(segment(0xE1, b"Exif\0\0" + each) for each in parts) + JPEG[2:]
    if kind == "png":
        return png(8, 2, chunk(b"eXIf", tag))
    frame = saved(noise("RGB"), "WEBP", lossless=True)[20:]
    return extended_webp(SIZE, 8, (b"VP8L", frame[: len(frame) & ~1]), (b"EXIF", tag))


def overlapping(entries: int, size: int) -> bytes:
    """Return EXIF whose tags all point at the whole: a reader that keeps the values needs their product in memory."""
    tags = [struct.pack(">HHLL", number, 1, size, 0) for number in range(entries)]
    return tiff(*tags, tail=bytes(size - 12 * entries))


@cache
def bombs() -> dict[str, bytes]:
    """Return small files that decode to gigabytes of pixels, by a name that starts with their format."""
    huge, zeros = (60_000, 60_000), zlib.compress(bytes(16_000_000), 9)
    files = {
        "jpeg": resized_jpeg(JPEG, huge),
        "jpeg-progressive": resized_jpeg(saved(noise("RGB"), "JPEG", progressive=True), huge),
        "jpeg-arithmetic": resized_jpeg(arithmetic_jpeg(), huge),
        "jpeg-CMYK": resized_jpeg(saved(noise("CMYK"), "JPEG", progressive=True), (65_000, 65_000)),
        "webp": resized_webp(saved(noise("RGB"), "WEBP"), (16_383, 16_383)),
        "webp-lossless": resized_webp(saved(noise("RGB"), "WEBP", lossless=True), (16_384, 16_384)),
        "webp-canvas": animated_webp((16_000, 16_000)),
        "gif": gif(huge, (0, 0, *huge)),
        "gif-frame": gif((1, 1), (30_000, 30_000, 1, 1)),
        "gif-screen": gif((50_000, 50_000), (0, 0, 1, 1)),
        "bmp": bmp(huge, 24, b""),
        "bmp-from-the-top": bmp((60_000, -60_000), 24, b""),
        "bmp-32": bmp((2**31 - 1, 2**31 - 1), 32, b""),
        "png-signed": PNG + ihdr((2**31 - 1, 2**31 - 1)) + chunk(b"IDAT", zeros) + chunk(b"IEND"),
    }
    files["tiff"] = tiff_page(huge, {259: (8,)}, zeros[:9_000])
    files["tiff-tiles"] = tiff_page(
        huge, {259: (8,), 322: (60_000,), 323: (60_000,), 324: (HERE,), 325: (9,)}, zeros[:9]
    )
    files["avif"] = resized_heif(saved(noise("RGB"), "AVIF"), huge)
    files["avif-grid"] = heif_grid(saved(noise("RGB", (64, 64)), "AVIF"), huge)
    files["avif-sequence"] = resized_heif(ordinary()["avif-sequence"], huge)
    if heic.is_installed():
        files["heic"] = resized_heif(saved(noise("RGB"), "HEIC"), huge)
        files["heic-grid"] = heif_grid(saved(noise("RGB", (64, 64)), "HEIC"), huge)
    files["jp2"] = resized_jp2(saved(noise("RGB"), "JP2"), huge)
    files["jp2-codestream"] = resized_jp2(saved(noise("RGB"), "JP2", no_jp2=True), huge)
    for disposal in (2, 3):  # which Pillow lays out when it opens the file, just below its own limit
        control = bytes([0x21, 0xF9, 4, disposal << 2 | 1, 0, 0, 0, 0])
        files[f"gif-disposal-{disposal}"] = gif((9_400, 9_400), (0, 0, 9_400, 9_400), control)
    for bits, colour in ((1, 0), (8, 3), (8, 2), (16, 6)):
        body = chunk(b"PLTE", bytes(6)) + chunk(b"IDAT", zeros) + chunk(b"IEND")
        files[f"png-{colour}-{bits}"] = PNG + ihdr(huge, bits, colour) + body
    files["png-interlaced"] = PNG + ihdr(huge, interlaced=True) + chunk(b"IDAT", zeros) + chunk(b"IEND")
    return files


@cache
def swelling() -> dict[str, bytes]:
    """Return images of few pixels with other parts that take much memory or time."""
    packed = zlib.compress(bytes(16_000_000), 9)
    files = {
        f"{kind}-overlapping-exif": with_exif(kind, overlapping(5_000, 300_000)) for kind in ("jpeg", "png", "webp")
    }
    files |= {f"{kind}-repeated-exif": with_exif(kind, b"Exif\0\0" * 1_700_000) for kind in ("png", "webp")}
    texts = {b"zTXt": b"k\0\0" + packed, b"iCCP": b"k\0\0" + packed, b"iTXt": b"k\0\1\0\0\0" + packed}
    files |= {f"png-{name.decode()}": png(8, 2, *[chunk(name, data)] * 60) for name, data in texts.items()}
    files["png-more-image"] = PNG + ihdr(SIZE) + chunk(b"IDAT", packed) * 60 + chunk(b"IEND")
    files["png-empty-chunks"] = png(8, 2, chunk(b"PLTE") * 100_000)
    files["png-long-palette"] = png(8, 3, chunk(b"PLTE", bytes(3_000_000)))
    files["gif-small-blocks"] = gif(SIZE, (0, 0, *SIZE), b"!\xfe" + b"\1a" * 500_000 + b"\0")
    files["gif-many-blocks"] = gif(SIZE, (0, 0, *SIZE), b"!\xf9\4\0\0\0\0\0" * 100_000)
    files["gif-many-frames"] = gif()[:-1] + gif()[37:-1] * 5_000 + b";"
    files["jpeg-long-comments"] = JPEG[:2] + segment(0xFE, bytes(65_000)) * 150 + JPEG[2:]
    files["jpeg-many-frames"] = JPEG[:2] + segment(0xC0, b"\x08\0\x09\0\x0d\x03" + bytes(65_000)) * 60 + JPEG[2:]
    files["jpeg-many-tables"] = JPEG[:2] + segment(0xDB, (b"\0" + b"\1" * 64) * 900) * 60 + JPEG[2:]
    files["jpeg-filled"] = JPEG[:-2] + b"\xff" * 8_000_000 + JPEG[-2:]
    files["webp-many-frames"] = extended_webp(SIZE, 2, (b"ANIM", bytes(6)), *[(b"ANMF", webp_frame())] * 50_000)
    files["tiff-many-tags"] = tiff(*[struct.pack("<HHLL", n, 1, 900_000, 9) for n in range(40_000, 44_000)], order="<")
    files["tiff-many-tags"] += bytes(900_000)
    kind, data, properties = heif_item(saved(Image.new("L", (3_000, 3_000)), "AVIF", speed=10))
    stated = properties | {b"ispe": struct.pack(">LLL", 0, *SIZE)}
    files["avif-larger-than-stated"] = heif(b"avif", [(kind, data, stated)])
    grid = (b"grid", struct.pack(">BBBBHH", 0, 0, 0, 0, *SIZE), stated)
    files["avif-tile-larger-than-its-grid"] = heif(b"avif", [grid, (kind, data, properties)], (b"dimg", 1, [2]))
    files["avif-many-frames"] = heif(b"avif", [(kind, data * 1_000, properties)])
    long = (kind, bytes(900_000), properties)
    files["avif-tiles-of-one-place"] = heif(b"avif", [grid, long], *[(b"dimg", 1, [2] * 4_000)] * 16)
    files["avif-many-boxes"] = box(b"free") * 1_000_000
    files["avif-many-boxes"] = box(b"ftyp", b"avif", bytes(4)) + files["avif-many-boxes"]
    files["avif-many-properties"] = heif(b"avif", [(kind, data, {b"%4d" % n: b"" for n in range(15)})] * 4_000)
    stream = saved(noise("L"), "JP2", no_jp2=True)
    large = resized_jp2(stream, (7_000, 7_000))
    files["jp2-larger-than-stated"] = with_codestream(saved(noise("L"), "JP2"), large)
    files["jp2-many-comments"] = stream[:4] + stream[4:45] + b"\xff\x64\0\2" * 1_000_000 + stream[45:]
    parts = stream[stream.index(b"\xff\x90") : -2]
    files["jp2-many-parts"] = stream[:-2] + parts * 90_000 + stream[-2:]
    files["bmp-header"] = b"BM" + bytes(12) + b"\xff\xff\xff\xff" + bytes(1_000_000)
    return files


MANY = (4_000, 4_000)
TAG = {"exif": b"Exif\0\0" + exif(6)}
ALLOWED: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved(Image.new("RGBA", MANY), "PNG", **TAG),
    "png-16": lambda: saved(Image.new("I;16", MANY), "PNG", **TAG),
    "png-palette": lambda: saved(Image.new("P", MANY), "PNG", transparency=b"\0\7", **TAG),
    "jpeg": lambda: resized_jpeg(saved(noise("RGB"), "JPEG", progressive=True, subsampling=0, **TAG), MANY),
    "jpeg-CMYK": lambda: resized_jpeg(saved(noise("CMYK"), "JPEG", progressive=True, **TAG), MANY),
    "webp": lambda: saved(Image.new("RGBA", MANY, 7), "WEBP", method=0, **TAG),
    "webp-lossless": lambda: saved(Image.new("RGBA", MANY, 7), "WEBP", method=0, lossless=True, quality=0, **TAG),
    "tiff": lambda: saved(Image.new("RGBA", MANY), "TIFF", compression="tiff_adobe_deflate", tiffinfo={274: 6}),
    "avif": lambda: saved(Image.new("RGBA", MANY, (7, 70, 7, 70)), "AVIF", speed=10, subsampling="4:4:4", **TAG),
    "gif": lambda: gif(MANY, (0, 0, *SIZE), b"!\xf9\4\x09\0\0\0\0"),
}
if heic.is_installed():
    ALLOWED["heic"] = lambda: heif_grid(saved(Image.new("RGB", (500, 500), 7), "HEIC"), MANY, 8, irot=b"\1")
"""Small files of many pixels within the limits; some have an orientation, which needs another copy."""


WATCH = """
import json, os, resource, signal, sys, warnings
from pathlib import Path
from encoders.catalogue import lookup
from encoders.image_formats.decode import decode_pixels, read_header
from rawless.content import IMAGE_FORMATS, ImageLimits
from rawless.privacy import Rejected
warnings.simplefilter("ignore")
policy = lookup("resnet18-seeded@1.0.0").preprocessing
def outcome(path):
    try:
        return str(decode_pixels(read_header(path.read_bytes(), ImageLimits(formats=IMAGE_FORMATS)), policy).size)
    except Rejected as rejected:
        return rejected.reason.value
def measured(path):
    signal.alarm(30)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    outcome(Path("probe"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = outcome(path)
    return found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
for path in sorted(Path("files").iterdir()):  # each in its own process
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, json.dumps([path.name, *measured(path)]).encode())
        os._exit(0)
    os.close(writer)
    print(os.read(reader, 9999).decode() or json.dumps([path.name, "stalled, or out of memory", 0]))
    os.close(reader)
    os.wait()
"""


in_one_process = pytest.mark.xdist_group("watched")
"""Of the test run, so that the files are made and decoded once."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """The outcome of each file in its own process, and the peak memory of that process in megabytes."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "files").mkdir()
    (folder / "probe").write_bytes(ordinary()["png-RGB-transparent"])
    for name, content in {
        **bombs(),
        **swelling(),
        **{f"allowed-{name}": make() for name, make in ALLOWED.items()},
    }.items():
        (folder / "files" / name).write_bytes(content)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){WATCH}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (outcome, cost) for name, outcome, cost in map(json.loads, done.stdout.splitlines())}


@in_one_process
@pytest.mark.parametrize("name", sorted(bombs()))
def test_a_bomb_is_refused_before_it_costs_anything(name: str, watched: dict[str, tuple[str, float]]) -> None:
    outcome, cost = watched[name]
    assert len(bombs()[name]) < 20_000
    assert outcome == Reason.TOO_MANY_PIXELS
    assert cost < 50


@in_one_process
@pytest.mark.parametrize("name", sorted(swelling()))
def test_what_swells_beside_the_pixels_is_left_out(name: str, watched: dict[str, tuple[str, float]]) -> None:
    outcome, cost = watched[name]
    assert outcome in (str(SIZE), Reason.UNDECODABLE_IMAGE)
    assert cost < 20 + 5 * len(swelling()[name]) / 1_000_000


@in_one_process
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_pixel_that_is_allowed_costs_sixteen_bytes_at_most(name: str, watched: dict[str, tuple[str, float]]) -> None:
    outcome, cost = watched[f"allowed-{name}"]
    assert outcome == str(MANY)
    assert cost < 10 + 16 * MANY[0] * MANY[1] / 2**20


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (763, 1), (1, 763)], ids=str)
def test_a_strip_that_would_grow_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoders.pixels.decode_pixels", lambda *_: pytest.fail("it was decoded"))
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP"):
        assert prepared(saved(noise("L", size), kind), PREPROCESSING, ImageLimits()) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_flipped_bit_breaks_nothing(name: str) -> None:
    content = ordinary()[name]
    choose = random.Random(name)
    positions = [choose.randrange(8 * len(content)) for _ in range(12)] + [choose.randrange(8 * 64) for _ in range(6)]
    for position in positions:
        changed = bytearray(content)
        changed[position // 8 % len(content)] ^= 1 << position % 8
        assert is_expected(prepared(bytes(changed))), position


EDITS = st.tuples(
    st.sampled_from(["set", "cut", "insert", "repeat", "swap"]),
    st.integers(0, 2**16),
    st.binary(min_size=1, max_size=8),
)


def edited(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """Return a file with the edits applied in order."""
    for how, at, data in edits:
        position, length = at % (len(content) + 1), 1 + data[0]
        edit_results = {
            "set": data,
            "cut": b"",
            "insert": data,
            "repeat": content[position : position + length] * 2,
            "swap": data[::-1],
        }
        until = {"set": len(data), "cut": length, "insert": 0, "repeat": length, "swap": 2 * len(data)}[how]
        content = content[:position] + edit_results[how] + content[position + until :]
    return content


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(ordinary())), edits=st.lists(EDITS, min_size=1, max_size=6))
def test_any_edited_file_has_an_expected_outcome(name: str, edits: list[tuple[str, int, bytes]]) -> None:
    content = edited(ordinary()[name], edits)
    assert is_expected(prepared(content))
    try:
        image = read_header(content, SMALL)
        checked_size = image.size
        image.load()
    except Exception:  # noqa: BLE001 - what it is called is asserted above
        return
    assert image.size == checked_size


def pixels_of_pillow(content: bytes) -> npt.NDArray[np.uint8] | None:
    """Return the pixels that Pillow decodes from the whole file, without an alpha channel; None when it fails."""
    try:
        with Image.open(BytesIO(content)) as image:
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):
                return np.repeat((np.asarray(turned) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            turned.info.pop("transparency", None)
            return np.asarray(turned.convert("RGB"))
    except Exception:  # noqa: BLE001 - each format raises its own types
        return None


SPOILED = st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=2), st.booleans()), max_size=3)
"""Bytes that replace those at a position; of a JPEG, where the last is true, a marker and bytes within the scan."""


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(ordinary())), spoiled=SPOILED, edits=st.lists(EDITS, max_size=1))
@example(name="jpeg-restarts", spoiled=[(300, b"\x9f\0", True)], edits=[])
def test_a_spoiled_file_has_the_pixels_of_pillow_or_is_rejected(
    name: str, spoiled: list[tuple[int, bytes, bool]], edits: list[tuple[str, int, bytes]]
) -> None:
    content = ordinary()[name]
    for at, data, is_marker in spoiled:
        first = content.find(b"\xff\xda") + 1 if is_marker else 0
        position, inserted = first + at % (len(content) - first), b"\xff" * is_marker + data
        content = content[:position] + inserted + content[position + len(inserted) :]
    assert_pixels_of_pillow_or_rejected(edited(content, edits))


DAMAGED = [name for name in sorted(ordinary()) if name.startswith(("tiff", "avif", "jp2", "heic")) and "x1" not in name]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_image_shows_nothing_of_what_was_in_memory(name: str) -> None:
    content, choose = ordinary()[name], random.Random(name)
    for _ in range(20):
        changed = bytearray(content)
        changed[choose.randrange(8, len(content))] ^= 1 << choose.randrange(8)
        found = []
        for before in (0, 255):
            pieces = [bytes([before]) * size for size in (512, 1_024, 2_048, 4_096, 65_536) for _ in range(4)]
            del pieces
            outcome = prepared(bytes(changed))
            found.append(outcome if isinstance(outcome, Reason) else outcome.tobytes())
        assert found[0] == found[1]


def assert_pixels_of_pillow_or_rejected(content: bytes) -> None:
    try:
        found = decode_pixels(read_header(content, SMALL), KEEPING_COLOURS)
    except Rejected:
        return
    expected = pixels_of_pillow(content)
    if expected is not None:  # Pillow also fails for faults in metadata, which are removed here
        assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("name", sorted(each.name for each in FOUND.iterdir()))
def test_files_that_fuzzing_found_have_an_expected_outcome(name: str) -> None:
    for alpha in ("white", "black", "drop"):
        preprocessing = TO_FEW_PIXELS.model_copy(update={"alpha": alpha})
        assert is_expected(prepared((FOUND / name).read_bytes(), preprocessing)), alpha
    assert_pixels_of_pillow_or_rejected((FOUND / name).read_bytes())


def test_outcomes_are_in_order_when_bad_images_are_among_good_ones(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = load(lookup("resnet18-seeded@1.0.0"), "cpu")
    caplog.set_level(logging.DEBUG)
    mark = MARK.encode()
    good = [JPEG, saved(noise("P"), "GIF"), png(8, 2, chunk(b"tEXt", b"k\0" + mark)), with_exif("jpeg", mark)]
    bad = {
        Reason.UNSUPPORTED_IMAGE_FORMAT: mark,
        Reason.UNDECODABLE_IMAGE: JPEG[:100] + mark,
        Reason.TOO_MANY_PIXELS: bombs()["png-2-8"] + mark,
    }
    contents = [each for pair in zip([*bad.values(), PNG + mark], good, strict=True) for each in pair]
    outcomes = encoder.encode([Raw(each) for each in contents])
    assert outcomes[::2] == [*bad, Reason.UNDECODABLE_IMAGE]
    for one, other in zip(outcomes[1::2], encoder.encode([Raw(each) for each in good]), strict=True):
        assert isinstance(one, Encoded)
        assert isinstance(other, Encoded)
        assert np.abs(one.vector - other.vector).max() < 1e-5
    written = capfd.readouterr()
    assert all(MARK not in each for each in (repr(outcomes), caplog.text, written.out, written.err))
