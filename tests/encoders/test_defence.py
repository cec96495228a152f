"""A defence: what its steps do to a vector, that they are part of identity, and that the probe holds before noise."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from encoders import gaussian
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.encoder import Encoded, Encoder
from encoders.load import build, load
from encoders.probe import deviation
from encoders.release import Release, add_noise, quantise, release_contents
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from encoders.versions import Bump, changes, required_bump
from rawless.errors import UserError
from rawless.privacy import Raw, Reason

TEXT = b"where is my parcel?"
KEY = b"k" * 32
CLIPPED_NOISE: dict[str, Any] = {"clip": 1.0, "noise": {"sigma": 0.1}}


@dataclass(frozen=True)
class Event:
    """What a released vector depends on."""

    stream: str = "message"
    event_id: str = "e-1"
    payload: Raw[bytes] = field(default_factory=lambda: Raw(TEXT))


@pytest.fixture
def defended(tiny_sealed: EncoderSpec) -> Callable[..., EncoderSpec]:
    """Makes the unsealed spec of the tiny encoder with steps of a defence."""

    def make(dimension: int = 16, **steps: Any) -> EncoderSpec:
        data = tiny_sealed.model_dump(mode="json", exclude={"probe"})
        defence = {"full_dimension": 16, **steps}
        return parse(data | {"name": "defended", "dimension": dimension, "defence": defence}, "The spec")

    return make


def vector_of(encoder: Encoder | BatchEncoder[Any], text: bytes = TEXT) -> Vector:
    outcome = encoder.encode([Raw(text)])[0]
    assert isinstance(outcome, Encoded)
    return outcome.vector


def on_torch(spec: EncoderSpec) -> Vector:
    return vector_of(build(spec, torch.device("cpu")))


def test_a_vector_is_truncated_then_projected_then_clipped(
    defended: Callable[..., EncoderSpec], tiny_encoder: BatchEncoder[Any]
) -> None:
    seed = hashlib.sha256(b"rawless projection 5").digest()
    matrix = gaussian.integers(seed, 12 * 8).reshape(12, 8) / gaussian.STEPS / np.sqrt(8)
    projected = vector_of(tiny_encoder)[:12] @ matrix

    spec = defended(8, truncate=12, project={"dimension": 8, "seed": 5}, clip=0.25)
    assert np.linalg.norm(projected) > 0.25
    assert on_torch(spec) == pytest.approx(projected / np.linalg.norm(projected) * 0.25, abs=1e-6)
    assert on_torch(defended(8, truncate=12, project={"dimension": 8, "seed": 5}, clip=9)) == pytest.approx(
        projected, abs=1e-6
    )


def test_a_learned_projection_is_read_from_the_files_of_the_encoder(
    defended: Callable[..., EncoderSpec], tiny_copy: Path, tiny_encoder: BatchEncoder[Any]
) -> None:
    weight, bias = torch.arange(48.0).reshape(3, 16), torch.tensor([1.0, 2.0, 3.0])
    save_file({"weight": weight, "bias": bias}, tiny_copy / "learned.safetensors")
    data = defended(3, clip=1.0, project={"dimension": 3, "seed": 1}).model_dump(mode="json")
    data["weights"]["source"] = f"path:{tiny_copy}"
    data["defence"] = {"full_dimension": 16, "learned": {"file": "learned.safetensors", "dimension": 3}}

    spec = seal(parse(data, "The spec"))
    expected = weight.numpy() @ vector_of(tiny_encoder) + bias.numpy()
    assert vector_of(load(spec, "cpu")) == pytest.approx(expected, abs=1e-4)
    save_file({"weight": weight, "bias": bias + 1}, tiny_copy / "learned.safetensors")
    with pytest.raises(UserError, match=r"learned.safetensors is not the file that defended@1.0.0 names"):
        build(spec, torch.device("cpu"))
    save_file({"weight": weight}, tiny_copy / "learned.safetensors")
    with pytest.raises(UserError, match=r"needs .'weight': .3, 16., 'bias': .3,.."):
        build(parse(data, "The spec"), torch.device("cpu"))


def test_a_defended_encoder_holds_its_probe_and_runs_as_fast(defended: Callable[..., EncoderSpec]) -> None:
    spec = seal(defended(8, project={"dimension": 8, "seed": 1}, quantise={"bits": 1}, **CLIPPED_NOISE))
    encoder = load(spec, "cpu")
    assert deviation(encoder) <= spec.tolerance
    assert encoder.runtime.startswith("OpenVINO")  # one that fell back to torch would be slower


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "defence is a mapping, but the rule is: name at least one step, or write none"),
        ({"noise": {"sigma": 0.1}}, "noise needs clip"),
        ({"truncate": 16}, "truncate must be less than full_dimension"),
        ({"truncate": 8, "project": {"dimension": 9, "seed": 1}, "dimension": 9}, "there are 8 components"),
        ({"truncate": 8, "dimension": 16}, "dimension is 16, but the defence leaves 8"),
        ({"learned": {"file": "../a.safetensors", "dimension": 16}}, "defence.learned.file"),
        ({"noise": {"sigma": 0}, "clip": 1}, "defence.noise.sigma is 0"),
        ({"quantise": {"bits": 17}}, "defence.quantise.bits is 17"),
        ({"rotate": 1}, "defence.rotate is unknown"),
    ],
)
def test_a_defence_that_breaks_a_rule_is_refused(
    fields: dict[str, Any], message: str, defended: Callable[..., EncoderSpec]
) -> None:
    with pytest.raises(UserError, match=message):
        defended(**fields)


def test_a_sealed_spec_without_a_defence_keeps_its_fingerprint(tiny_sealed: EncoderSpec) -> None:
    assert tiny_sealed.identity()["defence"] == "none"


def test_every_step_is_part_of_identity_and_absent_ones_are_not(defended: Callable[..., EncoderSpec]) -> None:
    specs = [
        defended(clip=1.0), defended(clip=0.5), defended(**CLIPPED_NOISE), defended(clip=1.0, noise={"sigma": 0.2}),
        defended(quantise={"bits": 8}), defended(quantise={"bits": 4}), defended(project={"dimension": 16, "seed": 1}),
        defended(project={"dimension": 16, "seed": 2}), defended(8, truncate=8),
    ]  # fmt: skip
    identities = {str(spec.identity()) for spec in specs}
    assert len(identities) == len(specs)
    assert defended(clip=1.0).identity()["defence"] == {"full_dimension": 16, "clip": 1.0}


def test_a_defence_is_a_minor_version_and_another_dimension_a_major_one(
    defended: Callable[..., EncoderSpec], tiny_sealed: EncoderSpec
) -> None:
    assert required_bump(changes(tiny_sealed, defended(**CLIPPED_NOISE))) is Bump.MINOR
    assert required_bump(changes(defended(clip=1.0), defended(**CLIPPED_NOISE))) is Bump.MINOR
    assert required_bump(changes(tiny_sealed, defended(8, truncate=8))) is Bump.MAJOR


@pytest.fixture
def noisy(defended: Callable[..., EncoderSpec]) -> Callable[..., Vector]:
    """Releases the vector of one text by an encoder with noise; arguments replace what the noise depends on."""
    spec = seal(defended(**CLIPPED_NOISE))
    encoded = Encoded(vector_of(build(spec, torch.device("cpu"))), truncated=False)

    def release(key: bytes = KEY, name: str = "defended", **event: Any) -> Vector:
        other = spec.model_copy(update={"name": name})
        released = Release(other, key)(encoded, Event(**event))
        assert isinstance(released, Encoded)
        return released.vector

    return release


def test_a_replay_repeats_the_noise_and_nothing_else_does(noisy: Callable[..., Vector]) -> None:
    first = noisy()
    assert np.array_equal(first, noisy(payload=Raw(TEXT)))
    others = [
        noisy(event_id="e-2"), noisy(stream="messages"), noisy(name="other"), noisy(b"j" * 32),
        noisy(payload=Raw(b"where is my parcel")), noisy(stream="messag", event_id="ee-1"),
    ]  # fmt: skip
    assert all(np.abs(first - other).max() > 0.01 for other in others)
    assert len({other.tobytes() for other in others}) == len(others)


def test_the_noise_of_many_events_is_normal_and_independent(noisy: Callable[..., Vector]) -> None:
    released = np.stack([noisy(event_id=f"e-{number}") for number in range(2_000)])
    noise = (released - released.mean(axis=0)) / 0.1
    assert abs(noise.var() - 1) < 0.05
    correlations = np.corrcoef(noise.T) - np.eye(16)
    assert np.abs(correlations).max() < 5 / np.sqrt(len(noise))


def test_released_numbers_are_multiples_of_one_step_that_does_not_depend_on_the_vector() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    multiples = add_noise(vectors, 0.5, b"secret") / (0.5 / gaussian.STEPS)
    assert np.array_equal(multiples, np.rint(multiples))


def test_quantised_vectors_have_as_many_values_as_the_bits_allow_after_the_noise(
    defended: Callable[..., EncoderSpec],
) -> None:
    spec = seal(defended(quantise={"bits": 3}, **CLIPPED_NOISE))
    encoded = Encoded(np.linspace(-1, 1, 16, dtype=np.float32), truncated=False)
    released = Release(spec, KEY)(encoded, Event())
    assert isinstance(released, Encoded)
    steps = released.vector / np.abs(released.vector).max() * 3
    assert steps == pytest.approx(np.rint(steps), abs=1e-5)
    assert np.unique(np.rint(steps)).size > 3


def test_quantisation_rounds_to_the_nearest_value_of_each_vector() -> None:
    vectors = np.array([[1.0, -0.49, 0.0], [0.02, 0.01, -0.02], [0.0, 0.0, 0.0]], dtype=np.float32)
    assert quantise(vectors, 2) == pytest.approx(np.array([[1, 0, 0], [0.02, 0, -0.02], [0, 0, 0]]))
    assert quantise(vectors[:1], 1)[0] == pytest.approx([0.49666667, -0.49666667, 0.49666667])
    assert quantise(vectors, 16) == pytest.approx(vectors, abs=1e-4)


def test_contents_of_an_audit_are_released_as_events_of_their_own(defended: Callable[..., EncoderSpec]) -> None:
    release = release_contents(seal(defended(**CLIPPED_NOISE)), KEY)
    encoded = Encoded(np.zeros(16, np.float32), truncated=False)
    one, other = (release(encoded, Raw(TEXT)) for _ in range(2))
    assert isinstance(one, Encoded)
    assert isinstance(other, Encoded)
    assert np.abs(one.vector - other.vector).max() > 0.01


def test_an_encoder_with_noise_is_not_released_without_a_key(defended: Callable[..., EncoderSpec]) -> None:
    with pytest.raises(UserError, match="needs the pseudonym key"):
        Release(seal(defended(**CLIPPED_NOISE)), None)


def test_a_rejection_stays_a_rejection(defended: Callable[..., EncoderSpec], tiny_sealed: EncoderSpec) -> None:
    for spec in (tiny_sealed, seal(defended(**CLIPPED_NOISE))):
        assert Release(spec, KEY)(Reason.EMPTY_TEXT, Event()) is Reason.EMPTY_TEXT
