"""Finding a spec by name or by path."""

import shutil
from pathlib import Path

import pytest

from encoders.catalogue import FOLDER, lookup, refs
from privacy import UserError


@pytest.mark.parametrize("ref", refs())
def test_every_spec_of_the_catalogue_is_valid_and_named_as_its_file(ref: str) -> None:
    assert lookup(ref).ref == ref


def test_minilm_is_in_the_catalogue_and_sealed() -> None:
    assert "minilm@1.0.0" in refs()
    assert lookup("minilm@1.0.0").sealed


def test_a_spec_of_the_users_own_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shutil.copy(FOLDER / "minilm@1.0.0.yaml", path)
    assert lookup(str(path)) == lookup("minilm@1.0.0")


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("nope@1.0.0", r"'nope@1\.0\.0' is unknown.*minilm@1\.0\.0"),
        ("minilm", r"'minilm' needs its version, as in minilm@1\.0\.0"),
        ("minilm@9.9.9", r"minilm@9\.9\.9.*minilm@1\.0\.0"),
        ("../specs/minilm@1.0.0", "unknown"),
        ("", "unknown"),
        ("nowhere.yaml", r"nowhere\.yaml does not exist"),
    ],
)
def test_an_unknown_encoder_is_told_in_one_sentence(ref: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        lookup(ref)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1, 2]", "must be a mapping"),
        ("name: [", "no valid YAML at line"),
        ("name: a\nname: b\n", "'name' stands twice"),
        ("name: minilm\n", "is missing"),
    ],
)
def test_a_broken_spec_is_told_in_one_sentence(content: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        lookup(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("pooling: mean", "pooling: last", "pooling is 'last'"),
        ("dimension: 384", "dimension: 385", "384 values, but dimension is 385"),
        ("layer: -1", "layers: -1", "layers is unknown"),
        ("tolerance: 1.0e-5", "tolerance: 1", "tolerance is 1"),
    ],
)
def test_a_spec_that_breaks_a_rule_names_field_and_value(before: str, after: str, told: str, tmp_path: Path) -> None:
    text = (FOLDER / "minilm@1.0.0.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        lookup(str(path))
