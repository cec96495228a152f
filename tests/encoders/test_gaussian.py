"""Normal numbers from a secret: their distribution, and that every machine draws the same ones."""

import os
import subprocess
import sys

import numpy as np
from scipy import stats

from encoders import gaussian

NUMBERS = gaussian.integers(b"a secret", 400_000) / gaussian.STEPS


def test_the_numbers_have_the_moments_of_the_normal_distribution() -> None:
    size = len(NUMBERS)
    assert abs(NUMBERS.mean()) < 5 / np.sqrt(size)
    assert abs(NUMBERS.var() - 1) < 5 * np.sqrt(2 / size)
    assert abs(stats.skew(NUMBERS)) < 5 * np.sqrt(6 / size)
    assert abs(stats.kurtosis(NUMBERS)) < 5 * np.sqrt(24 / size)


def test_the_numbers_have_the_shape_of_the_normal_distribution() -> None:
    assert stats.kstest(NUMBERS, "norm").pvalue > 1e-4
    assert np.abs(NUMBERS).max() > 4  # rare ones are drawn too


def test_each_probability_is_that_of_the_discrete_gaussian() -> None:
    drawn = np.diff(gaussian._thresholds().astype(object))  # in units of 2^-64
    numbers = np.arange(-gaussian._LARGEST + 1, gaussian._LARGEST)
    weights = np.exp(-((numbers / gaussian.STEPS) ** 2) / 2)
    expected = weights / weights.sum()
    difference = np.abs(drawn.astype(float) / 2.0**64 - expected)
    assert difference.sum() < 2**-46 + 1e-11  # of which 1e-11 is the arithmetic of this test


def test_numbers_of_one_vector_and_of_two_secrets_are_independent() -> None:
    other = gaussian.integers(b"another secret", len(NUMBERS)) / gaussian.STEPS
    bound = 5 / np.sqrt(len(NUMBERS))
    for distance in (1, 2, 3, 4, 5, 384):
        assert abs(np.corrcoef(NUMBERS[:-distance], NUMBERS[distance:])[0, 1]) < bound
        assert abs(np.corrcoef(NUMBERS[:-distance] ** 2, NUMBERS[distance:] ** 2)[0, 1]) < bound
    assert abs(np.corrcoef(NUMBERS, other)[0, 1]) < bound


def test_every_process_draws_these_numbers() -> None:
    expected = [-5207, 7055, -6345, 2814, 455, 2217]
    code = "from encoders import gaussian; print(gaussian.integers(b'a secret', 6).tolist())"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(expected) == str(gaussian.integers(b"a secret", 6).tolist())
