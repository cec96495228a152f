"""Find pictures that look like given ones, though they were stored again: smaller, grey, or in another format.

Two pictures are compared by a hash of their lowest frequencies (pHash: Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010), which is the same for a picture and for its thumbnail. Cropped pictures, and
pixels without the header of an image format, are not recognised.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import scipy.fft
from PIL import Image

from encoders.image_formats import heic
from encoders.image_formats.decode import read_header
from rawless.content import IMAGE_FORMATS, ImageLimits

Hash = npt.NDArray[np.bool_]
MAX_DISTANCE = 8
"""Bits of 63 by which the hashes of one picture may differ."""
LARGEST = 1 << 25
"""Bytes of an image that is decoded; of a larger one only its metadata and exact pixels are found."""
_USUAL = 1 << 19
_SIDE, _LOW = 32, 8
_SMALLEST_SIDE = 8
"""Pixels below which a picture shows nothing."""
_LIMITS = ImageLimits(
    formats=tuple(name for name in IMAGE_FORMATS if name != "heic" or heic.is_installed()), max_pixels=50_000_000
)
_IMAGE = (
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|\0\0\0.ftyp(?:avif|avis|heic|heix|mif1)|II\*\0|"
    rb"MM\0\*|\0\0\0\x0cjP  \r\n\x87\n|BM.{4}\0\0\0\0"
)
_BASE64_IMAGE = rb"/9j/[A-Za-z0-9+/\r\n\\n]{64}|iVBORw0KGg|R0lGOD[dl]h|UklGR[A-Za-z0-9+/]{9,11}V0VCU"
START = re.compile(rb"(?P<image>" + _IMAGE + rb")|" + _BASE64_IMAGE, re.DOTALL)
"""Where an image may start: as it is, or in base64."""
OVERLAP = 80
"""Bytes that a match of `START` has at most."""
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/\r\n\\]")


class Pictures:
    """The pictures that are looked for, in all eight orientations."""

    def __init__(self, pictures: Sequence[Image.Image]) -> None:
        hashes = [picture_hash(turned) for picture in pictures for turned in _orientations(picture)]
        self._hashes = np.array(hashes, bool).reshape(len(pictures), -1, _LOW * _LOW - 1)

    def __len__(self) -> int:
        return len(self._hashes)

    def like(self, content: bytes) -> set[int]:
        """Return the positions of the pictures that an image file looks like; empty if it cannot be decoded."""
        found = decoded(content)
        return set() if found is None else self.alike(found)

    def alike(self, found: Image.Image) -> set[int]:
        """Return the positions of the pictures that a picture looks like."""
        distances = (self._hashes != picture_hash(found)).sum(axis=2).min(axis=1)
        return {int(position) for position in np.flatnonzero(distances <= MAX_DISTANCE)}

    def within(self, file: BinaryIO, starts: Sequence[int]) -> Iterator[int]:
        """Yield the positions of the pictures that images look like which start at these places of a file."""
        for start in starts:
            for size in (_USUAL, LARGEST):  # most images are small, and most starts are none
                file.seek(start)
                data = file.read(size)
                match = START.match(data)
                found = decoded(data if match and match["image"] else _from_base64(data))
                if found is not None or len(data) < size:
                    break
            if found is not None:
                yield from self.alike(found)


def picture_hash(picture: Image.Image) -> Hash:
    """Return for each of the 63 lowest frequencies of a picture's brightness whether it is above their median."""
    grey = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    frequencies = scipy.fft.dctn(np.asarray(grey, np.float32), norm="ortho")[:_LOW, :_LOW].ravel()[1:]
    above: Hash = frequencies > np.median(frequencies)
    return above


def decoded(content: bytes) -> Image.Image | None:
    """Return the picture in an image file, small enough to compare it, or None if there is none."""
    try:
        picture = read_header(content, _LIMITS)
        if min(picture.size) < _SMALLEST_SIDE:
            return None
        picture.draft("L", (_SIDE * 2, _SIDE * 2))
        picture.load()
    except Exception:  # noqa: BLE001 - bytes that only look like an image raise whatever a decoder raises
        return None
    return picture


def _orientations(picture: Image.Image) -> Iterator[Image.Image]:
    yield picture
    for turn in Image.Transpose:
        yield picture.transpose(turn)


def _from_base64(data: bytes) -> bytes:
    """Return what a file contains from its start on in base64, in lines of any length."""
    end = _NOT_BASE64.search(data)
    text = data[: end.start() if end else len(data)].replace(b"\\n", b"").translate(None, b"\r\n\\")
    return binascii.a2b_base64(text[: len(text) // 4 * 4])
