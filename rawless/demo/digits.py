"""The demo's images: scikit-learn's real handwritten digits as uploads, and unusual or hostile files."""

import csv
import random
import struct
import zlib
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from encoders.image_formats.png import chunk
from rawless.demo import customer, occurred_at
from rawless.errors import UserError

STREAM = {
    "stream": "digit_upload",
    "modality": "image",
    "encoders": ["resnet18-seeded@1.0.0"],
    "event_id": {"pattern": r"digit-\d{4}|extra-\d{3}"},
    "subject": "required",
    "attributes": {"device": {"enum": ["camera", "tablet"]}},
    "limits": {"max_bytes": 50_000},
}
DIGITS = 600
REPEATED = 20
CUSTOMERS = 100
_PRIVATE = "Rosalind Quibble, passport 4711-0815"
_SHARED = 40
"""Bytes at the start of a file that all files of its format share; finding them would prove no leak."""


def digits() -> tuple[list[Image.Image], list[int]]:
    """Return handwritten digits of 8 by 8 pixels, and their classes. Raises UserError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("The demo needs scikit-learn: install rawless with its extra `demo`.") from None
    loaded = load_digits()
    images = (loaded.images[:DIGITS] * 255 / 16).astype(np.uint8)
    return [Image.fromarray(image) for image in images], list(loaded.target[:DIGITS])


def write_uploads(folder: Path, images: list[Image.Image], now: datetime) -> list[bytes]:
    """Write the folder `uploads` and the file `metadata.csv`, some of whose rows are repeated.

    Returns every content that must not be found after the run: files, pixels, metadata, names and subject ids.
    """
    chance = random.Random(8)  # noqa: S311 - for repeatability
    uploads = folder / "uploads"
    uploads.mkdir()
    rows, contents = [], []
    for number, image in enumerate(images):
        content = _file(image, "PNG")
        (uploads / f"{number:04d}.png").write_bytes(content)
        rows.append(_row(f"{number:04d}.png", f"digit-{number:04d}", now, chance))
        contents += [content[_SHARED:], image.tobytes()]
    rows += chance.sample(rows, REPEATED)
    for number, (name, content) in enumerate(_extra(images[0]), start=1):
        (uploads / name).write_bytes(content)
        rows.append(_row(name, f"extra-{number:03d}", now, chance))
        contents.append(content[_SHARED:])
    (uploads / f"{_PRIVATE}.png").write_bytes(_file(images[1], "PNG"))  # no row names it
    (uploads / "link.png").symlink_to(folder / "digits.yaml")
    rows.append(_row("link.png", "extra-101", now, chance))
    rows.append(_row("deleted.png", "extra-102", now, chance))
    rows.append(_row("0001.png", "extra-103", now, chance) | {"device": _PRIVATE, "note": _PRIVATE})
    chance.shuffle(rows)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return [*contents, _PRIVATE.encode(), *(customer(number).encode() for number in range(CUSTOMERS))]


def _row(name: str, event_id: str, now: datetime, chance: random.Random) -> dict[str, str]:
    return {
        "file": name,
        "event_id": event_id,
        "occurred_at": occurred_at(now, chance),
        "subject_id": customer(chance.randrange(CUSTOMERS)),
        "device": chance.choice(["camera", "tablet"]),
        "note": "",
    }


def _extra(digit: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield unusual files that are valid, then files that must be rejected."""
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = _PRIVATE
    texts.add_text("Author", _PRIVATE, zip=True)
    whole = _file(digit.resize((64, 64)), "PNG")
    yield "photo.jpg", _file(digit.resize((64, 48)), "JPEG", exif=exif, quality=70)
    yield "texts.png", _file(digit, "PNG", pnginfo=texts)
    yield "moving.gif", _file(digit, "GIF", save_all=True, append_images=[digit.rotate(90)])
    yield "named.png", _file(digit, "WEBP", lossless=True)
    yield "bomb.png", _blank_png(13_000, 13_000)
    yield "strip.png", _blank_png(1, 9_999)
    yield "cut.png", whole[: len(whole) // 2]
    yield "letter.png", f"Dear Sir or Madam, I am {_PRIVATE}.".encode()
    yield "drawing.png", f"<svg><text>{_PRIVATE}</text></svg>".encode()
    yield "large.png", _file(Image.effect_noise((300, 300), 80), "PNG")
    yield "empty.png", b""


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _blank_png(width: int, height: int) -> bytes:
    """Return a PNG of few bytes that decodes to many pixels."""
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + width // 8)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
