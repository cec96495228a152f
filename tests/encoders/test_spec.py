"""Specs: which fields are valid, and what the fingerprint depends on."""

import base64
import json
import string
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.catalogue import FOLDER, lookup
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.spec import Added, EncoderSpec, Probe, canonical_json
from encoders.text_spec import TextPreprocessing
from rawless.errors import UserError

MINILM_FINGERPRINT = "f707996b3d9d8b904a123be1b9f699863aca3151c6bcfa27980366671ce394d7"
"""Rows in warehouses contain it: if this test breaks, they no longer match minilm@1.0.0."""

ANOTHER = "0" * 64


@pytest.fixture
def spec() -> EncoderSpec:
    """The catalogue's sealed minilm."""
    return lookup("minilm@1.0.0")


@pytest.fixture
def data(spec: EncoderSpec) -> dict[str, Any]:
    """The fields of the spec as plain values."""
    return spec.model_dump(mode="json")


def test_the_fingerprint_of_minilm_is_the_one_that_rows_carry(spec: EncoderSpec) -> None:
    assert spec.fingerprint == MINILM_FINGERPRINT


def test_the_fingerprint_is_that_of_the_documented_bytes(data: dict[str, Any]) -> None:
    import hashlib

    del data["probe"], data["dense"], data["full_dimension"]  # fields that were added to sealed specs
    del data["adapter"], data["queries_of"]
    del data["preprocessing"]["prompts"], data["preprocessing"]["padding"]
    written = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert hashlib.sha256(written.encode()).hexdigest() == MINILM_FINGERPRINT


def test_the_order_of_keys_in_yaml_does_not_matter(tmp_path: Path) -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return value

    plain = yaml.safe_load((FOLDER / "minilm@1.0.0.yaml").read_text(encoding="utf-8"))
    turned = reverse(plain)
    assert list(turned) != list(plain)
    path = tmp_path / "turned.yaml"
    path.write_text(yaml.safe_dump(turned, sort_keys=False, allow_unicode=True), encoding="utf-8")
    assert lookup(str(path)).fingerprint == MINILM_FINGERPRINT


def test_a_default_that_is_spelled_out_does_not_matter(data: dict[str, Any]) -> None:
    for name in ("layer", "precision", "defence", "parent"):
        del data[name]
    assert HuggingFaceTextSpec.model_validate(data).fingerprint == MINILM_FINGERPRINT


class LaterPreprocessing(TextPreprocessing):
    """Preprocessing with a field that minilm was sealed without."""

    later: Annotated[str, Added()] = "as before"


class LaterSpec(HuggingFaceTextSpec):
    """A spec with fields that minilm was sealed without."""

    preprocessing: LaterPreprocessing
    later: Annotated[int, Added()] = 1


def test_a_field_that_was_added_is_part_of_the_identity_only_where_it_is_used(data: dict[str, Any]) -> None:
    used = {**data, "preprocessing": data["preprocessing"] | {"later": "otherwise"}}
    fingerprints = [LaterSpec.model_validate(each).fingerprint for each in (data, data | {"later": 2}, used)]

    assert fingerprints[0] == MINILM_FINGERPRINT
    assert len(set(fingerprints)) == len(fingerprints)


def changed(spec: EncoderSpec, path: str, value: Any) -> EncoderSpec:
    """Return the spec with one field changed, not validated, since some fields have only one allowed value so far."""
    top, _, rest = path.partition(".")
    if not rest:
        return spec.model_copy(update={top: value})
    part = getattr(spec, top)
    field, _, file = rest.partition(".")
    new = {**getattr(part, field), file: value} if file else value
    return spec.model_copy(update={top: part.model_copy(update={field: new})})


def test_the_probe_is_not_part_of_the_fingerprint(spec: EncoderSpec) -> None:
    other = Probe.of("another input", np.ones(384, dtype=np.float32))
    assert spec.model_copy(update={"probe": other}).fingerprint == MINILM_FINGERPRINT


