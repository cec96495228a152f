"""Every field of the spec of every family: changing it changes the fingerprint, and asks for the right version.

The fields are found in the models, so that one that is added cannot be forgotten here.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from encoders.adapter import Adapter
from encoders.catalogue import lookup
from encoders.composite import CompositeSpec, Part
from encoders.defence import Defence, LearnedProjection, Noise, Projection, Quantisation
from encoders.families import all_families
from encoders.families.clip_image import ClipImageSpec
from encoders.families.clip_text import ClipTextSpec
from encoders.families.composite_image import CompositeImageSpec
from encoders.families.composite_parts import CompositePartsSpec, EventPart
from encoders.families.composite_text import CompositeTextSpec
from encoders.families.huggingface_image import HuggingFaceImageSpec
from encoders.sentence_modules import Dense
from encoders.spec import EncoderSpec, Files
from encoders.versions import Bump, changes, required_bump

# Values that no spec may have are written too.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

BUMPS = {
    "modality": Bump.MAJOR,
    "architecture": Bump.MAJOR,
    "dimension": Bump.MAJOR,
    "preprocessing": Bump.MINOR,
    "layer": Bump.MINOR,
    "pooling": Bump.MINOR,
    "dense": Bump.MINOR,
    "full_dimension": Bump.MINOR,
    "l2_normalise": Bump.MINOR,
    "precision": Bump.MINOR,
    "defence": Bump.MINOR,
    "missing": Bump.MINOR,
    "adapter": Bump.MINOR,
    "queries_of": Bump.MINOR,
    "weights": Bump.PATCH,
    "tolerance": Bump.PATCH,
    "training_domain": Bump.PATCH,
    "parent": Bump.PATCH,
    "name": Bump.NONE,
    "version": Bump.NONE,
}
"""The step of the version by top-level field; a nested field counts as the one that it is part of."""
DIGEST, OTHER_DIGEST = "1" * 64, "2" * 64

TEXT, IMAGE = lookup("minilm@1.0.0"), lookup("resnet18-seeded@1.0.0")
_TOWER = {"weights": TEXT.weights, "architecture": "clip"}


def _as(kind: type[EncoderSpec], spec: EncoderSpec, **fields: Any) -> EncoderSpec:
    """Return a spec of another family with the fields that it shares with `spec`, not validated."""
    shared = {name: getattr(spec, name) for name in kind.model_fields if hasattr(spec, name)}
    return kind.model_construct(**{**shared, **fields})


def _part(spec: EncoderSpec, **fields: Any) -> Any:
    """Return a part of a composite."""
    encoder = spec.model_copy(update={"probe": None})
    return (EventPart if fields else Part)(encoder=encoder, l2_normalise=True, **fields)


COMPOSITES = [
    _as(CompositeTextSpec, TEXT, parts=(_part(TEXT), _part(TEXT.model_copy(update={"layer": 5})))),
    _as(CompositeImageSpec, IMAGE, parts=(_part(IMAGE), _part(IMAGE))),
    _as(CompositePartsSpec, TEXT, parts=(_part(TEXT, reads="note"), _part(IMAGE, reads="photo")), missing="zeros"),
]
SINGLE = [
    TEXT,
    IMAGE,
    _as(HuggingFaceImageSpec, IMAGE, weights=TEXT.weights, layer=-1, pooling="cls"),
    _as(ClipImageSpec, IMAGE, **_TOWER),
    _as(ClipTextSpec, TEXT, **_TOWER),
]
PLAIN = [*SINGLE, *COMPOSITES]
"""One spec of each family."""
_ALL_STEPS = Defence(
    full_dimension=400,
    truncate=390,
    project=Projection(dimension=388, seed=7),
    learned=LearnedProjection(file="learned.safetensors", sha256=DIGEST, dimension=384),
    clip=1.0,
    noise=Noise(sigma=0.1),
    quantise=Quantisation(bits=8),
)
_ADAPTER = Adapter(
    kind="affine", file="adapter.safetensors", sha256=DIGEST, source=DIGEST, target=OTHER_DIGEST,
    full_dimension=384, dimension=384, l2_normalise=True,
)  # fmt: skip
_SPELLED_OUT = {
    "dense": (Dense(folder="2_Dense", activation="tanh"),),
    "full_dimension": 768,
}
WITH_OPTIONS = [
    *(spec.model_copy(update={"defence": _ALL_STEPS}) for spec in SINGLE),
    *(spec.model_copy(update={"adapter": _ADAPTER, "queries_of": DIGEST, "parent": "other@1.0.0"}) for spec in SINGLE),
    TEXT.model_copy(update=_SPELLED_OUT),
]
"""Specs with every optional part, so that the fields of the parts are walked too."""


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a spec that is no model, mapping or list of models itself."""
    if isinstance(value, BaseModel):
        parts = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, dict):
        parts = value
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        parts = dict(enumerate(value))
    else:
        yield path
        return
    for name, part in parts.items():
        yield from leaves(part, (*path, name))


