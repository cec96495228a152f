"""Normal numbers from a secret, the same ones on every machine.

They are integers of a discrete Gaussian (Canonne, Kamath and Steinke, 'The Discrete Gaussian for Differential Privacy',
2020), whose standard deviation is `STEPS`, drawn by a table of its cumulative probabilities in units of 2^-64. The
table is computed in decimal arithmetic, which is defined to the last digit, and the uniform numbers are the blocks of
HMAC-SHA256 of a counter: there is no step that a processor or a library could round in another way. The distribution of
a number differs from the exact one by less than 2^-46 in total.
"""

import hmac
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import numpy.typing as npt

STEPS = 4096
"""The standard deviation."""
_LARGEST = 10 * STEPS
"""Larger numbers have a probability of less than 2^-64."""
_PER_BLOCK = 4
"""Numbers of 64 bits in a block of SHA-256."""


def integers(secret: bytes, count: int) -> npt.NDArray[np.int64]:
    """Return as many independent numbers of the discrete Gaussian; the same ones for the same secret."""
    blocks = range(-(-count // _PER_BLOCK))
    stream = b"".join(hmac.digest(secret, block.to_bytes(8, "big"), "sha256") for block in blocks)
    uniform = np.frombuffer(stream, ">u8")[:count].astype(np.uint64)
    return np.searchsorted(_thresholds(), uniform, side="right") - _LARGEST


@cache
def _thresholds() -> npt.NDArray[np.uint64]:
    """Return the probabilities of at most -_LARGEST, of at most -_LARGEST + 1, …, in units of 2^-64."""
    with localcontext(prec=60):
        # exp(-(k+1)²/2s²) is exp(-k²/2s²) times exp(-(2k+1)/2s²), whose factor grows by exp(-1/s²) at each step.
        weight, factor, ratio = Decimal(1), (Decimal(-1) / (2 * STEPS**2)).exp(), (Decimal(-1) / STEPS**2).exp()
        weights = [weight]
        for _ in range(_LARGEST):
            weight, factor = weight * factor, factor * ratio
            weights.append(weight)
        both_sides = [*reversed(weights), *weights[1:]]
        unit, below, thresholds = Decimal(2**64) / sum(both_sides), Decimal(0), []
        for each in both_sides[:-1]:
            below += each
            thresholds.append(min(int(below * unit), 2**64 - 1))
    return np.array(thresholds, np.uint64)
