"""Image files for tests: every allowed format, mode and orientation, and the parts of hostile files."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from encoders.image_formats import heic

SIZE = (13, 9)
"""Odd, unequal and small: rows need padding, blocks are partial, and a rotated image has another shape."""
PNG = b"\x89PNG\r\n\x1a\n"
MAGIC_BYTES = {"jpeg": 3, "png": 8, "webp": 12, "gif": 6, "bmp": 2, "tiff": 4, "avif": 12, "jp2": 12, "heic": 12}


ESSENTIAL = {b"av1C", b"hvcC", b"irot", b"imir", b"clap"}
"""Properties of the images in a HEIF that a reader must know."""
PLUGINS = {"JP2": "JPEG2000", "HEIC": "HEIF"}
"""Pillow's names of formats, where they are others."""
HERE = -1
if heic.is_installed():
    heic.register()


def noise(mode: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an image of random pixels, the same each time."""
    choose = np.random.default_rng(20261101)
    image = Image.fromarray(choose.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8), "RGBA")
    if mode == "P":
        return image.convert("RGB").quantize(16)
    if mode == "I;16":
        return Image.fromarray(choose.integers(0, 65536, (size[1], size[0]), dtype=np.uint16))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the image as a file."""
    file = BytesIO()
    image.save(file, PLUGINS.get(kind, kind), **options)
    return file.getvalue()


def exif(orientation: int, order: str = ">", kind: int = 3) -> bytes:
    """Return EXIF with an orientation (a SHORT, or a LONG where kind is 4), without the prefix that JPEG needs."""
    value = struct.pack(order + ("HH" if kind == 3 else "L"), *((orientation, 0) if kind == 3 else (orientation,)))
    return tiff(struct.pack(order + "HHL", 0x0112, kind, 1) + value, order=order)


def tiff(*entries: bytes, order: str = ">", count: int | None = None, start: int = 8, tail: bytes = bytes(4)) -> bytes:
    """Return a TIFF directory of entries of 12 bytes; its count and start may be wrong."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "L", start)
    return head + struct.pack(order + "H", len(entries) if count is None else count) + b"".join(entries) + tail


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def ihdr(size: tuple[int, int], bits: int = 8, colour: int = 2, interlaced: bool = False) -> bytes:
    """Return the header of a PNG."""
    return chunk(b"IHDR", struct.pack(">LLBBBBB", *size, bits, colour, 0, 0, interlaced))


def png(bits: int, colour: int, *before: bytes, after: bytes = b"", size: tuple[int, int] = SIZE) -> bytes:
    """Return a PNG of random samples in rows without filters."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    data = zlib.compress(_rows(size, bits * samples))
    return PNG + ihdr(size, bits, colour) + b"".join(before) + chunk(b"IDAT", data) + after + chunk(b"IEND")


def _rows(size: tuple[int, int], bits: int) -> bytes:
    choose = np.random.default_rng(7)
    return b"".join(b"\0" + choose.bytes((size[0] * bits + 7) // 8) for _ in range(size[1] if size[0] else 0))


def interlaced_png(bits: int, colour: int, *before: bytes, size: tuple[int, int] = SIZE) -> bytes:
    """Return a PNG in the seven passes of Adam7."""
    samples, passes = {0: 1, 2: 3, 3: 1, 6: 4}[colour], b""
    for x, y, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)):
        part = (-(-(size[0] - x) // across), -(-(size[1] - y) // down))
        passes += _rows(part, bits * samples) if min(part) > 0 else b""
    passes += _rows((size[0], size[1] // 2), bits * samples)
    head = ihdr(size, bits, colour, interlaced=True) + b"".join(before)
    return PNG + head + chunk(b"IDAT", zlib.compress(passes)) + chunk(b"IEND")


def segment(marker: int, data: bytes = b"") -> bytes:
    """Return a segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def segments(jpeg: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the segments of a JPEG: marker, data, and the bits of the scan that follows."""
    position = 2
    while (marker := jpeg[position + 1]) != 0xD9:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        data, position = jpeg[position + 4 : end], end
        while marker == 0xDA and not (jpeg[end] == 0xFF and jpeg[end + 1] not in (0, *range(0xD0, 0xD8))):
            end += 1
        yield marker, data, jpeg[position:end]
        position = end


def jpeg_of(parts: list[tuple[int, bytes, bytes]]) -> bytes:
    """Return a JPEG of segments as `segments` yields them."""
    return b"\xff\xd8" + b"".join(segment(marker, data) + bits for marker, data, bits in parts) + b"\xff\xd9"


def resized_jpeg(jpeg: bytes, size: tuple[int, int]) -> bytes:
    """Return a JPEG whose header has another size."""
    stated = struct.pack(">HH", size[1], size[0])
    frames = (0xC0, 0xC1, 0xC2, 0xCA)
    return jpeg_of([(m, d[:1] + stated + d[5:] if m in frames else d, bits) for m, d, bits in segments(jpeg)])


def arithmetic_jpeg() -> bytes:
    """Return a progressive JPEG with arithmetic coding, whose bits are valid and arbitrary."""
    parts = [each for each in segments(saved(noise("RGB"), "JPEG", progressive=True)) if each[0] != 0xC4]
    bits = b"\x12\x34\x56" * 20
    return jpeg_of([(0xCA if m == 0xC2 else m, data, bits if m == 0xDA else b"") for m, data, _ in parts])


def ycck_jpeg() -> bytes:
    """Return a CMYK JPEG that is marked as YCCK."""
    adobe = b"Adobe\0\x64\0\0\0\0"
    parts = list(segments(saved(noise("CMYK"), "JPEG")))
    return jpeg_of([(m, adobe + b"\2" if m == 0xEE else data, bits) for m, data, bits in parts])


def gif(
    screen: tuple[int, int] = SIZE,
    frame: tuple[int, int, int, int] = (0, 0, *SIZE),
    *before: bytes,
    after: bytes = b"",
    local: bool = False,
    colours: int = 8,
) -> bytes:
    """Return a GIF of one frame (left, top, width, height) whose codes are not compressed."""
    bits = colours.bit_length() - 1
    table = bytes((37 * n) & 0xFF for n in range(3 * colours))
    count = frame[2] * frame[3]
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0 if local else 0x7F + bits, 0, 0) + (b"" if local else table)
    image = b"," + struct.pack("<HHHHB", *frame, 0x7F + bits if local else 0) + (table if local else b"")
    codes = [each % colours for each in range(count)] if count < 10_000 else [0]
    return head + b"".join(before) + image + bytes([bits]) + _blocks(_codes(codes, bits)) + after + b";"


def _codes(codes: list[int], bits: int) -> bytes:
    """Return LZW with a clear code before every second code, so that the code width never grows."""
    clear, total, width = 1 << bits, 0, 0
    for number, code in enumerate([*codes, clear + 1]):
        for each in (clear, code) if number % 2 == 0 else (code,):
            total |= each << width
            width += bits + 1
    return total.to_bytes((width + 7) // 8, "little")


def _blocks(data: bytes, size: int = 255) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(bytes([len(each)]) + each for each in parts) + b"\0"


def bmp(size: tuple[int, int], bits: int, data: bytes, compression: int = 0, masks: bytes = b"") -> bytes:
    """Return a BMP with a header of 40 bytes, and a palette for 8 bits and fewer."""
    palette = b"".join(bytes((n, 255 - n, n // 2, 0)) for n in range(1 << bits)) if bits <= 8 else masks
    start = 54 + len(palette)
    head = struct.pack(
        "<LLLLllHHLLllLL", start + len(data), 0, start, 40, *size, 1, bits, compression, len(data), *[0] * 4
    )
    return b"BM" + head + palette + data


def raw_bmp(bits: int, size: tuple[int, int] = SIZE, compression: int = 0, masks: bytes = b"") -> bytes:
    """Return a BMP of random samples."""
    stride = (size[0] * bits + 31) // 32 * 4
    return bmp(size, bits, np.random.default_rng(7).bytes(stride * abs(size[1])), compression, masks)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WEBP of chunks."""
    body = b"WEBP" + b"".join(webp_chunk(*each) for each in chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def webp_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a WEBP."""
    return name + struct.pack("<L", len(data)) + data + b"\0" * (len(data) & 1)


def extended_webp(canvas: tuple[int, int], flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WEBP with an extended header: 2 animated, 4 XMP, 8 EXIF, 16 alpha, 32 profile."""
    sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    return riff((b"VP8X", bytes([flags, 0, 0, 0]) + sides), *chunks)


def webp_frame(size: tuple[int, int] = (1, 1), **options: Any) -> bytes:
    """Return a frame of an animated WEBP, in the upper left corner of the canvas."""
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    return bytes(6) + sides + bytes(4) + saved(noise("RGB", size), "WEBP", lossless=True, **options)[12:]


def animated_webp(canvas: tuple[int, int]) -> bytes:
    """Return a WEBP with a canvas of this size and a frame of one pixel."""
    return extended_webp(canvas, 2, (b"ANIM", bytes(6)), (b"ANMF", webp_frame()))


def resized_webp(webp: bytes, size: tuple[int, int]) -> bytes:
    """Return a WEBP of one chunk whose header has another size."""
    if webp[12:16] == b"VP8L":
        return webp[:21] + (size[0] - 1 | size[1] - 1 << 14 | 1 << 28).to_bytes(4, "little") + webp[25:]
    return webp[:26] + struct.pack("<HH", *size) + webp[30:]


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "RGB", "CMYK"):
        yield mode, saved(noise(mode), "JPEG")
        yield f"{mode}-progressive", saved(noise(mode), "JPEG", progressive=True)
    yield "444", saved(noise("RGB"), "JPEG", subsampling=0)
    yield "stored-as-RGB", saved(noise("RGB"), "JPEG", keep_rgb=True)
    yield "restarts", saved(noise("RGB", (40, 30)), "JPEG", restart_marker_blocks=1)
    yield "YCCK", ycck_jpeg()
    yield "arithmetic", arithmetic_jpeg()
    yield "several-images", saved(noise("RGB"), "MPO", save_all=True, append_images=[noise("RGB", (5, 5))])


def _pngs() -> Iterator[tuple[str, bytes]]:
    palette = chunk(b"PLTE", bytes(range(48)))
    for bits, colour in ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)):
        yield f"colour-{colour}-{bits}", png(bits, colour)
    for bits in (1, 2, 4):
        yield f"palette-{bits}", png(bits, 3, palette)
        yield f"palette-{bits}-transparent", png(bits, 3, palette, chunk(b"tRNS", b"\x80\x10"))
    yield "palette-8", saved(noise("P"), "PNG", bits=8)
    yield "palette-one-transparent", png(4, 3, palette, chunk(b"tRNS", b"\xff\xff\0"))
    yield "grey-transparent", png(8, 0, chunk(b"tRNS", b"\0\x25"))
    yield "bit-transparent", png(1, 0, chunk(b"tRNS", b"\0\1"))
    yield "grey-16-transparent", png(16, 0, chunk(b"tRNS", b"\1\x25"))
    yield "RGB-transparent", png(8, 2, chunk(b"tRNS", bytes(6)))
    yield "interlaced", interlaced_png(8, 2)
    yield "interlaced-palette", interlaced_png(4, 3, palette)
    yield "interlaced-RGBA", interlaced_png(16, 6)
    yield "animated", saved(noise("RGB"), "PNG", save_all=True, append_images=[noise("RGB").rotate(180)])
    whole = saved(noise("RGBA"), "PNG")
    at = whole.index(b"IDAT") - 4
    data = whole[at + 8 : -16]
    parts = [chunk(b"IDAT", data[start : start + 50]) for start in range(0, len(data), 50)]
    yield "many-parts", whole[:at] + chunk(b"IDAT").join(parts) + chunk(b"IDAT") + chunk(b"IEND")


def _gifs() -> Iterator[tuple[str, bytes]]:
    clear = b"!\xf9\x04\x01\0\0\x02\0"
    frames = [noise("P").rotate(180), noise("P").rotate(90)]
    yield "palette", saved(noise("P"), "GIF")
    yield "grey", saved(noise("L"), "GIF")
    yield "interlaced", saved(noise("P", (40, 30)), "GIF", interlace=True)
    yield "transparent", gif(SIZE, (0, 0, *SIZE), clear)
    yield "local-colours", gif(local=True)
    yield "animated", saved(noise("P"), "GIF", save_all=True, append_images=frames, disposal=2)
    yield "first-frame-smaller", gif(SIZE, (2, 3, 5, 4), clear)
    yield "first-frame-larger", gif((5, 5), (0, 0, *SIZE))
    yield "of-1987", b"GIF87a" + gif()[6:]


def _bmps() -> Iterator[tuple[str, bytes]]:
    for bits in (1, 4, 8, 16, 24, 32):
        yield f"bits-{bits}", raw_bmp(bits)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield mode, saved(noise(mode), "BMP")
    yield "from-the-top", raw_bmp(24, (SIZE[0], -SIZE[1]))
    yield "565", raw_bmp(16, SIZE, 3, struct.pack("<LLL", 0xF800, 0x7E0, 0x1F))
    masks = struct.pack("<LLLL", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield "alpha", raw_bmp(32, SIZE, 3, masks).replace(b"\x28\0\0\0", b"\x38\0\0\0", 1)  # a header of 56 bytes
    rows = np.random.default_rng(7).bytes(40 * SIZE[1])
    yield "OS-2", b"BM" + struct.pack("<LLLLHHHH", 26 + len(rows), 0, 26, 12, *SIZE, 1, 24) + rows


def _webps() -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "RGB", "RGBA"):
        yield f"{mode}-lossy", saved(noise(mode), "WEBP")
        yield f"{mode}-lossless", saved(noise(mode), "WEBP", lossless=True, exact=True)
    frames = [noise("RGBA").rotate(180), noise("RGB").rotate(90)]
    yield "animated", saved(noise("RGBA"), "WEBP", save_all=True, append_images=frames, duration=50)
    yield "first-frame-smaller", animated_webp(SIZE)


def tiff_page(size: tuple[int, int], tags: dict[int, tuple[int, ...]], data: bytes, order: str = "<") -> bytes:
    """Return a TIFF of one page with one strip or tile, RGB of 8 bits a channel unless the tags say otherwise.

    A value of HERE is the offset of the data.
    """
    page = {256: size[:1], 257: size[1:], 258: (8, 8, 8), 259: (1,), 262: (2,), 277: (3,), 278: size[1:]}
    page |= {273: (HERE,), 279: (len(data),)} | tags
    page = {tag: numbers for tag, numbers in page.items() if 322 not in tags or tag not in (273, 278, 279)}
    end, values, entries = 8 + 2 + 12 * len(page) + 4, b"", []
    values_size = sum(4 * len(each) for each in page.values() if len(each) > 1)
    for tag, numbers in sorted(page.items()):
        packed = struct.pack(f"{order}{len(numbers)}L", *((end + values_size,) if numbers == (HERE,) else numbers))
        value = packed if len(packed) == 4 else struct.pack(order + "L", end + len(values))
        values += packed if len(packed) > 4 else b""
        entries.append(struct.pack(order + "HHL", tag, 4, len(numbers)) + value)
    return tiff(*entries, order=order, tail=bytes(4) + values + data)


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        yield mode, saved(noise(mode), "TIFF")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"RGB-{compression}", saved(noise("RGB", (20, 30)), "TIFF", compression=compression)
    yield "strips", saved(noise("RGB", (20, 30)), "TIFF", compression="tiff_lzw", strip_size=200)
    yield "predictor", saved(noise("RGB"), "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "big", saved(noise("RGB"), "TIFF", big_tiff=True)
    choose = np.random.default_rng(7).bytes
    yield "16-bits-of-Motorola", tiff_page(SIZE, {258: (16, 16, 16)}, choose(6 * SIZE[0] * SIZE[1]), ">")
    for compression in ("tiff_ccitt", "group3", "group4"):
        yield compression, saved(noise("1", (40, 30)), "TIFF", compression=compression, strip_size=60)
    two, bits = {292: 5}, {266: 2}
    yield (
        "group3-two-dimensions",
        saved(noise("1", (40, 30)), "TIFF", compression="group3", tiffinfo=two, strip_size=60),
    )
    yield (
        "group4-from-the-lowest",
        saved(noise("1", (40, 30)), "TIFF", compression="group4", tiffinfo=bits, strip_size=60),
    )
    tiles = {322: (16,), 323: (16,), 324: (HERE,), 325: (3 * 256,)}
    yield "tile", tiff_page(SIZE, tiles, choose(3 * 256))


def _avifs() -> Iterator[tuple[str, bytes]]:
    """Yield AVIFs; the grid and the sequence are as others write them, which Pillow does not."""
    for mode in ("L", "RGB", "RGBA"):
        yield mode, saved(noise(mode), "AVIF")
    for sampling in ("4:2:2", "4:4:4", "4:0:0"):
        yield sampling, saved(noise("RGB"), "AVIF", subsampling=sampling, quality=100)
    yield "limited", saved(noise("RGB"), "AVIF", range="limited")
    yield "premultiplied", saved(noise("RGBA"), "AVIF", alpha_premultiplied=True)
    yield "grid", heif_grid(saved(noise("RGB", (64, 64)), "AVIF"), (100, 120))
    yield "grid-within", heif_grid(saved(noise("RGB", (64, 64)), "AVIF"), (128, 66), ids=4, within=True)
    yield "sequence", saved(noise("RGB"), "AVIF", save_all=True, append_images=[noise("RGB").rotate(180)])


def _heics() -> Iterator[tuple[str, bytes]]:
    """Yield HEICs; the encoder pads small images, and the container states how they are cropped."""
    for mode in ("L", "RGB", "RGBA"):
        yield mode, saved(noise(mode), "HEIC")
    yield "444", saved(noise("RGB"), "HEIC", chroma=444)
    yield "10-bits", saved(noise("I;16"), "HEIC")
    yield "grid", heif_grid(saved(noise("RGB", (64, 64)), "HEIC"), (100, 120))
    for turn in (1, 6):
        yield f"turned-{turn}", saved(noise("RGB"), "HEIC", exif=b"Exif\0\0" + exif(turn))
    yield "several-images", saved(noise("RGB"), "HEIC", save_all=True, append_images=[noise("RGB").rotate(180)])


def _jp2s() -> Iterator[tuple[str, bytes]]:
    """Yield JPEG 2000 files; they state no orientation."""
    for mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        yield mode, saved(noise(mode), "JP2")
    yield "codestream", saved(noise("RGB"), "JP2", no_jp2=True)
    yield "tiles", saved(noise("RGB", (40, 30)), "JP2", tile_size=(16, 16))
    yield "layers", saved(noise("RGB"), "JP2", quality_layers=[40, 20, 5], irreversible=True, progression="RPCL")
    yield "precincts", saved(noise("RGB", (40, 30)), "JP2", precinct_size=(32, 32), codeblock_size=(16, 16))
    yield "offset", saved(noise("RGB", (40, 30)), "JP2", tile_size=(32, 32), offset=(5, 7), tile_offset=(3, 2))
    yield "lengths", saved(noise("RGB"), "JP2", plt=True, comment="a comment")
    yield "colour-transform", saved(noise("RGB"), "JP2", mct=1)
    yield "palette", with_palette(saved(noise("L"), "JP2"))


def with_codestream(content: bytes, stream: bytes) -> bytes:
    """Return a JP2 with another codestream."""
    return content[: content.index(b"jp2c") - 4] + box(b"jp2c", stream)


def resized_jp2(content: bytes, size: tuple[int, int]) -> bytes:
    """Return a JPEG 2000 file that states another size, as one tile."""
    at = content.index(b"\xff\x51") + 6
    sides = struct.pack(">LL", *size)
    changed = content[:at] + sides + bytes(8) + sides + content[at + 24 :]
    return changed.replace(
        box(b"ihdr", struct.pack(">LL", *SIZE[::-1]))[4:16], b"ihdr" + struct.pack(">LL", *size[::-1])
    )


def with_palette(content: bytes) -> bytes:
    """Return a JP2 of one component with a palette of its 256 values."""
    palette = struct.pack(">HB3B", 256, 3, 7, 7, 7) + bytes(value for n in range(256) for value in (n, 255 - n, n // 2))
    mapped = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
    header = boxes(content, 12)[b"jp2h"]
    colour = box(b"colr", struct.pack(">BBBL", 1, 0, 0, 16))
    whole = box(b"ihdr", boxes(header)[b"ihdr"]) + colour + box(b"pclr", palette) + box(b"cmap", mapped)
    return content.replace(box(b"jp2h", header), box(b"jp2h", whole))


def box(name: bytes, *parts: bytes, full: bool = False) -> bytes:
    """Return a box of a HEIF or JP2, with a version and flags of zero where it is a full one."""
    content = bytes(4 * full) + b"".join(parts)
    return struct.pack(">L4s", 8 + len(content), name) + content


def boxes(content: bytes, start: int = 0) -> dict[bytes, bytes]:
    """Return what is in each box, by its name."""
    found: dict[bytes, bytes] = {}
    while start < len(content):
        end = start + int.from_bytes(content[start : start + 4], "big")
        found.setdefault(content[start + 4 : start + 8], content[start + 8 : end])
        start = end
    return found


def heif(
    kind: bytes,
    items: list[tuple[bytes, bytes, dict[bytes, bytes]]],
    *references: tuple[bytes, int, list[int]],
    after: bytes = b"",
    ids: int = 2,
    within: bool = False,
) -> bytes:
    """Return a HEIF of items (kind, data, properties), numbered from 1, that refer to each other.

    Numbers of items have two or four bytes; the data is in the box of the description where `within` is true.
    """
    number, version, wide = "H" if ids == 2 else "L", int(ids > 2), struct.pack(">L", int(ids > 2) << 24)
    properties = [each for item in items for each in item[2].items()]
    position, associations = 0, b""
    for item, (_, _, own) in enumerate(items, start=1):
        numbers = [n | (name in ESSENTIAL) << 15 for n, name in enumerate(own, start=position + 1)]
        associations += struct.pack(f">{number}B{len(own)}H", item, len(own), *numbers)
        position += len(own)
    entries = [
        box(b"infe", bytes([2 + version, 0, 0, 0]), struct.pack(f">{number}H4sx", item, 0, name))
        for item, (name, _, _) in enumerate(items, start=1)
    ]
    data = b"".join(each for _, each, _ in items)
    parts = [
        box(b"hdlr", bytes(8), b"pict", bytes(13)),
        box(b"pitm", wide, struct.pack(f">{number}", 1)),
        box(b"iinf", wide, struct.pack(f">{number}", len(items)), *entries),
        box(
            b"iref",
            wide,
            *(box(n, struct.pack(f">{number}H{len(t)}{number}", s, len(t), *t)) for n, s, t in references),
        ),
        box(
            b"iprp",
            box(b"ipco", *(box(*each) for each in properties)),
            box(b"ipma", bytes([version, 0, 0, 1]), struct.pack(">L", len(items)), associations),
        ),
        box(b"idat", data) if within else b"",
    ]
    head = box(b"ftyp", kind, bytes(4), kind, b"mif1miaf", after)
    start = 0 if within else len(head) + 12 + sum(map(len, parts)) + 14 + ids + (14 + ids) * len(items) + 8
    places = b""
    for item, (_, each, _) in enumerate(items, start=1):
        places += struct.pack(f">{number}HHHLL", item, int(within), 0, 1, start, len(each))
        start += len(each)
    head_of_places = bytes([2 if ids > 2 else 1, 0, 0, 0, 0x44, 0]) + struct.pack(f">{number}", len(items))
    description = box(b"meta", *parts, box(b"iloc", head_of_places, places), full=True)
    return head + description + (b"" if within else box(b"mdat", data))


def heif_item(content: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    """Return the primary image of a HEIF of one image."""
    meta = boxes(boxes(content)[b"meta"], 4)
    properties = boxes(boxes(meta[b"iprp"])[b"ipco"])
    return (b"av01" if b"av1C" in properties else b"hvc1"), boxes(content)[b"mdat"], properties


def resized_heif(content: bytes, size: tuple[int, int]) -> bytes:
    """Return a HEIF whose container states another size, as its compressed data does not."""
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">LL", *size) + content[at + 8 :]


def heif_grid(
    tile: bytes, size: tuple[int, int], side: int = 2, ids: int = 2, within: bool = False, **changes: bytes
) -> bytes:
    """Return a HEIF of as many rows as columns of tiles, which all look the same, perhaps cropped or turned."""
    kind, data, properties = heif_item(tile)
    stated = {b"ispe": struct.pack(">LLL", 0, *size)} | {name.encode(): value for name, value in changes.items()}
    grid = (b"grid", struct.pack(">BBBBHH", 0, 0, side - 1, side - 1, *size), stated)
    tiles = [(kind, data, properties)] * side**2
    brand = b"avif" if kind == b"av01" else b"heic"
    return heif(brand, [grid, *tiles], (b"dimg", 1, [*range(2, 2 + side**2)]), ids=ids, within=within)


@cache
def ordinary() -> dict[str, bytes]:
    """Return valid image files by name: every format, mode and orientation, and some sizes."""
    makers = {
        "jpeg": _jpegs,
        "png": _pngs,
        "gif": _gifs,
        "bmp": _bmps,
        "webp": _webps,
        "tiff": _tiffs,
        "avif": _avifs,
        "jp2": _jp2s,
    }
    if heic.is_installed():
        makers["heic"] = _heics
    files = {f"{kind}-{name}": content for kind, maker in makers.items() for name, content in maker()}
    for kind in makers:
        for size in ((1, 1), (1, 2), (3, 1), (17, 16), (130, 1), (1, 130))[:: 3 if kind == "heic" else 1]:
            files[f"{kind}-{size[0]}x{size[1]}"] = saved(noise("RGB", size), kind.upper())
    for turn in range(1, 9):
        for kind in ("jpeg", "png", "webp", "avif"):
            tag = exif(turn, "<>"[turn % 2])
            files[f"{kind}-turned-{turn}"] = saved(noise("RGB"), kind.upper(), exif=b"Exif\0\0" + tag)
    return files