@pytest.mark.parametrize("missing", ["the probe", "a weight's digest", "a tokenizer file's digest"])
def test_an_unsealed_spec_has_no_fingerprint(spec: EncoderSpec, missing: str) -> None:
    unsealed = {
        "the probe": spec.model_copy(update={"probe": None}),
        "a weight's digest": changed(spec, "weights.files.config.json", None),
        "a tokenizer file's digest": changed(spec, "preprocessing.tokenizer.vocab.txt", None),
    }[missing]
    assert not unsealed.sealed
    with pytest.raises(UserError, match=r"minilm@1\.0\.0 is not sealed.*rawless encoder register"):
        _ = unsealed.fingerprint


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.pth", "modeling.py", "w.pkl", "w.pickle", "w.h5", "w.msgpack"]
)
def test_a_file_that_could_run_code_is_refused(data: dict[str, Any], name: str, tmp_path: Path) -> None:
    data["weights"]["files"][name] = ANOTHER
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    with pytest.raises(UserError, match=rf"weights\.files.*{name} could run code") as caught:
        lookup(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_weights_without_safetensors_are_refused(data: dict[str, Any]) -> None:
    data["weights"]["files"] = {"config.json": ANOTHER}
    with pytest.raises(ValueError, match=r"at least one \.safetensors"):
        HuggingFaceTextSpec.model_validate(data)


@pytest.mark.parametrize("name", ["../a.json", "/etc/passwd", "a/../b.json", "a/b/c.json", "a/", ".hidden", "", "a\nb"])
def test_a_file_name_cannot_leave_the_folder(data: dict[str, Any], name: str) -> None:
    data["weights"]["files"][name] = ANOTHER
    with pytest.raises(ValueError, match=r"weights\.files"):
        HuggingFaceTextSpec.model_validate(data)


def vector_text(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("vector", "rule"),
    [
        (vector_text(*[0.5] * 383), "383 values, but dimension is 384"),
        (vector_text(*[0.5] * 385), "385 values, but dimension is 384"),
        ("", "0 values, but dimension is 384"),
        (vector_text(*[0.5] * 383, float("nan")), "must be finite"),
        (vector_text(*[0.5] * 383, float("inf")), "must be finite"),
        ("not base64!", "probe.vector"),
        (base64.b64encode(b"\0" * 5).decode(), "probe.vector"),
    ],
)
def test_an_invalid_probe_is_refused(data: dict[str, Any], vector: str, rule: str) -> None:
    data["probe"]["vector"] = vector
    with pytest.raises(ValueError, match=rule):
        HuggingFaceTextSpec.model_validate(data)


def test_a_probe_keeps_its_vector_exactly() -> None:
    vector = np.random.default_rng(1).standard_normal(384).astype(np.float32)
    assert Probe.of("x", vector).values.tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Mini LM"),
        ("version", "1.0"),
        ("version", "01.0.0"),
        ("pooling", "last"),
        ("dimension", 0),
        ("tolerance", 0),
        ("tolerance", float("nan")),
        ("tolerance", 0.2),
        ("layer", 1000),
        ("precision", "int8"),
        ("unknown", 1),
    ],
)
def test_a_field_out_of_its_range_is_refused(data: dict[str, Any], field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        HuggingFaceTextSpec.model_validate(data | {field: value})


def test_a_spec_is_frozen(spec: EncoderSpec) -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec.layer = 3  # type: ignore[misc]


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(string.printable), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(value=plain_values, choices=st.randoms(use_true_random=False))
def test_canonical_json_of_equal_values_is_equal(value: Any, choices: Any) -> None:
    def shuffled(each: Any) -> Any:
        if isinstance(each, dict):
            items = list(each.items())
            choices.shuffle(items)
            return {key: shuffled(inner) for key, inner in items}
        return [shuffled(inner) for inner in each] if isinstance(each, list) else each

    written = canonical_json(value)
    assert canonical_json(shuffled(value)) == written
    assert canonical_json(json.loads(written)) == written
    assert json.loads(written) == value
    assert written.isascii()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_nan_and_infinity(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": value})
