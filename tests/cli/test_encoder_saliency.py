"""`rawless encoder saliency`: shares by place, a picture without the image, and errors without content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Rawless = Callable[..., Any]
MARK = "parcel4711"


def test_the_places_of_words_are_printed_and_no_word(rawless: Rawless, tiny_file: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(f"where is my {MARK}")

    shown = rawless("encoder", "saliency", tiny_file, "--file", text)
    found = rawless("encoder", "saliency", tiny_file, "--file", text, "--method", "gradient", "--json")

    assert "4 of 4 words, by their characters in the text" in shown.out
    assert [(word["start"], word["end"]) for word in found.json["words"]] == [(0, 5), (6, 8), (9, 11), (12, 22)]
    assert MARK not in shown.out + shown.err + found.out + found.err


def test_the_map_of_an_image_is_written(rawless: Rawless, tmp_path: Path) -> None:
    image, out = tmp_path / "image.png", tmp_path / "map.png"
    Image.new("RGB", (60, 40), "red").save(image)

    shown = rawless(
        "encoder", "saliency", "resnet18-seeded@1.0.0", "--file", image, "--out", out, "--method", "gradient"
    )

    assert shown.out.startswith(f"The map is in {out}: lay it over the image.")
    with Image.open(out) as drawn:
        assert drawn.size == (60, 40)


@pytest.mark.parametrize(
    ("encoder", "file", "options", "message"),
    [
        ("tiny", "text.txt", ["--out", "map.png"], "--out is for encoders of images, but tiny@1.0.0 takes text"),
        ("resnet18-seeded@1.0.0", "text.txt", [], "resnet18-seeded@1.0.0 takes images: name the picture"),
        ("tiny", "none.txt", [], "none.txt cannot be read (FileNotFoundError)"),
        ("tiny", "large.txt", [], "large.txt has more than 1,000,000 bytes"),
        ("tiny", "empty.txt", [], "tiny@1.0.0 rejects the content (empty_text)"),
    ],
)
def test_mistakes_are_named(
    rawless: Rawless, tiny_file: Path, tmp_path: Path, encoder: str, file: str, options: list[str], message: str
) -> None:
    (tmp_path / "text.txt").write_text(MARK)
    (tmp_path / "empty.txt").write_text(" ")
    (tmp_path / "large.txt").write_text("a " * 500_001)

    outcome = rawless(
        "encoder", "saliency", tiny_file if encoder == "tiny" else encoder, "--file", tmp_path / file, *options
    )

    assert outcome.code == 2
    assert message in outcome.err
    assert MARK not in outcome.err
