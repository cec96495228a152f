"""Encoding in a notebook: nothing of an item is printed, logged, written or raised, whatever a library does with it."""

import logging
import os
import tempfile
import traceback
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import rawless as rw
from encoders.spec import EncoderSpec
from rawless.api import contents
from rawless.api.encoder import Encoder
from rawless.audit.search import Search

MARKER = "purple walrus 7719 tea"
TEXTS = [MARKER, MARKER + "\ud800", MARKER.encode() + b"\xff", MARKER + "\x00", "", bytearray(MARKER.encode())]


def _pictures() -> list[Any]:
    """Images with the marker as pixels and as metadata, whole and cut."""
    pixels = np.frombuffer((MARKER * 30).encode()[:600], np.uint8).reshape(20, 30)
    texts, file = PngImagePlugin.PngInfo(), BytesIO()
    texts.add_text("Author", MARKER)
    Image.fromarray(pixels).save(file, "PNG", pnginfo=texts)
    cut = file.getvalue()[:-40]
    return [pixels, Image.fromarray(pixels), file.getvalue(), cut, Image.open(BytesIO(cut)), MARKER.encode()]


@pytest.fixture
def search_after(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], object]], set[Any]]:
    """Return a function that calls another, and returns the traces of the marker in all that this leaves."""
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(tempfile, "tempdir", str(left))

    def called_and_searched(call: Callable[[], object]) -> set[Any]:
        output = []
        with caplog.at_level(logging.DEBUG):
            try:
                output.append(repr(call()))
            except rw.RawlessError as error:
                output += [repr(error), str(error), "".join(traceback.format_exception(error))]
        output += [*capfd.readouterr(), caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        search = Search([MARKER.encode()])
        found = search.in_bytes("\n".join(output).encode(), "output") | search.in_folder(left)
        found |= search.in_folder(Path(os.environ["RAWLESS_HOME"]))
        assert search.unread == set()
        return found

    return called_and_searched


def test_nothing_of_texts_is_left(search_after: Callable[..., set[Any]], tiny_sealed: EncoderSpec) -> None:
    assert search_after(lambda: Encoder(tiny_sealed, "cpu").encode(TEXTS)) == set()


def test_nothing_of_images_is_left(search_after: Callable[..., set[Any]]) -> None:
    assert search_after(lambda: rw.encoder("resnet18-seeded", "cpu").encode(_pictures())) == set()


@pytest.mark.parametrize("items", [MARKER, [MARKER, [MARKER]], [MARKER, {MARKER: MARKER}]])
def test_nothing_of_items_of_another_type_is_left(
    search_after: Callable[..., set[Any]], tiny_sealed: EncoderSpec, items: Any
) -> None:
    assert search_after(lambda: Encoder(tiny_sealed, "cpu").encode(items)) == set()


def test_nothing_of_items_that_are_no_list_is_left(
    search_after: Callable[..., set[Any]], tiny_sealed: EncoderSpec
) -> None:
    assert search_after(lambda: Encoder(tiny_sealed, "cpu").encode(["a"], MARKER)) == set()  # type: ignore[arg-type]


def test_a_conversion_that_fails_and_talks_leaves_nothing(
    search_after: Callable[..., set[Any]],
    talkative: Callable[[str], Callable[..., NoReturn]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contents, "_png", talkative(MARKER))
    encoder = rw.encoder("resnet18-seeded", "cpu")

    assert search_after(lambda: encoder.encode(_pictures())) == set()
    assert encoder.encode([Image.new("RGB", (8, 8))]).rejected == {0: "undecodable_image"}


def test_the_search_finds_what_a_call_prints(search_after: Callable[..., set[Any]]) -> None:
    assert search_after(lambda: print(MARKER)) != set()
