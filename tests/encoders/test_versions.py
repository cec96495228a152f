"""The version that a change of an encoder requires."""

from typing import Any

import pytest

from encoders.catalogue import lookup, parse
from encoders.defence import Defence
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.spec import EncoderSpec
from encoders.versions import Bump, changes, next_version, required_bump

OTHER = "1" * 64


def varied(**fields: Any) -> EncoderSpec:
    """Return minilm with other fields; nested ones as dicts of the fields that differ."""
    spec = lookup("minilm@1.0.0")
    data = spec.model_dump(mode="json")
    if "dimension" in fields:
        data["probe"] = None
    for name, value in fields.items():
        data[name] = _merged(data[name], value)
    return HuggingFaceTextSpec.model_validate(data)


def varied_image(**fields: Any) -> EncoderSpec:
    """Return resnet18-seeded with other fields."""
    data = lookup("resnet18-seeded@1.0.0").model_dump(mode="json") | {"probe": None}
    return parse(data | {name: _merged(data[name], value) for name, value in fields.items()}, "a spec")


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


@pytest.mark.parametrize(
    ("fields", "bump"),
    [
        ({"architecture": "roberta"}, Bump.MAJOR),
        ({"dimension": 768}, Bump.MAJOR),
        ({"layer": -2}, Bump.MINOR),
        ({"pooling": "cls"}, Bump.MINOR),
        ({"l2_normalise": False}, Bump.MINOR),
        ({"preprocessing": {"max_tokens": 128}}, Bump.MINOR),
        ({"preprocessing": {"normalisation": "NFKC"}}, Bump.MINOR),
        ({"preprocessing": {"tokenizer": {"tokenizer.json": OTHER}}}, Bump.MINOR),
        ({"weights": {"files": {"model.safetensors": OTHER}}}, Bump.PATCH),
        ({"weights": {"source": "hf:other/model"}}, Bump.PATCH),
        ({"training_domain": "other"}, Bump.PATCH),
        ({"name": "other", "version": "7.0.0"}, Bump.NONE),
        ({}, Bump.NONE),
    ],
    ids=str,
)
def test_the_version_follows_what_changed(fields: dict[str, Any], bump: Bump) -> None:
    assert required_bump(changes(varied(), varied(**fields))) is bump


@pytest.mark.parametrize(
    ("fields", "bump"),
    [
        ({"architecture": "resnet34"}, Bump.MAJOR),
        ({"dimension": 256}, Bump.MAJOR),
        ({"layer": "layer4.0"}, Bump.MINOR),
        ({"pooling": "max"}, Bump.MINOR),
        ({"l2_normalise": False}, Bump.MINOR),
        ({"preprocessing": {"exif_orientation": "ignore"}}, Bump.MINOR),
        ({"preprocessing": {"alpha": "black"}}, Bump.MINOR),
        ({"preprocessing": {"resize": 232}}, Bump.MINOR),
        ({"preprocessing": {"interpolation": "nearest"}}, Bump.MINOR),
        ({"preprocessing": {"antialias": False}}, Bump.MINOR),
        ({"preprocessing": {"crop": 200}}, Bump.MINOR),
        ({"preprocessing": {"mean": [0.5, 0.5, 0.5]}}, Bump.MINOR),
        ({"preprocessing": {"std": [0.5, 0.5, 0.5]}}, Bump.MINOR),
        ({"weights": {"files": {"model.safetensors": OTHER}}}, Bump.PATCH),
        ({"weights": {"source": "seed:19"}}, Bump.PATCH),
        ({"training_domain": "other"}, Bump.PATCH),
        ({"layer": "layer3", "dimension": 256}, Bump.MAJOR),
        ({"name": "other", "version": "7.0.0"}, Bump.NONE),
        ({}, Bump.NONE),
    ],
    ids=str,
)
def test_the_version_of_an_image_encoder_follows_what_changed(fields: dict[str, Any], bump: Bump) -> None:
    assert required_bump(changes(varied_image(), varied_image(**fields))) is bump


def test_an_encoder_of_another_modality_is_a_major_change() -> None:
    found = changes(varied(), varied_image())
    assert required_bump(found) is Bump.MAJOR
    assert {"modality", "architecture", "preprocessing.crop", "preprocessing.max_tokens"} <= {
        each.field for each in found
    }


@pytest.mark.parametrize(
    "fields",
    [{"precision": "bf16", "tolerance": 0.01}, {"defence": Defence(full_dimension=384, clip=1.0)}],
    ids=["precision", "defence"],
)
def test_precision_and_defence_require_a_minor_version(fields: dict[str, Any]) -> None:
    assert required_bump(changes(varied(), varied(**fields))) is Bump.MINOR


def test_a_field_that_only_a_new_family_has_is_minor() -> None:
    """It decides vectors, and nobody had to list it."""

    class PatchSpec(HuggingFaceTextSpec):
        patch_size: int = 16

    data = varied().model_dump(mode="json")
    found = changes(PatchSpec.model_validate(data), PatchSpec.model_validate({**data, "patch_size": 8}))

    assert [(change.field, change.bump) for change in found] == [("patch_size", Bump.MINOR)]


def test_the_largest_step_of_several_changes_wins() -> None:
    after = varied(dimension=768, layer=-2, weights={"files": {"model.safetensors": OTHER}})
    found = changes(varied(), after)
    assert {each.bump for each in found} == {Bump.MAJOR, Bump.MINOR, Bump.PATCH}
    assert required_bump(found) is Bump.MAJOR


def test_a_change_has_its_field_and_both_values() -> None:
    (found,) = changes(varied(), varied(preprocessing={"max_tokens": 128}))
    assert (found.field, found.before, found.after) == ("preprocessing.max_tokens", 256, 128)


def test_a_probe_alone_is_no_change() -> None:
    assert changes(varied(), varied().model_copy(update={"probe": None})) == []


@pytest.mark.parametrize(
    ("bump", "expected"),
    [(Bump.MAJOR, "2.0.0"), (Bump.MINOR, "1.3.0"), (Bump.PATCH, "1.2.4"), (Bump.NONE, "1.2.3")],
)
def test_the_next_version_resets_its_lower_parts(bump: Bump, expected: str) -> None:
    assert next_version("1.2.3", bump) == expected


def test_versions_count_beyond_nine() -> None:
    assert next_version("9.9.9", Bump.PATCH) == "9.9.10"
