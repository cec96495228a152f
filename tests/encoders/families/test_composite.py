"""Composites: the vectors of their parts side by side, an identity that covers all of them, and their versions."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from encoders import weights
from encoders.bake import bake
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup, parse
from encoders.compose import compose
from encoders.composite import CompositeSpec
from encoders.defend import check_defensible, defend
from encoders.encoder import Encoded, Encoder
from encoders.load import build, load
from encoders.seal import seal
from encoders.spec import EncoderSpec, Probe, Vector
from encoders.versions import Bump, changes, follows, required_bump
from rawless.errors import UserError
from rawless.privacy import Raw, Reason
from tests import tiny_image_encoder

TEXTS = ["where is my parcel ?", "paid for two", "cat", "a much longer text about a dog and a bird and a cat . " * 2]
WEIGHTS = (1.0, 0.5)
MakeSpec = Callable[..., EncoderSpec]


def composed(*parts: EncoderSpec, **fields: Any) -> CompositeSpec:
    """Return the sealed composite of encoders; arguments replace options of `compose`."""
    options = {"weights": WEIGHTS, "normalise_parts": True, "l2_normalise": False} | fields
    made = compose(parts, "two", "1.0.0", **options)
    assert isinstance(made, CompositeSpec)
    return made


@pytest.fixture(scope="module")
def inner(tiny_spec: MakeSpec) -> EncoderSpec:
    """The first layer of the tiny encoder, by its first token, not normalised."""
    return seal(tiny_spec(name="inner", layer=1, pooling="cls", l2_normalise=False))


@pytest.fixture(scope="module")
def layers(tiny_sealed: EncoderSpec, inner: EncoderSpec) -> CompositeSpec:
    """Two layers of the tiny encoder."""
    return composed(tiny_sealed, inner)


def vectors(encoder: Encoder, items: list[bytes], role: Any = "document") -> Vector:
    outcomes = encoder.encode([Raw(item) for item in items], role=role)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)])


def on_cpu(spec: EncoderSpec) -> BatchEncoder[Any]:
    return build(spec, torch.device("cpu"))


def saved(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def unit(values: Vector) -> Vector:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


def test_a_vector_is_those_of_the_parts_normalised_weighted_and_concatenated(
    layers: CompositeSpec, tiny_sealed: EncoderSpec, inner: EncoderSpec
) -> None:
    items = [text.encode() for text in TEXTS]
    first, second = vectors(on_cpu(tiny_sealed), items), vectors(on_cpu(inner), items)

    found = vectors(on_cpu(layers), items)
    long = composed(tiny_sealed, inner, normalise_parts=False, l2_normalise=True)

    np.testing.assert_allclose(found, np.hstack([first, 0.5 * unit(second)]), atol=1e-6)
    whole = np.hstack([first, 0.5 * second])
    np.testing.assert_allclose(vectors(on_cpu(long), items), unit(whole), atol=1e-6)
    assert layers.dimension == found.shape[1] == 32


def test_two_layers_of_one_model_are_read_from_one_run_over_texts_tokenized_once(layers: CompositeSpec) -> None:
    encoder = on_cpu(layers)
    runs = []
    for module in encoder.network.modules():
        if type(module).__name__ == "BertModel":
            module.register_forward_hook(lambda *_: runs.append(1))

    prepared = encoder.prepare(Raw(TEXTS[0].encode()))
    vectors(encoder, [TEXTS[0].encode()])

    assert len(runs) == 1
    assert not isinstance(prepared, Reason)
    assert len(prepared) == 1


def test_two_layers_of_an_image_model_are_read_from_one_run(make_image: Callable[..., Any], tmp_path: Path) -> None:
    folder = tiny_image_encoder.write_model(tmp_path / "vit", "vit")
    preprocessing = {"resize": 28, "interpolation": "bilinear", "antialias": True, "crop": 28}
    preprocessing |= {"mean": [0.5] * 3, "std": [0.5] * 3, "fit": "exact"}
    made = [
        seal(tiny_image_encoder.make_spec(folder, "vit", preprocessing, name=name, **fields))
        for name, fields in (("last", {"pooling": "cls"}), ("first", {"layer": 1}))
    ]
    items = [saved(make_image(40, 30, seed)) for seed in range(3)]
    encoder, runs = on_cpu(composed(*made, normalise_parts=False)), []
    for module in encoder.network.modules():
        if type(module).__name__ == "ViTModel":
            module.register_forward_hook(lambda *_: runs.append(1))

    found = vectors(encoder, items)

    expected = np.hstack([vectors(on_cpu(each), items) * weight for each, weight in zip(made, WEIGHTS, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(runs) <= len(items)
    assert len(encoder.prepare(Raw(items[0]))) == 1  # type: ignore[arg-type]


def test_parts_that_are_prepared_otherwise_get_items_of_their_own(
    tiny_sealed: EncoderSpec, tiny_spec: MakeSpec
) -> None:
    short = seal(tiny_spec(name="short", preprocessing={"max_tokens": 6, "prompts": {"query": "is "}}))
    spec, items = composed(tiny_sealed, short), [text.encode() for text in TEXTS]
    encoder = on_cpu(spec)
    pair = on_cpu(tiny_sealed), on_cpu(short)

    for role in ("document", "query"):
        first, second = (vectors(each, items, role) for each in pair)
        np.testing.assert_allclose(vectors(encoder, items, role), np.hstack([first, 0.5 * second]), atol=1e-6)
    outcomes = encoder.encode([Raw(item) for item in items])
    assert [isinstance(each, Encoded) and each.truncated for each in outcomes] == [True, False, False, True]
    assert encoder.encode([Raw(b" ")]) == [Reason.EMPTY_TEXT]


def test_a_loaded_composite_runs_on_the_fastest_runtime_and_reproduces_its_probe(layers: CompositeSpec) -> None:
    loaded = load(layers, "cpu")

    assert loaded.runtime.startswith("OpenVINO")
    items = [text.encode() for text in TEXTS]
    alone = np.vstack([vectors(loaded, [item]) for item in items])
    np.testing.assert_allclose(vectors(loaded, items), alone, atol=layers.tolerance)


def test_the_spec_is_the_same_after_it_was_written_and_read(
    layers: CompositeSpec, tiny_sealed: EncoderSpec, tmp_path: Path
) -> None:
    again = parse(json.loads(layers.model_dump_json()), "The spec")

    assert again == layers
    assert again.fingerprint == layers.fingerprint
    assert layers.parts[0].fingerprint == tiny_sealed.fingerprint
    assert "weights" not in layers.model_dump()
    file = tmp_path / "named.yaml"
    named = layers.identity() | {"parts": [{"encoder": "minilm@1.0.0", "l2_normalise": True} for _ in range(2)]}
    file.write_text(yaml.safe_dump(named | {"dimension": 768}))
    read = lookup(str(file))
    assert isinstance(read, CompositeSpec)
    assert read.parts[0].fingerprint == lookup("minilm@1.0.0").fingerprint


def varied(spec: CompositeSpec, number: int, **fields: Any) -> CompositeSpec:
    """Return a composite with other fields of a part's encoder; nested ones as a dict of those that differ."""
    data = spec.model_dump(mode="json")
    _merge(data["parts"][number], fields)
    return parse(data, "The spec")  # type: ignore[return-value]


