"""Pictures are found though they were stored again, and other pictures are not taken for them."""

import base64
import json
import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from rawless.audit.canary.images import draw, encode
from rawless.audit.canary.markers import Markers
from rawless.audit.pictures import MAX_DISTANCE, Pictures
from rawless.audit.search import Search

OTHERS = 1000


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    markers = Markers(random.Random(5))
    return [draw(markers, "a picture") for _ in range(10)]


STORED: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG of quality 30": lambda picture: encode(picture, "jpeg", quality=30),
    "WebP": lambda picture: encode(picture, "webp", quality=50),
    "GIF, of 256 colours": lambda picture: encode(picture, "gif"),
    "grey": lambda picture: encode(picture.convert("L"), "png"),
    "a thumbnail": lambda picture: encode(picture.resize((32, 24)), "png"),
    "a grey thumbnail as JPEG": lambda picture: encode(picture.convert("L").resize((24, 18)), "jpeg", quality=40),
    "a square thumbnail": lambda picture: encode(picture.resize((28, 28)), "jpeg"),
    "enlarged": lambda picture: encode(picture.resize((640, 480)), "jpeg"),
    "mirrored": lambda picture: encode(ImageOps.mirror(picture), "jpeg"),
    "turned": lambda picture: encode(picture.transpose(Image.Transpose.ROTATE_90), "jpeg"),
    "darker": lambda picture: encode(picture.point(lambda value: value * 0.6), "jpeg"),
}


@pytest.mark.parametrize("how", STORED)
def test_a_picture_that_was_stored_again_is_found(how: str, pictures: list[Image.Image]) -> None:
    search = Search([], pictures)

    found = [search.in_bytes(STORED[how](picture), "file") for picture in pictures]

    assert [{trace.content for trace in traces} for traces in found] == [{position} for position in range(10)]


def _parquet(image: bytes) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "thumbnail": [b"none", image]}), file)
    return file.getvalue()


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "a log": lambda image: b"read " + image + b" from the queue",
    "base64 in JSON": lambda image: json.dumps({"data": "data:base64," + base64.b64encode(image).decode()}).encode(),
    "base64 in lines": lambda image: base64.encodebytes(image),
    "a Parquet column": _parquet,
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_thumbnail_is_found_wherever_it_lies(place: str, pictures: list[Image.Image]) -> None:
    thumbnail = encode(pictures[3].resize((40, 30)), "jpeg")

    assert {trace.content for trace in Search([b"another"], pictures).in_bytes(PLACES[place](thumbnail), "file")} == {4}


def test_thumbnails_in_a_table_are_found(pictures: list[Image.Image], tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as database:
        database.execute("CREATE TABLE products (picture BLOB)")
        for picture in pictures:
            database.execute("INSERT INTO products VALUES (?)", [encode(picture.resize((40, 30)), "jpeg")])

    traces = Search([], pictures).in_folder(tmp_path)

    assert {trace.content for trace in traces if trace.place.endswith("main.products.picture")} == set(range(10))


def test_a_thousand_other_pictures_are_not_taken_for_one(pictures: list[Image.Image]) -> None:
    chance = random.Random(3)
    others = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in load_digits().images[:400]]
    for photograph in map(Image.fromarray, load_sample_images().images):
        for _ in range(150):
            side = chance.randrange(80, 400)
            left, top = chance.randrange(photograph.width - side), chance.randrange(photograph.height - side)
            others.append(photograph.crop((left, top, left + side, top + side)))
    others += [draw(Markers(random.Random(seed)), "another") for seed in range(100, 400)]
    looked_for = Pictures(pictures)

    assert len(others) == OTHERS
    assert [position for position, other in enumerate(others) if looked_for.alike(other)] == []
    assert MAX_DISTANCE == 8


def test_bytes_that_only_begin_like_an_image_are_none(pictures: list[Image.Image]) -> None:
    whole = encode(pictures[0], "jpeg")
    search = Search([], pictures)

    assert search.in_bytes(whole[:300], "cut") | search.in_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 99, "none") == set()
    assert search.in_bytes(b"/9j/" + b"A" * 200, "base64") | search.in_bytes(b"BM" + bytes(99), "none") == set()
    assert search.unread == set()
