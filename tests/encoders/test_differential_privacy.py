"""The (ε, δ) of a defence: published values, and the mechanism as it is, computed without the formula."""

import numpy as np
import pytest

from encoders import gaussian
from encoders.defence import Defence
from encoders.differential_privacy import epsilon, gaussian_delta, gaussian_epsilon


def defence(sigma: float = 1.0, clip: float = 0.5, dimension: int = 1) -> Defence:
    return Defence.model_validate({"full_dimension": dimension, "clip": clip, "noise": {"sigma": sigma}})


@pytest.mark.parametrize(
    ("distance", "at", "delta"),
    [(1, 1, 0.12693674), (3, 1, 0.78760074), (1, 2, 0.02092364), (1, 0, 0.38292492), (1 / 0.344, 16, 1e-5)],
)
def test_the_formula_gives_the_published_values(distance: float, at: float, delta: float) -> None:
    """Of the tests of Google's library dp-accounting."""
    assert gaussian_delta(distance, at) == pytest.approx(delta, rel=0.05 if delta == 1e-5 else 1e-6)
    assert gaussian_epsilon(distance, gaussian_delta(distance, at)) == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize("at", [0.5, 1.0, 3.0])
def test_the_discrete_noise_holds_the_delta_of_the_formula(at: float) -> None:
    """Of one component, whose two vectors are exactly one standard deviation apart: the sum over all outcomes."""
    numbers = np.arange(-8 * gaussian.STEPS, 9 * gaussian.STEPS) / gaussian.STEPS
    one, other = (np.exp(-((numbers - mean) ** 2) / 2) for mean in (0, 1))
    one, other = one / one.sum(), other / other.sum()
    assert np.maximum(one - np.exp(at) * other, 0).sum() == pytest.approx(gaussian_delta(1, at), rel=1e-5)


def test_n_records_of_one_person_are_as_far_apart_as_one_of_n_times_the_components() -> None:
    hundred = epsilon(defence(sigma=10.0, clip=0.5), records=100)
    assert hundred == pytest.approx(epsilon(defence(sigma=1.0, clip=0.5)), rel=0.02)
    found = [epsilon(defence(), records) or 0.0 for records in (1, 10, 100)]
    assert found == sorted(found)
    assert found[2] > 10 * found[0]


def test_epsilon_falls_with_noise_and_rises_with_the_length() -> None:
    values = [epsilon(defence(sigma)) or 0.0 for sigma in (0.01, 0.1, 1.0, 10.0)]
    assert values == sorted(values, reverse=True)
    assert (epsilon(defence(clip=1.0)) or 0) > (epsilon(defence(clip=0.5)) or 0)
    assert values[0] > 1_000  # little noise is hardly any guarantee, and the number says so


def test_without_noise_there_is_no_guarantee() -> None:
    assert epsilon(Defence.model_validate({"full_dimension": 4, "clip": 1.0})) is None
