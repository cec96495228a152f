"""What clipping and Gaussian noise guarantee for one vector, and for several of one person: (ε, δ).

Balle and Wang, 'Improving the Gaussian Mechanism for Differential Privacy' (2018), for two vectors that differ in any
way: both have at most the length to which they are clipped, so they are at most twice that apart. Several vectors of
one person that may all differ are one vector of more components, √n times as far from its neighbour.

The guarantee is of what an embedding reveals of the content: local differential privacy, for readers without the noise
key. It is not of the attributes, the time, the length of a text in `truncated`, or anything else that is stored.
"""

import math

from scipy.special import log_ndtr

from encoders import gaussian
from encoders.defence import Defence

DELTA = 1e-6
RECORDS = (1, 10, 100)


def epsilon(defence: Defence, records: int = 1, delta: float = DELTA) -> float | None:
    """Return the ε of as many records of one person at δ, or None for a defence without noise."""
    if defence.noise is None or defence.clip is None:
        return None
    # A vector is rounded to multiples of a step before the noise, which moves each component by half of it at most.
    rounding = math.sqrt(defence.dimension) / gaussian.STEPS
    distance = 2 * defence.clip / defence.noise.sigma * (1 + 1e-6) + rounding
    return gaussian_epsilon(distance * math.sqrt(records), delta)


def gaussian_epsilon(distance: float, delta: float) -> float:
    """Return the smallest ε for two vectors that are `distance` standard deviations of the noise apart."""
    low, high = 0.0, 1.0
    if gaussian_delta(distance, low) <= delta:
        return low
    while gaussian_delta(distance, high) > delta:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(distance, middle) > delta else (low, middle)
    return high


def gaussian_delta(distance: float, epsilon: float) -> float:
    """Return the smallest δ at ε, by theorem 8 of Balle and Wang."""
    likelier = log_ndtr(distance / 2 - epsilon / distance)
    less_likely = epsilon + log_ndtr(-distance / 2 - epsilon / distance)
    return float(math.exp(likelier) - math.exp(min(less_likely, 0.0)))
