"""An imported encoder is compared with its model's library, and only counts and a cosine leave the comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.encoder import Encoder
from encoders.importing.importer import import_encoder
from encoders.importing.options import ImportOptions
from encoders.load import build
from encoders.spec import EncoderSpec, Vector
from rawless.errors import Unavailable, UserError
from rawless.lifecycle import library_comparison
from rawless.lifecycle.library_comparison import compare
from rawless.lifecycle.library_vectors import library_of

SECRET = b"zanzibar-4711"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Seventy texts, one of them long, a blank line and one that is not UTF-8."""
    file = tmp_path / "lines.txt"
    file.write_bytes(b"where is my parcel " * 40 + b"\r\n" + SECRET + b"\n" + b"cat dog\n" * 68 + b"\n\xff\n")
    return file


@pytest.fixture
def encoder(tiny_sealed: EncoderSpec) -> Encoder:
    """The tiny encoder."""
    return build(tiny_sealed, torch.device("cpu"))


@pytest.mark.parametrize(
    "options", [ImportOptions(), ImportOptions(pooling="cls", max_tokens=9)], ids=["defaults", "options"]
)
def test_the_library_computes_the_same_vectors(tiny_folder: Path, lines: Path, options: ImportOptions) -> None:
    imported = import_encoder(str(tiny_folder), "mine@1.0.0", options)
    found = compare(build(imported.spec, torch.device("cpu")), library_of(imported, options), lines)

    assert found.agrees
    assert (found.compared, found.rejected) == (70, {"empty_text": 1, "invalid_utf8": 1})


def test_one_other_vector_is_seen(encoder: Encoder, lines: Path) -> None:
    def reference(contents: Sequence[bytes]) -> Vector:
        vectors = np.ones((len(contents), 16), np.float32)
        vectors[[SECRET in content for content in contents]] = np.nan
        return vectors

    found = compare(encoder, reference, lines)

    assert (found.smallest_cosine, found.agrees) == (-1.0, False)


def test_a_cosine_of_zero_is_not_forgotten_in_later_batches(
    encoder: Encoder, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosines = iter([0.0, 1.0, 1.0])
    monkeypatch.setattr(library_comparison, "_smallest_cosine", lambda *_: next(cosines))
    found = compare(encoder, lambda contents: np.ones((len(contents), 16), np.float32), lines)

    assert (found.compared, found.smallest_cosine) == (70, 0.0)


def test_an_error_of_the_library_does_not_show_a_text(
    encoder: Encoder, lines: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def reference(contents: Sequence[bytes]) -> Vector:
        raise ValueError(contents)

    with pytest.raises(Unavailable) as caught:
        compare(encoder, reference, lines)
    assert "zanzibar" not in f"{caught.value}{caught.value.__context__}{''.join(capfd.readouterr())}"


def test_nothing_to_compare_is_no_agreement(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_bytes(b"\n \n")
    found = compare(encoder, lambda contents: np.ones((len(contents), 16), np.float32), tmp_path / "blank.txt")

    assert (found.compared, found.agrees, found.rejected) == (0, False, {"empty_text": 2})


def test_a_path_of_another_kind_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compared on the lines of a text file"):
        compare(encoder, lambda contents: np.ones((len(contents), 16), np.float32), tmp_path)
