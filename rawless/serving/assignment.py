"""Which arm of an experiment a caller's key belongs to: the same one every time, in every process."""

import hashlib
import math
from collections.abc import Mapping


def assign_arm(experiment: str, key: str, arms: Mapping[str, float]) -> str:
    """The arm of a key, drawn with the arms' weights.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): when one arm's weight changes, keys move to it or
    from it, never between others.
    """
    if len(arms) == 1:
        return next(iter(arms))
    return max(sorted(arms), key=lambda arm: -arms[arm] / math.log(_uniform(experiment, arm, key)))


def _uniform(*parts: str) -> float:
    """Between 0 and 1, both left out."""
    joined = b"".join(hashlib.sha256(part.encode()).digest() for part in parts)
    number = int.from_bytes(hashlib.sha256(joined).digest()[:8], "big")
    return ((number >> 12) + 0.5) / 2**52  # as many bits as a float holds