def replaced(value: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy of a spec, or a part of one, with the value at the path replaced by another of its type."""
    if not path:
        return another(value)
    name, *rest = path
    if path == ("adapter",) and value.adapter is None:
        return value.model_copy(update={"adapter": _ADAPTER})
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: replaced(getattr(value, name), tuple(rest))})
    if isinstance(value, dict):
        return {**value, name: replaced(value[name], tuple(rest))}
    return tuple(replaced(part, tuple(rest)) if place == name else part for place, part in enumerate(value))


def another(value: Any) -> Any:
    """Return a value that differs."""
    if value is None:
        return "other"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return tuple(part + 1 for part in value) or (1.0,)
    return f"{value}x"


def identified(spec: EncoderSpec) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of what identifies a spec: not its probe, and of a composite not the weights, which are none."""
    unidentified = {"probe"} | ({"weights"} if isinstance(spec, CompositeSpec) else set())
    for path in leaves(spec):
        own, of_part = path[0], path[3] if path[0] == "parts" and path[2] == "encoder" else None
        if own not in unidentified and of_part != "probe":
            yield path


def expected(path: tuple[Any, ...]) -> Bump:
    """Return the step for a field. A part's field counts as that of an encoder, and another encoder is a major one."""
    if path[0] != "parts":
        return BUMPS[path[0]]
    if path[2] != "encoder":
        return Bump.MINOR
    return {"name": Bump.MAJOR, "version": Bump.PATCH}.get(path[3], BUMPS[path[3]])


CASES = [
    pytest.param(spec, path, id=f"{type(spec).__name__}{number}-{'.'.join(map(str, path))}")
    for number, spec in enumerate([*PLAIN, *WITH_OPTIONS])
    for path in identified(spec)
]


@pytest.mark.parametrize(("spec", "path"), CASES)
def test_a_changed_field_changes_the_fingerprint_and_asks_for_its_version(
    spec: EncoderSpec, path: tuple[Any, ...]
) -> None:
    other = replaced(spec, path)

    assert other.fingerprint != spec.fingerprint
    assert required_bump(changes(spec, other)) is expected(path)


def test_every_field_of_every_family_is_among_them() -> None:
    assert {type(spec) for spec in PLAIN} == {family.spec for family in all_families()}
    for spec in PLAIN:
        fields = set(type(spec).model_fields) - {"probe"}
        assert fields <= {*BUMPS, "parts"}
        walked = {path[0] for path in leaves(spec)} | ({"weights"} if isinstance(spec, CompositeSpec) else set())
        assert fields <= walked, "an empty mapping or list hides a field"


def test_no_two_fields_of_one_spec_are_confused() -> None:
    for spec in PLAIN:
        fingerprints = [replaced(spec, path).fingerprint for path in identified(spec)]
        assert len(set(fingerprints)) == len(fingerprints)


def test_files_that_are_added_or_left_out_are_a_change() -> None:
    files: Files = {**TEXT.weights.files, "more.safetensors": DIGEST}
    more = TEXT.model_copy(update={"weights": TEXT.weights.model_copy(update={"files": files})})

    assert [change.field for change in changes(TEXT, more)] == ["weights.files.more.safetensors"]
    assert required_bump(changes(more, TEXT)) is Bump.PATCH
