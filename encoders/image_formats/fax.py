"""CCITT faxes, which a TIFF may contain: checking that the codes of each strip make all its rows.

Where codes are damaged or missing, libtiff reports no error and leaves rows of its output as they were in memory, which
may be rows of other images. Pillow has one buffer for the strips of an image, so each strip is decoded twice, after a
white and after a black one: rows that the codes do not make then differ.
"""

from functools import cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from encoders.image_formats import tiff
from encoders.image_formats.tiff import BITS, COMPRESSION, COUNTS, FILL_ORDER, HEIGHT, OFFSETS, OPTIONS, ROWS, WIDTH
from rawless.privacy import Reason, Rejected

_NAMES = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
"""Pillow's names of the compressions."""
_TWO_DIMENSIONS, _FROM_THE_LOWEST = 1, 2
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
Rows = npt.NDArray[np.uint8]


def check(content: bytes) -> None:
    """Raise Rejected unless the codes of a stripped TIFF, which is a fax, make all its rows."""
    page = tiff.Directory(content)
    if not _is_buffer_shared():
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    if _shows_memory(page, _strips(page)):
        raise Rejected(Reason.UNDECODABLE_IMAGE)


@cache
def _is_buffer_shared() -> bool:
    """Return whether rows without codes show the strip before, as long as Pillow has one buffer for all strips."""
    three, one = (tiff.Directory(_fax(Image.new("1", (8, rows)), 4)) for rows in (3, 1))
    return _shows_memory(three, _strips(one))


def _strips(page: tiff.Directory) -> list[bytes]:
    places = zip(page.numbers(OFFSETS), page.numbers(COUNTS), strict=True)
    return [page.content[start : start + length] for start, length in places]


def _shows_memory(page: tiff.Directory, strips: list[bytes]) -> bool:
    return not np.array_equal(_decoded(page, strips, 0), _decoded(page, strips, 1))


def _decoded(page: tiff.Directory, strips: list[bytes], colour: int) -> Rows:
    """Return the rows of the strips, each of which was decoded after a strip of one colour."""
    width, height = page.number(WIDTH, 0), page.number(HEIGHT, 0)
    rows, compression = min(page.number(ROWS, height), height), page.number(COMPRESSION, 0)
    (plain,) = _strips(
        tiff.Directory(_fax(Image.new("1", (width, rows), colour), compression, page.number(OPTIONS, 0)))
    )
    if page.number(FILL_ORDER, 1) == _FROM_THE_LOWEST:
        plain = plain.translate(_REVERSED)
    segments = [each for strip in strips for each in (plain, strip)]
    numbers = {tag: page.numbers(tag) for tag in (WIDTH, BITS, COMPRESSION, FILL_ORDER, OPTIONS) if tag in page}
    numbers |= {HEIGHT: (height + rows * len(strips),), ROWS: (rows,), tiff.PHOTOMETRIC: (1,)}
    numbers |= {OFFSETS: (0,) * len(segments), COUNTS: tuple(map(len, segments))}
    tags = {tag: tiff.Tag(tiff.LONG, len(each), page.packed("L", each)) for tag, each in numbers.items()}
    with Image.open(BytesIO(tiff.written(page, tags, OFFSETS, segments)), formats=("tiff",)) as image:
        every = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, -1)
    return np.concatenate([every[rows * number : rows * (number + 1)] for number in range(1, 2 * len(strips), 2)])


def _fax(image: Image.Image, compression: int, options: int = 0) -> bytes:
    """Return a TIFF of one strip."""
    file = BytesIO()
    tags = {ROWS: image.height} | ({OPTIONS: options & _TWO_DIMENSIONS} if compression == tiff.GROUP_3 else {})
    image.save(file, "TIFF", compression=_NAMES[compression], tiffinfo=tags, strip_size=1 << 30)
    return file.getvalue()
