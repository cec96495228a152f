"""Weights drawn from a seed: they are the same everywhere, or refused."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from encoders import checkpoint, weights
from encoders.catalogue import lookup, parse
from encoders.families.huggingface_text import HuggingFaceTextSpec, HuggingFaceWeights
from encoders.families.torchvision_image import TorchvisionSpec, load_network
from encoders.seal import seal
from encoders.seeded import Seeded
from encoders.spec import EncoderSpec
from rawless.errors import UserError

FILE = "model.safetensors"
MakeSpec = Callable[..., TorchvisionSpec]


@pytest.fixture(scope="session")
def spec() -> TorchvisionSpec:
    """The catalogue's resnet18-seeded."""
    found = lookup("resnet18-seeded@1.0.0")
    assert isinstance(found, TorchvisionSpec)
    return found


@pytest.fixture(scope="session")
def state(spec: TorchvisionSpec) -> dict[str, torch.Tensor]:
    """The weights of the spec; do not modify them."""
    return checkpoint.read(spec)


def reseeded(spec: TorchvisionSpec, seed: str, digest: str | None = None, **fields: Any) -> TorchvisionSpec:
    data = spec.model_dump(mode="json") | {"weights": {"source": seed, "files": {FILE: digest}}, "probe": None}
    found = parse(data | fields, "a spec")
    assert isinstance(found, TorchvisionSpec)
    return found


def is_seeded(spec: EncoderSpec) -> bool:
    return isinstance(weights.source_of(spec), Seeded)


def digest_of(spec: EncoderSpec) -> str:
    return weights.digests(spec)[FILE]


def test_the_drawn_weights_have_the_digest_that_the_spec_names(
    spec: TorchvisionSpec, state: dict[str, torch.Tensor]
) -> None:
    assert hashlib.sha256(save(state)).hexdigest() == spec.files[FILE]
    assert weights.digests(spec) == spec.files


def test_weights_drawn_twice_are_the_same(image_spec: MakeSpec) -> None:
    unsealed = image_spec(source="seed:7")
    assert digest_of(unsealed) == digest_of(unsealed)


def test_drawing_weights_neither_uses_nor_changes_global_random_state(spec: TorchvisionSpec) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        np.random.seed(1)
        expected = torch.rand(3), np.random.rand(3)
        torch.manual_seed(1)
        np.random.seed(1)
        assert weights.digests(spec) == spec.files
        assert torch.equal(torch.rand(3), expected[0])
        assert np.array_equal(np.random.rand(3), expected[1])


def test_another_seed_or_architecture_gives_another_digest(spec: TorchvisionSpec) -> None:
    others = [
        reseeded(spec, "seed:19"),
        reseeded(spec, "seed:0"),
        reseeded(spec, "seed:18", architecture="resnet34"),
    ]
    assert len({spec.files[FILE], *(digest_of(each) for each in others)}) == 4


def test_other_fields_of_the_spec_do_not_change_the_weights(spec: TorchvisionSpec) -> None:
    assert digest_of(reseeded(spec, "seed:18", pooling="max", l2_normalise=False)) == spec.files[FILE]


@pytest.mark.parametrize("expected", [None, "0" * 64], ids=["no digest", "another digest"])
def test_drawn_weights_must_have_the_digest_of_the_spec(spec: TorchvisionSpec, expected: str | None) -> None:
    other = reseeded(spec, "seed:18", expected)
    if expected is None:
        assert checkpoint.read(other)
    else:
        with pytest.raises(
            UserError, match=r"drawn for resnet18-seeded@1\.0\.0 do not have the digest.*requirements\.lock"
        ):
            checkpoint.read(other)
        with pytest.raises(UserError, match="do not have the digest"):
            load_network(other)


def test_a_library_that_draws_other_numbers_is_detected(spec: TorchvisionSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, "PCG64", np.random.PCG64DXSM)
    with pytest.raises(UserError, match=r"drawn for resnet18-seeded@1\.0\.0 do not have the digest"):
        checkpoint.read(spec)


def test_the_tensors_are_those_of_torchvisions_model(
    plain_resnet: Callable[[str], Any], state: dict[str, torch.Tensor]
) -> None:
    expected = plain_resnet("resnet18").state_dict()
    assert set(state) == set(expected)
    for name, tensor in state.items():
        assert tensor.dtype == expected[name].dtype, name
        assert tensor.shape == expected[name].shape or name.startswith("fc."), name


def test_convolutions_are_uniform_within_hes_bound_and_normalisation_does_nothing(
    state: dict[str, torch.Tensor],
) -> None:
    for name, tensor in state.items():
        if tensor.dim() > 1:
            bound = math.sqrt(6 / tensor[0].numel())
            assert 0.99 * bound < float(tensor.abs().max()) <= bound, name
            assert abs(float(tensor.double().mean())) < 0.02 * bound, name
            assert float(tensor.double().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02), name
        else:
            assert bool((tensor == float(name.endswith(("weight", "running_var")))).all()), name


def test_no_two_layers_have_the_same_numbers(state: dict[str, torch.Tensor]) -> None:
    starts = [tuple(tensor.flatten()[:8].tolist()) for tensor in state.values() if tensor.dim() > 1]
    assert len(set(starts)) == len(starts) == 21


def test_sealing_a_seeded_spec_names_the_drawn_digest(image_spec: MakeSpec) -> None:
    sealed = seal(image_spec(source="seed:7"))
    assert sealed.sealed
    assert sealed.files == {FILE: digest_of(sealed)}
    assert seal(sealed) == sealed


@pytest.mark.parametrize("seed", ["seed:0", "seed:999999999"])
def test_seeds_may_have_up_to_nine_digits(spec: TorchvisionSpec, seed: str) -> None:
    assert is_seeded(reseeded(spec, seed))
    assert len(digest_of(reseeded(spec, seed))) == 64


def test_weights_from_files_are_not_seeded(image_spec: MakeSpec) -> None:
    assert not is_seeded(image_spec())
    assert not is_seeded(lookup("minilm@1.0.0"))


def test_a_text_encoder_cannot_be_seeded() -> None:
    data = lookup("minilm@1.0.0").model_dump(mode="json")
    data["weights"]["source"] = "seed:18"
    with pytest.raises(UserError, match=r"a spec: weights\.source is 'seed:18'"):
        parse(data, "a spec")
    unchecked = HuggingFaceWeights.model_construct(source="seed:18", files={FILE: None})
    spec: EncoderSpec = lookup("minilm@1.0.0").model_copy(update={"weights": unchecked})
    assert isinstance(spec, HuggingFaceTextSpec)
    with pytest.raises(
        UserError,
        match="from seed:18: the sources of its architecture are hf, path",
    ):
        digest_of(spec)
