"""An encoder turns items of a notebook into vectors, in memory, and nothing it says contains an item."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

import rawless as rw
from encoders.catalogue import lookup
from encoders.encoder import Encoder as LoadedEncoder
from encoders.spec import EncoderSpec
from rawless.api.encoder import Encoder, newest
from rawless.privacy import Raw

SECRET = "Rosalind Quibble, passport 4711"


@pytest.fixture
def texts(tiny_sealed: EncoderSpec) -> Encoder:
    """A tiny text encoder."""
    return Encoder(tiny_sealed, "cpu")


@pytest.fixture
def images() -> Encoder:
    """The seeded ResNet-18 of the catalogue."""
    return rw.encoder("resnet18-seeded", "cpu")


def _picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_text_has_one_vector_in_every_form(texts: Encoder, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("a café".encode())
    items = ["a café", "a café".encode(), bytearray("a café".encode()), tmp_path / "text.txt"]
    embeddings = texts.encode(items)

    assert embeddings.vectors.shape == (4, texts.dimension)
    assert embeddings.vectors.dtype == np.float32
    np.testing.assert_array_equal(embeddings.vectors, np.repeat(embeddings.vectors[:1], 4, axis=0))
    np.testing.assert_array_equal(np.asarray(embeddings), embeddings.vectors)
    assert (embeddings.encoder, embeddings.fingerprint) == (texts.spec.ref, texts.spec.fingerprint)


def test_a_series_and_a_generator_are_lists_of_items(texts: Encoder) -> None:
    expected = texts.encode(["one", "two"]).vectors

    np.testing.assert_array_equal(texts.encode(pd.Series(["one", "two"], index=[7, 3])).vectors, expected)
    np.testing.assert_array_equal(texts.encode(text for text in ("one", "two")).vectors, expected)


def test_vectors_are_those_of_the_pipeline(minilm: LoadedEncoder) -> None:
    (outcome,) = minilm.encode([Raw(b"a text")])

    np.testing.assert_allclose(rw.encoder("minilm", "cpu").encode(["a text"]).vectors[0], outcome.vector, atol=1e-5)


def test_what_cannot_be_encoded_is_counted_and_harms_no_other(texts: Encoder, tmp_path: Path) -> None:
    items = ["good", "", None, float("nan"), pd.NA, b"\xff\xfe", "\ud800", tmp_path / "missing", tmp_path, "good"]
    embeddings = texts.encode(items)

    assert embeddings.rejected == {
        1: "empty_text", 2: "empty_payload", 3: "empty_payload", 4: "empty_payload", 5: "invalid_utf8",
        6: "invalid_utf8", 7: "object_not_found", 8: "object_unreadable",
    }  # fmt: skip
    assert embeddings.is_encoded.tolist() == [True, *[False] * 8, True]
    assert np.isnan(embeddings.vectors[1:9]).all()
    np.testing.assert_array_equal(embeddings.vectors[0], embeddings.vectors[9])
    assert "8 rejected (empty_payload 3, empty_text 1, invalid_utf8 2" in repr(embeddings)


def test_no_items_are_no_rows(texts: Encoder) -> None:
    assert texts.encode([]).vectors.shape == (0, texts.dimension)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "LA"])
def test_an_image_of_pil_has_the_vector_of_its_file(images: Encoder, mode: str, tmp_path: Path) -> None:
    picture = _picture(mode)
    (tmp_path / "picture.png").write_bytes(_bytes(picture))
    with Image.open(tmp_path / "picture.png") as opened:
        embeddings = images.encode([picture, _bytes(picture), tmp_path / "picture.png", opened])

    assert embeddings.rejected == {}
    np.testing.assert_array_equal(embeddings.vectors, np.repeat(embeddings.vectors[:1], 4, axis=0))


def test_the_orientation_of_an_image_is_kept(images: Encoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = _bytes(_picture(), exif=exif)
    opened = Image.open(BytesIO(file))
    embeddings = images.encode([file, opened, ImageOps.exif_transpose(opened)])

    np.testing.assert_array_equal(embeddings.vectors[0], embeddings.vectors[1])
    np.testing.assert_array_equal(embeddings.vectors[0], embeddings.vectors[2])


def test_arrays_of_pixels_are_images(images: Encoder) -> None:
    pixels = np.asarray(_picture())
    embeddings = images.encode(np.stack([pixels, pixels]))

    np.testing.assert_array_equal(embeddings.vectors[0], images.encode([_picture()]).vectors[0])
    assert len(embeddings) == 2


def test_an_image_that_is_cut_or_of_an_unknown_kind_is_rejected(images: Encoder) -> None:
    cut = Image.open(BytesIO(_bytes(_picture())[:300]))
    embeddings = images.encode([cut, _picture("F"), b"<svg/>", np.zeros((0, 4), np.uint8)])

    assert list(embeddings.rejected) == [0, 1, 2, 3]
    assert embeddings.rejected[1] == "unsupported_image_format"


WRONG: dict[str, tuple[Any, str]] = {
    "a text alone": (SECRET, "encode takes a list of items, not a single str"),
    "a number": (3, "not a single int"),
    "a dict": ({"text": SECRET}, "not a single dict"),
    "numbers": ([SECRET, 3], "Item 1 is of type int, .* encodes texts"),
    "an image": ([Image.new("RGB", (8, 8))], "Item 0 is of type Image, .* encodes texts"),
    "a list": ([[SECRET]], "Item 0 is of type list"),
}


@pytest.mark.parametrize(("items", "message"), WRONG.values(), ids=WRONG)
def test_items_of_another_type_are_named_by_position(texts: Encoder, items: Any, message: str) -> None:
    with pytest.raises(rw.UserError, match=message) as caught:
        texts.encode(items)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_text_is_no_image(images: Encoder) -> None:
    with pytest.raises(
        rw.UserError, match=r"Item 0 is of type str, .* encodes images: give bytes, the pathlib.Path"
    ) as caught:
        images.encode([SECRET])
    assert SECRET not in str(caught.value)


def test_floats_are_no_pixels(images: Encoder) -> None:
    with pytest.raises(rw.UserError, match="float64 of 3 dimensions, but"):
        images.encode([np.zeros((4, 4, 3))])


def test_no_text_of_an_object_or_error_contains_content(
    texts: Encoder, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = texts.encode([SECRET, SECRET + "\ud800", SECRET.encode() + b"\xff"])
    printed = capfd.readouterr()

    assert SECRET not in repr(embeddings) + repr(texts) + texts._repr_html_() + caplog.text + printed.out + printed.err
    assert SECRET.encode() not in b"".join(repr(value).encode() for value in vars(embeddings).values())


def test_a_name_alone_means_the_newest_version() -> None:
    refs = ["minilm@1.9.0", "minilm@1.10.0", "minilm-large@2.0.0"]

    assert newest("minilm", refs) == "minilm@1.10.0"
    assert repr(rw.encoder("minilm")) == "Encoder minilm@1.0.0: texts to vectors of 384 numbers"
    assert rw.encoder("minilm@1.0.0").spec == lookup("minilm@1.0.0")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rw.encoder("mini"), "The encoder 'mini' is unknown (did you mean minilm@1.0.0?): use one of"),
        (lambda: rw.encoder(3), "name is of type int"),  # type: ignore[arg-type]
        (lambda: rw.encoder("minilm", "gpu"), "device is 'gpu', but the rule is: auto, cpu or cuda"),  # type: ignore[arg-type]
        (lambda: rw.encoder("minilm").encode(["a"], "passage"), "role is neither document nor query"),  # type: ignore[arg-type]
    ],
)
def test_what_is_unknown_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(rw.UserError, match=re.escape(message)):
        call()


def test_an_interrupted_call_leaves_an_encoder_that_works(texts: Encoder) -> None:
    expected = texts.encode(["one"]).vectors

    def interrupted() -> Any:
        yield "one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        texts.encode(interrupted())
    np.testing.assert_array_equal(texts.encode(["one"]).vectors, expected)