def _merge(data: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(data.get(name), dict):
            _merge(data[name], value)
        else:
            data[name] = value


PART_CHANGES = [
    ({"encoder": {"architecture": "roberta"}}, Bump.MAJOR),
    ({"encoder": {"layer": 0}}, Bump.MINOR),
    ({"encoder": {"pooling": "max"}}, Bump.MINOR),
    ({"encoder": {"l2_normalise": True}}, Bump.MINOR),
    ({"encoder": {"preprocessing": {"max_tokens": 12}}}, Bump.MINOR),
    ({"encoder": {"preprocessing": {"prompts": {"query": "is "}}}}, Bump.MINOR),
    ({"encoder": {"weights": {"files": {"model.safetensors": "1" * 64}}}}, Bump.PATCH),
    ({"encoder": {"tolerance": 1e-4}}, Bump.PATCH),
    ({"encoder": {"training_domain": "other"}}, Bump.PATCH),
    ({"encoder": {"parent": "inner@0.9.0"}}, Bump.PATCH),
    ({"encoder": {"version": "1.0.1"}}, Bump.PATCH),
    ({"encoder": {"name": "other"}}, Bump.MAJOR),
    ({"weight": 0.25}, Bump.MINOR),
    ({"l2_normalise": False}, Bump.MINOR),
]


@pytest.mark.parametrize(("fields", "bump"), PART_CHANGES, ids=str)
def test_a_change_of_a_part_is_a_change_of_the_whole(layers: CompositeSpec, fields: Any, bump: Bump) -> None:
    """V5."""
    other = varied(layers, 1, **fields)

    assert other.fingerprint != layers.fingerprint
    found = changes(layers, other)
    assert required_bump(found) is bump
    assert [change.field.startswith("parts") for change in found] == [True]
    assert not follows(layers, other)


def test_parts_that_are_added_removed_or_reordered_are_a_major_change(
    layers: CompositeSpec, tiny_sealed: EncoderSpec, inner: EncoderSpec
) -> None:
    turned = layers.model_copy(update={"parts": layers.parts[::-1]})
    more = layers.model_copy(update={"parts": (*layers.parts, layers.parts[0])})
    same_name = layers.model_copy(
        update={"parts": (layers.parts[0], varied(layers, 1, encoder={"name": "tiny"}).parts[1])}
    )
    turned_same = same_name.model_copy(update={"parts": same_name.parts[::-1]})

    for before, after in ((layers, turned), (layers, more), (more, layers), (same_name, turned_same)):
        assert required_bump(changes(before, after)) is Bump.MAJOR
        assert before.fingerprint != after.fingerprint
    assert required_bump(changes(tiny_sealed, layers)) is Bump.MAJOR
    assert changes(layers, composed(tiny_sealed, inner)) == []


def test_what_cannot_be_a_part_is_refused(
    layers: CompositeSpec, tiny_sealed: EncoderSpec, inner: EncoderSpec, tiny_spec: MakeSpec, tiny_noisy: EncoderSpec
) -> None:
    tower = inner.model_copy(update={"queries_of": "1" * 64})
    half = tiny_spec(name="half", precision="bf16", tolerance=0.05)
    refused = {
        "two@1.0.0 is a composite: name its parts": layers,
        "resnet18-seeded@1.0.0 takes image, but the composite takes text": lookup("resnet18-seeded@1.0.0"),
        "noisy@1.0.0 has a defence: compose encoders without, and defend the composite": tiny_noisy,
        "inner@1.0.0 encodes queries only": tower,
        "half@1.0.0 has precision bf16": half,
    }
    for message, part in refused.items():
        with pytest.raises(UserError, match=message):
            composed(tiny_sealed, part)
    with pytest.raises(UserError, match="--weights has 3 numbers, but there are 2 encoders"):
        composed(tiny_sealed, inner, weights=(1, 2, 3))
    with pytest.raises(UserError, match=r"dimension is 31, but the parts have 16 \+ 16 = 32 components"):
        parse(layers.model_dump(mode="json") | {"dimension": 31, "probe": None}, "The spec")


def test_a_changed_file_of_a_part_is_refused(
    layers: CompositeSpec, tiny_copy: Path, tiny_sealed: EncoderSpec, inner: EncoderSpec, tiny_spec: MakeSpec
) -> None:
    spec = composed(tiny_sealed, seal(tiny_spec(tiny_copy, name="copy", pooling="max")))
    (tiny_copy / "config.json").write_text("{}")

    with pytest.raises(UserError, match=r"config.json is not the file that copy@1.0.0 names"):
        load(spec, "cpu")


def test_a_composite_is_defended_as_a_whole(layers: CompositeSpec) -> None:
    defended = defend(layers, "defended", "1.0.0", {"truncate": 20, "clip": 0.5}, None, Path("unused"))

    items = [text.encode() for text in TEXTS]
    whole, found = vectors(on_cpu(layers), items)[:, :20], vectors(on_cpu(defended), items)
    np.testing.assert_allclose(found, unit(whole) * 0.5, atol=1e-6)
    with pytest.raises(UserError, match=r"two@1\.0\.0 is a composite, which has no folder to put a learned projection"):
        check_defensible(layers, learned=True)


def test_the_files_of_all_parts_are_baked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minilm = lookup("minilm@1.0.0")
    digests = {f"{number}/{name}": each for number in range(2) for name, each in minilm.files.items()}
    data = minilm.model_dump(include={"version", "modality", "l2_normalise", "tolerance", "training_domain"})
    data |= {"name": "two", "architecture": "composite", "dimension": 768}
    data |= {
        "parts": [{"encoder": minilm, "l2_normalise": True}] * 2,
        "probe": Probe.of("x", np.zeros(768, np.float32)),
    }
    spec = parse(data, "The spec")

    assert spec.files == digests
    assert bake(spec, tmp_path) == (tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2",)
    monkeypatch.setattr("encoders.weight_sources.hugging_face._PACKAGES", {})
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))
    assert weights.digests(spec) == digests
