"""`rawless encoder import` writes a sealed spec that other commands take."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rawless.lifecycle import library_vectors
from tests.cli.conftest import Outcome

Rawless = Callable[..., Outcome]


@pytest.fixture
def arguments(tiny_folder: Path, tmp_path: Path) -> list[str | Path]:
    """The arguments that import the tiny encoder and compare it with its library."""
    (tmp_path / "texts.txt").write_text("where is zanzibar\ncat dog\n\n")
    out, texts = tmp_path / "mine.yaml", tmp_path / "texts.txt"
    return ["encoder", "import", tiny_folder, "--as", "mine@1.0.0", "--out", out, "--compare", texts]


def test_an_imported_model_is_an_encoder_for_every_command(
    rawless: Rawless, arguments: list[str | Path], tmp_path: Path
) -> None:
    done = rawless(*arguments)

    assert done.code == 0, done.err
    for words in ("What was decided about", "default", "mine@1.0.0 is sealed in",
                  "2 items compared with the model's library: smallest cosine 1.0000000, the same vectors; rejected by "
                  "the encoder: 1 empty_text."):  # fmt: skip
        assert words in done.out
    assert "zanzibar" not in done.out + done.err
    shown = rawless("encoder", "show", tmp_path / "mine.yaml", "--json").json
    assert shown["sealed"]
    assert shown["fingerprint"] in done.out
    assert rawless("encoder", "register", tmp_path / "mine.yaml").code == 0


def test_a_file_is_replaced_only_if_that_is_said(rawless: Rawless, arguments: list[str | Path], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("precious")
    refused = rawless(*arguments)

    assert (refused.code, file.read_text()) == (2, "precious")
    assert f"{file} exists already: name another file with --out, or replace it with --force." in refused.err
    done = rawless(*arguments, "--force", "--json").json
    assert done["comparison"] == {"compared": 2, "rejected": {"empty_text": 1}, "smallest_cosine": pytest.approx(1.0)}
    assert {"field": "pooling", "value": "mean", "origin": "default"} in done["decisions"]
    assert "precious" not in file.read_text()


def test_other_vectors_than_the_librarys_fail_the_command(
    rawless: Rawless, arguments: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = lambda contents: np.ones((len(contents), 16), np.float32)  # noqa: E731
    monkeypatch.setattr(library_vectors, "library_of", lambda *_: ones)
    done = rawless(*arguments)

    assert done.code == 1
    assert "other vectors: do not use this spec as that model" in done.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--as", "mine"], "--as is 'mine', but the rule is: NAME@VERSION"),
        (["--out", "mine.txt"], "the file of a spec ends in .yaml"),
        (["--out", "/nowhere/mine.yaml"], "its folder does not exist"),
        (["--pooling", "middle"], "pooling is 'middle', but the rule is"),
        (["--compare", "/nowhere"], "'/nowhere' does not exist"),
        (["--compare", "/"], "compared on the lines of a text file"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    rawless: Rawless, arguments: list[str | Path], changes: list[str], words: str
) -> None:
    refused = rawless(*arguments, *changes)

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1
